package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

var things = &transactional.Table{Name: "things", Columns: []transactional.Column{
	{Name: "n", Type: transactional.Int}, {Name: "s", Type: transactional.Text},
}}

func put(id string, version, n int64) transactional.Write {
	return transactional.Write{Table: things, Row: transactional.Row{
		ID: id, Stamp: transactional.Stamp{Version: version}, Values: []any{n, "s"},
	}}
}

func unit(ws ...transactional.Write) *transactional.Unit { return &transactional.Unit{Writes: ws} }

// value reads n of a row, or -1.
func value(t *testing.T, s *transactional.Store, id string) int64 {
	t.Helper()
	rows, err := s.Read(context.Background(), things, id)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) == 0 {
		return -1
	}
	return rows[0].Values[0].(int64)
}

func class(t *testing.T, promise string, err, want error) {
	t.Helper()
	if fault.ClassOf(err) != want {
		t.Errorf("%s: got %v, want class %v", promise, err, want)
	}
}

// D1, D2: the answer to COMMIT is lost, or COMMIT itself; the error is the
// same, and the row tells.
func TestLostCommit_D1_D2(t *testing.T) {
	s := theServer(t)
	name := s.database(t)
	p := newProxy(t, s.addr)
	store := open(t, mysql.Open("mysql://root@"+p.addr()+"/"+name, nil), things)
	for i, how := range []int32{answer, drop, answer, drop, mute} {
		id := fmt.Sprint("row", i)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		if how == mute {
			cancel()
			ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
		}
		p.breakNext(how)
		_, err := store.Apply(ctx, unit(put(id, 1, 1), put("other"+id, 1, 1)))
		cancel()
		class(t, "a COMMIT without an answer is ErrUnknown", err, fault.ErrUnknown)
		want := map[int32]int64{answer: 1, drop: -1, mute: 1}[how]
		eventually(t, 5*time.Second, fmt.Sprintf("%s (%d): the row says %d", id, how, want), func() bool { return value(t, store, id) == want })
		calls := 0
		p.breakNext(how)
		ctx, cancel = context.WithTimeout(t.Context(), 500*time.Millisecond)
		err = store.Tx(ctx, func(ctx context.Context, tx *transactional.Tx) error {
			calls++
			_, err := tx.Apply(ctx, unit(put("tx"+id, 1, 1)))
			return err
		})
		cancel()
		class(t, "so it is in a transaction", err, fault.ErrUnknown)
		if calls != 1 {
			t.Errorf("what may have been applied is never run again by itself: %d runs", calls)
		}
	}
	if p.broken() != 10 {
		t.Fatalf("%d of 10 COMMITs were broken: nothing is proved", p.broken())
	}
	if _, err := store.Apply(t.Context(), unit(put("after", 1, 1))); err != nil {
		t.Errorf("the pool recovers: %v", err)
	}
}

// The same for a statement that is a transaction of its own, which a lone unit of
// one row is.
func TestLostSingle_D1_D2(t *testing.T) {
	s := theServer(t)
	name := s.database(t)
	p := newProxy(t, s.addr)
	store := open(t, mysql.Open("mysql://root@"+p.addr()+"/"+name, nil), things)
	apply := func(id string, patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := store.Apply(ctx, unit(put(id, 1, 1)))
		return err
	}
	for i, how := range []int32{answer, drop, answer, drop, mute} {
		id := fmt.Sprint("row", i)
		patience := 4 * time.Second
		if how == mute {
			patience = 300 * time.Millisecond
		}
		p.breakSingle(how)
		class(t, "a statement without an answer is ErrUnknown", apply(id, patience), fault.ErrUnknown)
		want := map[int32]int64{answer: 1, drop: -1, mute: 1}[how]
		eventually(t, 5*time.Second, fmt.Sprintf("%s (%d): the row says %d", id, how, want), func() bool { return value(t, store, id) == want })
	}
	if p.broken() != 5 {
		t.Fatalf("%d of 5 statements were broken: nothing is proved", p.broken())
	}
	if err := apply("after", 4*time.Second); err != nil {
		t.Errorf("the pool recovers: %v", err)
	}
}

