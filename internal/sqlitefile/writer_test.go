package sqlitefile

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func TestNeighboursOfAnInterruptedWrite(t *testing.T) {
	f := openTest(t, Options{UnitTimeout: 100 * time.Millisecond})
	f.db.writer.work = time.Minute // the three make one group on a slow machine, too
	release, blocked := make(chan struct{}), make(chan struct{})
	before := make(chan error, 1)
	go func() {
		before <- f.Write(t.Context(), func(c Conn) error {
			close(blocked)
			<-release
			_, err := c.Exec(t.Context(), "INSERT INTO t VALUES (1, 1)")
			return err
		})
	}()
	<-blocked
	hog := make(chan error, 1)
	go func() { hog <- write(t.Context(), f, "INSERT INTO t "+endless+"SELECT i + 10, i FROM n") }()
	waitFor(t, f, 1)
	after := make(chan error, 1)
	go func() { after <- write(t.Context(), f, "INSERT INTO t VALUES (2, 2)") }()
	waitFor(t, f, 2)
	close(release)
	if err := <-hog; !errors.Is(err, context.DeadlineExceeded) || fault.OutcomeOf(err) != fault.NotApplied {
		t.Errorf("err = %v, want a deadline for the unit that was cut off", err)
	}
	if err := <-before; !errors.Is(err, fault.ErrBusy) {
		t.Errorf("err = %v, want busy: SQLite rolled back the group", err)
	}
	if err := <-after; err != nil {
		t.Errorf("err = %v, want nil for a unit that came after it", err)
	}
	if n := count(t, f); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

func TestASleepingUnitLeavesItsNeighboursAlone(t *testing.T) {
	f := openTest(t, Options{UnitTimeout: 100 * time.Millisecond})
	sleep := make(chan struct{})
	defer close(sleep)
	errs := make([]chan error, 5)
	release, blocked := make(chan struct{}), make(chan struct{})
	go f.Write(context.Background(), func(Conn) error { close(blocked); <-release; return nil })
	<-blocked
	for i := range errs {
		errs[i] = make(chan error, 1)
		go func() {
			errs[i] <- f.Write(t.Context(), func(c Conn) error {
				if _, err := c.Exec(t.Context(), "INSERT INTO t VALUES (?, 0)", i); err != nil {
					return err
				}
				if i == 2 {
					// In the middle of a query, so that one is open.
					return c.Query(t.Context(), "SELECT k FROM t", nil, func(func(...any) error) error { <-sleep; return nil })
				}
				return nil
			})
		}()
		waitFor(t, f, i+1)
	}
	close(release)
	for i, c := range errs {
		if err := <-c; (err != nil) != (i == 2) {
			t.Errorf("unit %d: %v; only the one that sleeps is rolled back", i, err)
		}
	}
	if n := count(t, f); n != 4 {
		t.Errorf("%d rows, want 4", n)
	}
}

// waitFor waits until n units wait.
func waitFor(t testing.TB, f *File, n int) {
	t.Helper()
	eventually(t, 30*time.Second, fmt.Sprint(n, " units wait"), func() bool { return f.db.writer.waiting() >= n })
}

func TestAUnitThatEndsItsGoroutine(t *testing.T) {
	f := openTest(t, Options{})
	err := f.Write(t.Context(), func(c Conn) error {
		_, _ = c.Exec(t.Context(), "INSERT INTO t VALUES (1, 1)")
		runtime.Goexit()
		return nil
	})
	if err == nil || fault.OutcomeOf(err) != fault.NotApplied {
		t.Errorf("err = %v, want an error, not applied", err)
	}
	mustWrite(t, f, "INSERT INTO t VALUES (2, 2)")
	if n := count(t, f); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

func TestAPanicKeepsItsError(t *testing.T) {
	f := openTest(t, Options{})
	mine := errors.New("mine")
	err := f.Write(t.Context(), func(Conn) error { panic(mine) })
	if !errors.Is(err, mine) || !strings.Contains(err.Error(), "writer_test.go") {
		t.Errorf("err = %v, want the value and where it came from", err)
	}
}

func TestAConnEndsWithItsUnit(t *testing.T) {
	f := openTest(t, Options{})
	var kept []Conn
	keep := func(c Conn) error { kept = append(kept, c); return nil }
	if err := errors.Join(f.Write(t.Context(), keep), f.Read(t.Context(), keep)); err != nil {
		t.Fatal(err)
	}
	for _, c := range kept {
		if _, err := c.Exec(t.Context(), "INSERT INTO t VALUES (1, 1)"); !errors.Is(err, fault.ErrClosed) {
			t.Errorf("Exec: %v, want closed", err)
		}
		err := c.Query(t.Context(), "SELECT 1", nil, func(func(...any) error) error { return nil })
		if !errors.Is(err, fault.ErrClosed) {
			t.Errorf("Query: %v, want closed", err)
		}
	}
}

func TestControlCannotReachTheGroup(t *testing.T) {
	f := openTest(t, Options{})
	err := f.Write(t.Context(), func(c Conn) error {
		if _, err := c.Exec(t.Context(), "INSERT INTO t VALUES (1, 1)"); err != nil {
			return err
		}
		if _, err := c.Exec(t.Context(), "COMMIT"); !errors.Is(err, fault.ErrRefused) {
			t.Errorf("COMMIT: %v, want refused", err)
		}
		return errors.New("roll back")
	})
	if n := count(t, f); err == nil || n != 0 {
		t.Errorf("%v, %d rows: a unit must not commit", err, n)
	}
}

func TestQueriesInsideQueries(t *testing.T) {
	f := openTest(t, Options{})
	stop := errors.New("enough")
	rows := 0
	err := f.Write(t.Context(), func(c Conn) error {
		for k := range 4 {
			if _, err := c.Exec(t.Context(), "INSERT INTO t VALUES (?, 0)", k); err != nil {
				return err
			}
		}
		const q = "SELECT k FROM t ORDER BY k"
		err := c.Query(t.Context(), q, nil, func(scan func(...any) error) error {
			var outer int
			if err := scan(&outer); err != nil {
				return err
			}
			if outer == 2 {
				return stop
			}
			return c.Query(t.Context(), q, nil, func(func(...any) error) error {
				rows++
				_, err := c.Exec(t.Context(), "UPDATE t SET v = v + 1 WHERE k = ?", outer)
				return err
			})
		})
		if err != stop {
			t.Errorf("err = %v, want the callback's own, untouched", err)
		}
		return nil
	})
	if err != nil || rows != 8 {
		t.Errorf("%d inner rows, %v; want 8: the same text may run inside itself", rows, err)
	}
}

func TestExecCountsRows(t *testing.T) {
	f := openTest(t, Options{})
	err := f.Write(t.Context(), func(c Conn) error {
		n, err := c.Exec(t.Context(), "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)")
		if err != nil || n != 3 {
			t.Errorf("%d, %v; want 3", n, err)
		}
		n, err = c.Exec(t.Context(), "DELETE FROM t WHERE k > ?", 1)
		if err != nil || n != 2 {
			t.Errorf("%d, %v; want 2", n, err)
		}
		_, err = c.Exec(t.Context(), "-- nothing to do")
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestStatementsArePreparedOnce(t *testing.T) {
	f := openTest(t, Options{})
	err := f.Write(t.Context(), func(c Conn) error {
		for i := range 2 * cachedStmts {
			if _, err := c.Exec(t.Context(), fmt.Sprintf("INSERT INTO t VALUES (?, %d)", i), i); err != nil {
				return err
			}
			if _, err := c.Exec(t.Context(), "UPDATE t SET v = 0 WHERE k = ?", i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	cache := idleWriter(t, f).cache
	if cache.recent.Len() != cachedStmts || len(cache.byText) != cachedStmts {
		t.Errorf("%d statements are kept, want %d: the cache is bounded", cache.recent.Len(), cachedStmts)
	}
	if !cache.knows("UPDATE t SET v = 0 WHERE k = ?") || cache.knows("INSERT INTO t VALUES (?, 0)") {
		t.Error("the cache keeps what was used last")
	}
}

// TestInterruptWithoutTheHandle covers a version of the driver that keeps the
// connection's handle elsewhere, and that with this one the handle is found.
func TestInterruptWithoutTheHandle(t *testing.T) {
	f := openTest(t, Options{UnitTimeout: 50 * time.Millisecond})
	raw := idleWriter(t, f)
	if raw.cutter.handle == 0 {
		t.Error("the handle was not found: every statement now costs a goroutine")
	}
	raw.cutter = newCutter(struct{ *noConn }{})
	if raw.cutter.handle != 0 {
		t.Fatal("a handle was found where there is none")
	}
	if err := write(t.Context(), f, endless+"SELECT count(*) FROM n"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v, want a deadline", err)
	}
	mustWrite(t, f, "INSERT INTO t VALUES (1, 1)")
}

func TestTheLogStaysShort(t *testing.T) {
	f := openTest(t, Options{Relaxed: true})
	limits := logLimits{pass: 20, short: 10, long: 60, atMost: 200}
	idleWriter(t, f)
	f.db.writer.log.limits = limits
	most := 0
	for i := range 1500 {
		mustWrite(t, f, "INSERT INTO t VALUES (?, ?)", i, strings.Repeat("x", 1000))
		pages, _, err := idleWriter(t, f).checkpoint("NOOP")
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, pages)
	}
	if most > limits.atMost+limits.pass {
		t.Errorf("the log grew to %d pages, over %d", most, limits.atMost)
	}
	if most == 0 {
		t.Error("no page of the log was ever seen")
	}
}
