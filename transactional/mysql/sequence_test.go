package mysql_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

// accepting is the unit of a lone Put: a row, a place, and the record.
func accepting(id string, version, n int64) *transactional.Unit {
	u := unit(put(id, version, n))
	rec := transactional.Record{Kind: "k", Key: id, Lane: "l", Body: []byte("body"), Owner: 1, Lease: time.Minute}
	copy(rec.ID[:], fmt.Sprintf("%08d%s", version, id))
	u.Add = []transactional.Record{rec}
	u.Place = []transactional.Placement{{Space: "s", ID: id, Stamp: transactional.Stamp{Version: version}, Place: fmt.Appendf(nil, "p%d", version)}}
	return u
}

// recorded reports whether the record of a unit is there.
func recorded(t *testing.T, s *transactional.Store, u *transactional.Unit) bool {
	t.Helper()
	_, _, err := s.Find(context.Background(), u.Add[0].ID)
	if err != nil && fault.ClassOf(err) != fault.ErrNotFound {
		t.Fatal(err)
	}
	return err == nil
}

// warm has the store ask the server's clock, which a sequence does not.
func warm(t *testing.T, s *transactional.Store) {
	t.Helper()
	if _, err := s.Clock(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// What a lone Put writes is one statement to MariaDB; what does not go that way
// comes to the same, statement by statement.
func TestALoneAcceptanceIsOneStatement(t *testing.T) {
	s := theServer(t)
	name := s.database(t)
	compounds := func() (n int) {
		t.Helper()
		const query = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'COM_COMPOUND_SQL'"
		if err := s.root.QueryRow(query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	open(t, mysql.Open(s.url(name), nil), things) // which creates the tables
	s.exec(t, "ALTER TABLE "+name+".ff_things ADD CONSTRAINT small CHECK (n < 100), ADD UNIQUE INDEX one (s(10), n)")
	for _, c := range []struct {
		why        string
		unit       *transactional.Unit
		superseded bool
		former     string
		class      error
	}{
		{why: "a new row, in a new place", unit: accepting("a", 2, 2)},
		{why: "a newer row, in another place", unit: accepting("a", 3, 3), former: "p2"},
		{why: "an older row is left alone", unit: accepting("a", 1, 1), superseded: true, former: "p2"},
		{why: "a value that the column does not take", unit: accepting("b", 1, 100), class: fault.ErrRefused},
		{why: "a unique value that another row has", unit: accepting("c", 1, 3), class: fault.ErrExists},
	} {
		store := open(t, mysql.Open(s.url(name), nil), things)
		warm(t, store)
		before := compounds()
		res, err := store.Apply(t.Context(), c.unit)
		if n := compounds() - before; n != 1 {
			t.Errorf("%s: %d compound statements, want 1", c.why, n)
		}
		if class(t, c.why, err, c.class); recorded(t, store, c.unit) != (c.class == nil) {
			t.Errorf("%s: the record does not go with the row", c.why)
		}
		if superseded := res.Superseded != nil; superseded != c.superseded {
			t.Errorf("%s: superseded is %v", c.why, superseded)
		}
		if c.class == nil && (len(res.Placed) != 1 || string(res.Placed[0].Former) != c.former) {
			t.Errorf("%s: the places are %+v, want former %q", c.why, res.Placed, c.former)
		}
	}
	store := open(t, mysql.Open(s.url(name), nil), things)
	if got := value(t, store, "a"); got != 3 {
		t.Errorf("the row says %d, want 3", got)
	}
}

// The answer to it is lost: whether row and record are there, which they are
// together, is unknown.
func TestLostSequence_D1_D2(t *testing.T) {
	s := theServer(t)
	p := newProxy(t, s.addr)
	source := mysql.Open("mysql://root@"+p.addr()+"/"+s.database(t), nil)
	open(t, source, things)                                                                               // which creates the tables
	store, err := transactional.Open(t.Context(), source, &transactional.Options{TxTimeout: time.Second}) // Close waits for twice as long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	for i, how := range []int32{answer, drop, mute} {
		u := accepting(fmt.Sprint("row", i), 1, 1)
		warm(t, store)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		if how == mute {
			cancel()
			ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
		}
		p.breakSingle(how)
		_, err := store.Apply(ctx, u)
		cancel()
		class(t, "a sequence without an answer is ErrUnknown", err, fault.ErrUnknown)
		there := how != drop
		eventually(t, 5*time.Second, fmt.Sprintf("%d: the row is there: %v", how, there), func() bool {
			return value(t, store, u.Writes[0].Row.ID) == map[bool]int64{true: 1, false: -1}[there] && recorded(t, store, u) == there
		})
	}
	if p.broken() != 3 {
		t.Fatalf("%d of 3 statements were broken: nothing is proved", p.broken())
	}
}