// A lone row, and a lone record, are one statement: one round trip, and not
// three.
func TestALoneUnitIsOneStatement(t *testing.T) {
	s := theServer(t)
	store := open(t, mysql.Open("mysql://root@"+s.addr+"/"+s.database(t), nil), things)
	begun := func() (n int) {
		t.Helper()
		const query = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'COM_BEGIN'"
		if err := s.root.QueryRow(query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if _, err := store.Apply(t.Context(), unit(put("first", 1, 1))); err != nil { // the pool is warm
		t.Fatal(err)
	}
	before := begun()
	if res, err := store.Apply(t.Context(), unit(put("a", 2, 2))); err != nil || res.Superseded != nil {
		t.Fatalf("%v, %v", res, err)
	}
	if res, err := store.Apply(t.Context(), unit(put("a", 1, 1))); err != nil || res.Superseded == nil {
		t.Errorf("%v, %v; an older row is superseded", res, err)
	}
	if got := value(t, store, "a"); got != 2 {
		t.Errorf("the row says %d, want 2", got)
	}
	if n := begun() - before; n != 0 {
		t.Errorf("%d transactions were begun for lone rows", n)
	}
	if _, err := store.Apply(t.Context(), unit(put("b", 1, 1), put("c", 1, 1))); err != nil {
		t.Fatal(err)
	}
	if n := begun() - before; n != 1 {
		t.Errorf("%d transactions were begun for a unit of two rows, want 1", n)
	}
}

// D22: a network with 100 ms on the way, and a byte a packet on the way back, is
// slow and nothing else.
func TestASlowNetworkIsOnlySlow_D22(t *testing.T) {
	s := theServer(t)
	p := newProxy(t, s.addr)
	store := open(t, mysql.Open("mysql://root@"+p.addr()+"/"+s.database(t), nil), things)
	p.crawl.Store(true)
	var units sync.WaitGroup
	for i := range int64(8) {
		units.Go(func() {
			if _, err := store.Apply(t.Context(), unit(put(fmt.Sprint("slow", i), 1, i))); err != nil {
				t.Errorf("unit %d: %v", i, err)
			}
		})
	}
	units.Wait()
	for i := range int64(8) {
		if n := value(t, store, fmt.Sprint("slow", i)); n != i {
			t.Errorf("row %d says %d", i, n)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := store.Apply(ctx, unit(put("cut", 1, 1))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller with 30 ms: %v, want its context's error", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("a caller with 30 ms left after %v", took)
	}
	p.crawl.Store(false)
}

// D5: connections are killed while idle and inside a transaction.
func TestKilledConnections_D5(t *testing.T) {
	s, name, store := fresh(t, nil, things)
	killAll := func() {
		rows, err := s.root.Query("SELECT id FROM information_schema.processlist WHERE db = ?", name)
		if err != nil {
			t.Fatal(err)
		}
		var ids []int
		for rows.Next() {
			var id int
			rows.Scan(&id)
			ids = append(ids, id)
		}
		rows.Close()
		for _, id := range ids {
			s.root.Exec(fmt.Sprint("KILL ", id))
		}
	}
	for i := range int64(5) {
		killAll()
		if _, err := store.Apply(t.Context(), unit(put("a", i+1, i))); err != nil {
			t.Errorf("an idle connection that was killed is no error to anybody: %v", err)
		}
	}
	err := store.Tx(t.Context(), func(ctx context.Context, tx *transactional.Tx) error {
		_, err := tx.Apply(ctx, unit(put("b", 1, 1)))
		killAll()
		return err
	})
	if err == nil {
		t.Error("a transaction whose connection was killed cannot commit")
	}
	if n := value(t, store, "b"); n != -1 {
		t.Errorf("and is not applied: %d", n)
	}
	err = store.Tx(t.Context(), func(ctx context.Context, tx *transactional.Tx) error {
		if _, err := tx.Apply(ctx, unit(put("b", 1, 1))); err != nil {
			return err
		}
		killAll()
		_, err := tx.Apply(ctx, unit(put("c", 1, 1)))
		class(t, "a statement on it is ErrUnavailable: COMMIT was not sent", err, fault.ErrUnavailable)
		return err
	})
	class(t, "a statement on it is ErrUnavailable: COMMIT was not sent", err, fault.ErrUnavailable)
}

// D6: a deadlock rolls back the whole transaction on the server. What comes
// after it would be executed on its own.
func TestDeadlock_D6(t *testing.T) {
	_, _, store := fresh(t, nil, things)
	if _, err := store.Apply(t.Context(), unit(put("a", 1, 0), put("b", 1, 0))); err != nil {
		t.Fatal(err)
	}
	var (
		wg   sync.WaitGroup
		runs [2]int
		both [2]chan struct{}
	)
	for i := range both {
		both[i] = make(chan struct{})
	}
	for i, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
		wg.Go(func() {
			err := store.Tx(context.Background(), func(ctx context.Context, tx *transactional.Tx) error {
				runs[i]++
				first, err := tx.Read(ctx, things, names[0])
				if err != nil {
					return err
				}
				if runs[i] == 1 { // both hold their first row before they ask for the second
					close(both[i])
					<-both[1-i]
				}
				second, err := tx.Read(ctx, things, names[1])
				if err != nil {
					// The error is not looked at: the trap.
					tx.Exec(ctx, "UPDATE "+store.Name(things)+" SET n = 1000")
					return nil
				}
				bump := func(r transactional.Row) transactional.Write {
					return put(r.ID, r.Stamp.Version+1, r.Values[0].(int64)+1)
				}
				_, err = tx.Apply(ctx, unit(bump(first[0]), bump(second[0])))
				return err
			})
			if err != nil {
				t.Errorf("a transaction that deadlocked is run again: %v", err)
			}
		})
	}
	wg.Wait()
	if runs[0]+runs[1] < 3 {
		t.Fatalf("%v runs: there was no deadlock, so nothing is proved", runs)
	}
	for _, id := range []string{"a", "b"} {
		if n := value(t, store, id); n != 2 {
			t.Errorf("both transactions have their effect once, and no late statement has any: %s is %d", id, n)
		}
	}
}

// D7: a lock wait rolls back the statement only; COMMIT would keep the rest.
func TestLockWait_D7(t *testing.T) {
	s, name, store := fresh(t, &mysql.Options{LockWait: time.Second}, things)
	if _, err := store.Apply(t.Context(), unit(put("held", 1, 0))); err != nil {
		t.Fatal(err)
	}
	holder, err := s.pool(t, name, "").Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec("UPDATE " + store.Name(things) + " SET n = 5 WHERE id = 'held'"); err != nil {
		t.Fatal(err)
	}
	runs := 0
	err = store.Tx(t.Context(), func(ctx context.Context, tx *transactional.Tx) error {
		if runs++; runs == 2 {
			holder.Rollback()
		}
		if _, err := tx.Apply(ctx, unit(put("own", 1, int64(runs)))); err != nil {
			return err
		}
		tx.Read(ctx, things, "held") // its error is not looked at
		if runs == 1 && value(t, store, "own") != -1 {
			t.Error("nothing is committed yet")
		}
		return nil
	})
	if err != nil || runs != 2 {
		t.Errorf("a transaction that waited too long for a lock is run again as a whole: %d runs, %v", runs, err)
	}
	if n := value(t, store, "own"); n != 2 {
		t.Errorf("and never in part: %d", n)
	}
}

// D14, and the third rule of sql_mode: what does not fit is refused for that
// unit alone, and never cut.
func TestDataErrors_D14(t *testing.T) {
	s, name, store := fresh(t, nil, things)
	s.exec(t, "ALTER TABLE "+name+".ff_things MODIFY n TINYINT, MODIFY s VARCHAR(5) CHARACTER SET utf8mb3, ADD CHECK (n <> 7)")
	texts := []string{"fits", "too long", "😀", "fits", "fits"}
	numbers := []int64{1, 1, 1, 1000, 7}
	units := make([]*transactional.Unit, 40)
	var wg sync.WaitGroup
	errs := make([]error, len(units))
	for i := range units {
		w := put(fmt.Sprint("row", i), 1, numbers[i%5])
		w.Row.Values[1] = texts[i%5]
		units[i] = unit(w)
		wg.Go(func() { _, errs[i] = store.Apply(context.Background(), units[i]) })
	}
	wg.Wait()
	for i, err := range errs {
		if want := map[bool]error{true: nil, false: fault.ErrRefused}[i%5 == 0]; fault.ClassOf(err) != want || (err == nil) != (want == nil) {
			t.Errorf("row %d: got %v, want %v: a bad row fails alone, and is never cut", i, err, want)
		}
		if n := value(t, store, fmt.Sprint("row", i)); (n != -1) != (i%5 == 0) {
			t.Errorf("row %d is %d", i, n)
		}
	}
}

// D15: a pool of the caller's that is not strict is refused.
func TestStrictMode_D15(t *testing.T) {
	s := theServer(t)
	name := s.database(t)
	store, err := transactional.Open(t.Context(), mysql.FromDB(s.pool(t, name, "?sql_mode=%27%27"), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	_, err = store.Apply(t.Context(), unit(put("a", 1, 1)))
	class(t, "a pool whose sessions cut values silently is refused", err, fault.ErrMisconfigured)
	if !strings.Contains(err.Error(), "sql_mode") {
		t.Errorf("with a sentence that can be acted on: %v", err)
	}
	if store.Check(t.Context()).OK() {
		t.Error("Check says so as well")
	}
}
