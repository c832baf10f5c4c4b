package mysql_test

import (
	"context"
	"database/sql"
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
		for deadline := time.Now().Add(5 * time.Second); value(t, store, id) != want; {
			if time.Now().After(deadline) {
				t.Fatalf("%s (%d): the row says %d, want %d", id, how, value(t, store, id), want)
			}
		}
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
		for deadline := time.Now().Add(5 * time.Second); value(t, store, id) != want; {
			if time.Now().After(deadline) {
				t.Fatalf("%s (%d): the row says %d, want %d", id, how, value(t, store, id), want)
			}
		}
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

// D8: the server becomes read-only.
func TestReadOnly_D8(t *testing.T) {
	s := ownServer(t)
	name := s.database(t)
	s.exec(t, "CREATE USER app@'%' IDENTIFIED BY 'app-password'")
	s.exec(t, "GRANT ALL ON "+name+".* TO app@'%'")
	store := open(t, mysql.Open("mysql://app:app-password@"+s.addr+"/"+name, nil), things)
	s.exec(t, "SET GLOBAL read_only = 1")
	_, err := store.Apply(t.Context(), unit(put("a", 1, 1)))
	class(t, "a read-only server is ErrMisconfigured: nothing is applied, no attempt is spent", err, fault.ErrMisconfigured)
	if r := store.Check(t.Context()); r.OK() {
		t.Errorf("Check says so: %v", r)
	}
	s.exec(t, "SET GLOBAL read_only = 0")
	if _, err := store.Apply(t.Context(), unit(put("a", 1, 1))); err != nil {
		t.Errorf("work resumes when it can write again: %v", err)
	}
	wrong, err := transactional.Open(t.Context(), mysql.Open("mysql://app:canary@"+s.addr+"/"+name, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	_, err = wrong.Apply(t.Context(), unit(put("a", 1, 1)))
	class(t, "a wrong password is ErrMisconfigured", err, fault.ErrMisconfigured)
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("and is in no error: %v", err)
	}
}

// D10: the server takes no more connections.
func TestTooManyConnections_D10(t *testing.T) {
	s := ownServer(t, "--max-connections=10")
	name := s.database(t)
	store := open(t, mysql.Open(s.url(name), nil), things)
	store.Close()
	var hogs []*sql.Conn
	hog := s.pool(t, "", "")
	hog.SetMaxOpenConns(0)
	for range 20 {
		c, err := hog.Conn(t.Context())
		if err != nil {
			break
		}
		hogs = append(hogs, c)
	}
	store, err := transactional.Open(t.Context(), mysql.Open(s.url(name), nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	_, err = store.Apply(t.Context(), unit(put("a", 1, 1)))
	if !fault.Retryable(err) || fault.Unknown(err) {
		t.Errorf("a server that is full refuses for the moment: %v", err)
	}
	hog.SetMaxIdleConns(-1)
	for _, c := range hogs {
		c.Close()
	}
	if _, err := store.Apply(t.Context(), unit(put("a", 1, 1))); err != nil {
		t.Errorf("and serves when there is room: %v", err)
	}
}

// D11: the server stops and goes on.
func TestStoppedServer_D11(t *testing.T) {
	s := ownServer(t)
	store := open(t, mysql.Open(s.url(s.database(t)), nil), things)
	if _, err := store.Apply(t.Context(), unit(put("a", 1, 1))); err != nil {
		t.Fatal(err)
	}
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	_, err := store.Apply(ctx, unit(put("a", 2, 2)))
	cancel()
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 3*time.Second {
		t.Errorf("a call obeys its context although the server is silent: %v after %v", err, time.Since(began))
	}
	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	if _, err := store.Read(ctx, things, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("so does a read: %v", err)
	}
	cancel()
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	for i := range int64(20) {
		if _, err := store.Apply(t.Context(), unit(put("a", 10+i, 10+i))); err != nil {
			t.Errorf("connections that were abandoned are never used again: %v", err)
		}
		if n := value(t, store, "a"); n != 10+i {
			t.Errorf("the answer is the one to the question: %d, want %d", n, 10+i)
		}
	}
}

// D3, D21: the server is killed and started again under load; units are whole
// or not there, those acknowledged are there.
func TestKilledServer_D3_D21(t *testing.T) {
	s := ownServer(t)
	store := open(t, mysql.Open(s.url(s.database(t)), nil), things)
	var (
		mu    sync.Mutex
		acked []string
		all   []string
		wg    sync.WaitGroup
	)
	stop := make(chan struct{})
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%d.%d", w, i)
				_, err := store.Apply(context.Background(), unit(put(id+"/left", 1, 1), put(id+"/right", 1, 1)))
				mu.Lock()
				all = append(all, id)
				if err == nil {
					acked = append(acked, id)
				} else if errors.Is(err, fault.ErrInvalid) || errors.Is(err, fault.ErrRefused) {
					t.Errorf("a server that dies is an outage or unknown: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	progress := func(more int) {
		mu.Lock()
		from := len(acked)
		mu.Unlock()
		for deadline := time.Now().Add(30 * time.Second); ; {
			mu.Lock()
			n := len(acked)
			mu.Unlock()
			if n >= from+more {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal("no progress 30 s after the server is back")
			}
			time.Sleep(time.Millisecond)
		}
	}
	for range 3 {
		progress(50)
		s.kill()
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
	}
	progress(50)
	close(stop)
	wg.Wait()
	for _, id := range all {
		if value(t, store, id+"/left") != value(t, store, id+"/right") {
			t.Errorf("unit %s is there in part", id)
		}
	}
	for _, id := range acked {
		if value(t, store, id+"/left") != 1 {
			t.Errorf("unit %s was acknowledged and is not there", id)
		}
	}
}

// D4: a server whose COMMIT is not durable is refused, unless it was asked for
// by name.
func TestDurability_D4(t *testing.T) {
	s := ownServer(t)
	name := s.database(t)
	for flush, good := range map[int][]fault.Durability{0: {fault.Memory}, 2: {fault.Memory, fault.Written}, 1: {fault.Memory, fault.Written, fault.Fsynced}} {
		s.exec(t, fmt.Sprint("SET GLOBAL innodb_flush_log_at_trx_commit = ", flush))
		for _, want := range []fault.Durability{fault.Memory, fault.Written, fault.Fsynced} {
			store, err := transactional.Open(t.Context(), mysql.Open(s.url(name)+"?durability="+string(want), nil), nil)
			if err != nil {
				t.Fatal(err)
			}
			err = store.CreateSchema(t.Context(), things)
			accepted := false
			for _, d := range good {
				accepted = accepted || d == want
			}
			if accepted != (err == nil) || !accepted && fault.ClassOf(err) != fault.ErrMisconfigured {
				t.Errorf("innodb_flush_log_at_trx_commit=%d for %s: %v", flush, want, err)
			}
			if store.Features().Durability != want {
				t.Errorf("the store says %s", store.Features().Durability)
			}
			store.Close()
		}
	}
}

// D13: what no packet can hold is refused before it is sent; what is large
// together is split.
func TestPackets_D13(t *testing.T) {
	s := ownServer(t, "--max-allowed-packet=1M")
	name := s.database(t)
	store := open(t, mysql.Open(s.url(name), &mysql.Options{MaxRow: 900_000}), things)
	big := func(id string, n int) transactional.Write {
		w := put(id, 1, 1)
		w.Row.Values[1] = strings.Repeat("x", n)
		return w
	}
	_, err := store.Apply(t.Context(), unit(big("a", 3_000_000)))
	class(t, "a row over MaxRow is ErrTooLarge", err, fault.ErrTooLarge)
	u := &transactional.Unit{}
	for i := range 10 {
		u.Writes = append(u.Writes, big(fmt.Sprint("b", i), 800_000))
	}
	if _, err := store.Apply(t.Context(), u); err != nil {
		t.Errorf("rows that are too large together are written all the same: %v", err)
	}
	rows, err := store.Read(t.Context(), things, "b9")
	if err != nil || len(rows) != 1 || len(rows[0].Values[1].(string)) != 800_000 {
		t.Errorf("the last of them is %d rows, %v", len(rows), err)
	}
	liar := open(t, mysql.Open(s.url(name), nil), things) // MaxRow is over what the server takes
	if liar.Check(t.Context()).OK() {
		t.Error("Check says that rows of MaxRow do not fit")
	}
	_, err = liar.Apply(t.Context(), unit(big("c", 3_000_000)))
	class(t, "a row that the server's packet cannot hold is ErrTooLarge", err, fault.ErrTooLarge)
	if _, err := liar.Apply(t.Context(), unit(put("d", 1, 1))); err != nil {
		t.Errorf("and the next unit is fine: %v", err)
	}
}

// D17: somebody holds the table's metadata.
func TestMetadataLock_D17(t *testing.T) {
	s, name, store := fresh(t, nil, things)
	c, err := s.pool(t, name, "").Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.ExecContext(t.Context(), "LOCK TABLES ff_things WRITE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	_, err = store.Apply(ctx, unit(put("a", 1, 1)))
	cancel()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a call obeys its context while a table is locked: %v", err)
	}
	if _, err := store.Raise(t.Context(), "other", 1); err != nil {
		t.Errorf("other tables are not held up: %v", err)
	}
	if _, err := c.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Apply(t.Context(), unit(put("a", 2, 2))); err != nil {
		t.Errorf("afterwards all is well: %v", err)
	}
}

// D18: a column goes missing and comes back.
func TestSchemaDrift_D18(t *testing.T) {
	s, name, store := fresh(t, nil, things)
	s.exec(t, "ALTER TABLE "+name+".ff_things DROP COLUMN s")
	_, err := store.Apply(t.Context(), unit(put("a", 1, 1)))
	var missing *transactional.SchemaError
	if !errors.As(err, &missing) || !errors.Is(err, fault.ErrMisconfigured) || len(missing.Statements) != 1 {
		t.Fatalf("a missing column is a SchemaError with what mends it: %v", err)
	}
	s.exec(t, "USE "+name)
	s.exec(t, strings.Replace(missing.Statements[0], "`ff_things`", name+".ff_things", 1))
	if _, err := store.Apply(t.Context(), unit(put("a", 1, 1))); err != nil {
		t.Errorf("the statement mends it, and work resumes: %v", err)
	}
}

// A row that somebody keeps locked holds up those who want it, and nobody
// else.
func TestLockedRowHoldsUpItsOwn_D23(t *testing.T) {
	s, name, store := fresh(t, &mysql.Options{LockWait: time.Second}, things)
	if _, err := store.Apply(t.Context(), unit(put("held", 1, 0))); err != nil {
		t.Fatal(err)
	}
	holder, err := s.pool(t, name, "").Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Rollback()
	if _, err := holder.Exec("UPDATE " + store.Name(things) + " SET n = 5 WHERE id = 'held'"); err != nil {
		t.Fatal(err)
	}
	late := make(chan error, 2)
	var wg sync.WaitGroup
	for i := range 200 {
		if i%100 == 50 {
			go func() {
				_, err := store.Apply(context.Background(), unit(put("held", 2, 2), put(fmt.Sprint("with", i), 1, 1)))
				late <- err
			}()
			continue
		}
		wg.Go(func() {
			if _, err := store.Apply(context.Background(), unit(put(fmt.Sprint("row", i), 1, 1))); err != nil {
				t.Errorf("a unit beside one that waits for a lock succeeds: %v", err)
			}
		})
	}
	wg.Wait()
	select {
	case err := <-late:
		t.Errorf("a unit that wants a locked row waits for it: %v", err)
	default:
	}
	holder.Rollback()
	for range 2 {
		if err := <-late; err != nil {
			t.Errorf("and succeeds when it is free: %v", err)
		}
	}
	if value(t, store, "held") != 2 || value(t, store, "with50") != 1 {
		t.Error("with everything that it writes")
	}
}
