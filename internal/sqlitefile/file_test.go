package sqlitefile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirVariable); dir != "" {
		crashChild(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

func openTest(t testing.TB, opts Options) *File {
	t.Helper()
	f, err := Open(t.Context(), filepath.Join(t.TempDir(), "data"), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	mustWrite(t, f, "CREATE TABLE t (k INTEGER PRIMARY KEY, v ANY) STRICT")
	return f
}

func mustWrite(t testing.TB, f *File, query string, args ...any) {
	t.Helper()
	if err := write(t.Context(), f, query, args...); err != nil {
		t.Fatal(err)
	}
}

func write(ctx context.Context, f *File, query string, args ...any) error {
	return f.Write(ctx, func(c Conn) error {
		_, err := c.Exec(ctx, query, args...)
		return err
	})
}

func count(t testing.TB, f *File) (n int) {
	t.Helper()
	err := f.Read(t.Context(), func(c Conn) error {
		return c.Query(t.Context(), "SELECT count(*) FROM t", nil, func(scan func(...any) error) error { return scan(&n) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOpenRefuses_A16(t *testing.T) {
	base := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(base, "real"), 0o700))
	must(os.Symlink(filepath.Join(base, "real"), filepath.Join(base, "link")))
	must(os.WriteFile(filepath.Join(base, "file"), nil, 0o600))
	must(os.Mkdir(filepath.Join(base, "wide"), 0o700))
	must(os.Chmod(filepath.Join(base, "wide"), 0o770))
	must(os.Mkdir(filepath.Join(base, "other"), 0o700))
	must(os.Symlink("elsewhere", filepath.Join(base, "other", databaseName)))
	tests := map[string]struct {
		dir   string
		class error
	}{
		"no name":                            {"", fault.ErrInvalid},
		"a symbolic link":                    {filepath.Join(base, "link"), fault.ErrMisconfigured},
		"a file":                             {filepath.Join(base, "file"), fault.ErrMisconfigured},
		"a directory that others write to":   {filepath.Join(base, "wide"), fault.ErrMisconfigured},
		"a database that is a symbolic link": {filepath.Join(base, "other"), fault.ErrMisconfigured},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f, err := Open(t.Context(), test.dir, Options{})
			if !errors.Is(err, test.class) {
				t.Errorf("err = %v, want %v", err, test.class)
			}
			if f != nil {
				f.Close()
			}
		})
	}
}

// TestSynchronous: a commit is fsynced unless that was given up by name.
func TestSynchronous(t *testing.T) {
	for relaxed, want := range map[bool]int{false: 2, true: 1} { // FULL, NORMAL
		f := openTest(t, Options{Relaxed: relaxed})
		var (
			synchronous int
			journal     string
		)
		err := f.Write(t.Context(), func(c Conn) error {
			const query = "SELECT s.synchronous, j.journal_mode FROM pragma_synchronous s, pragma_journal_mode j"
			return c.Query(t.Context(), query, nil, func(scan func(...any) error) error { return scan(&synchronous, &journal) })
		})
		if err != nil || synchronous != want || journal != "wal" {
			t.Errorf("relaxed %t: synchronous is %d and the journal %q, %v; want %d and wal", relaxed, synchronous, journal, err, want)
		}
	}
}

func TestOpensShareOneFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	second, err := Open(t.Context(), dir+"/../data/", Options{})
	if err != nil {
		t.Fatalf("the same directory by another name: %v", err)
	}
	if _, err := Open(t.Context(), dir, Options{Relaxed: true}); !errors.Is(err, fault.ErrMisconfigured) {
		t.Errorf("err = %v, want misconfigured for other options", err)
	}
	mustWrite(t, first, "CREATE TABLE t (k)")
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if err := first.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if err := write(t.Context(), first, "INSERT INTO t VALUES (1)"); !errors.Is(err, fault.ErrClosed) {
		t.Errorf("err = %v, want closed for the opening that was closed", err)
	}
	if err := first.Read(t.Context(), func(Conn) error { return nil }); !errors.Is(err, fault.ErrClosed) {
		t.Errorf("err = %v, want closed", err)
	}
	mustWrite(t, second, "INSERT INTO t VALUES (1)")
	if n := count(t, second); n != 1 {
		t.Errorf("%d rows; the other opening must go on", n)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, databaseName+"-wal")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the last Close must checkpoint the log and remove it")
	}
}

func TestWritesShareGroupsAndFailAlone(t *testing.T) {
	f := openTest(t, Options{})
	release, blocked := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = f.Write(t.Context(), func(Conn) error { close(blocked); <-release; return nil })
	})
	<-blocked
	mine := errors.New("mine")
	errs := make([]error, 51)
	for i := range errs {
		wg.Go(func() {
			errs[i] = f.Write(t.Context(), func(c Conn) error {
				if _, err := c.Exec(t.Context(), "INSERT INTO t VALUES (?, ?)", i, i); err != nil {
					return err
				}
				switch i {
				case 17:
					return mine
				case 23:
					panic("boom")
				case 31:
					_, err := c.Exec(t.Context(), "INSERT INTO t VALUES (?, ?)", i, i)
					return err
				}
				return nil
			})
		})
	}
	waitFor(t, f, len(errs))
	close(release)
	wg.Wait()
	for i, err := range errs {
		switch i {
		case 17:
			if err != mine {
				t.Errorf("err = %v, want the unit's own", err)
			}
		case 23:
			if err == nil || !strings.Contains(err.Error(), "boom") {
				t.Errorf("err = %v, want the panic", err)
			}
		case 31:
			if !errors.Is(err, fault.ErrExists) {
				t.Errorf("err = %v, want exists", err)
			}
		default:
			if err != nil {
				t.Errorf("unit %d: %v, but only its neighbours failed", i, err)
			}
		}
	}
	if n := count(t, f); n != 48 {
		t.Errorf("%d rows, want 48: those of failed units are rolled back", n)
	}
}

func TestAHoggingUnitIsCutOff(t *testing.T) {
	f := openTest(t, Options{UnitTimeout: 50 * time.Millisecond})
	release := make(chan struct{})
	late := make(chan error, 1)
	err := f.Write(t.Context(), func(c Conn) error {
		if _, err := c.Exec(t.Context(), "INSERT INTO t VALUES (1, 1)"); err != nil {
			return err
		}
		<-release
		_, err := c.Exec(t.Context(), "INSERT INTO t VALUES (2, 2)")
		late <- err
		return err
	})
	if !errors.Is(err, context.DeadlineExceeded) || fault.OutcomeOf(err) != fault.NotApplied {
		t.Errorf("err = %v, want a deadline, and not applied", err)
	}
	mustWrite(t, f, "INSERT INTO t VALUES (3, 3)") // although the function still sleeps
	close(release)
	if err := <-late; !errors.Is(err, fault.ErrClosed) {
		t.Errorf("err = %v, want closed: the connection is revoked", err)
	}
	if n := count(t, f); n != 1 {
		t.Errorf("%d rows, want only the later unit's", n)
	}
}

const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) "

func TestARunningStatementIsCutOff(t *testing.T) {
	for name, query := range map[string]string{
		"reading": endless + "SELECT count(*) FROM n",
		"writing": "INSERT INTO t " + endless + "SELECT i, i FROM n",
	} {
		t.Run(name, func(t *testing.T) {
			f := openTest(t, Options{UnitTimeout: 50 * time.Millisecond})
			err := write(t.Context(), f, query)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("err = %v, want a deadline", err)
			}
			mustWrite(t, f, "INSERT INTO t VALUES (1, 1)")
			if n := count(t, f); n != 1 {
				t.Errorf("%d rows, want 1", n)
			}
		})
	}
}

func TestContexts(t *testing.T) {
	f := openTest(t, Options{})
	release, blocked := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan error, 1)
	go func() {
		started <- f.Write(ctx, func(c Conn) error {
			close(blocked)
			<-release
			_, err := c.Exec(context.Background(), "INSERT INTO t VALUES (1, 1)")
			return err
		})
	}()
	<-blocked
	waits := make(chan error, 1)
	go func() { waits <- write(ctx, f, "INSERT INTO t VALUES (2, 2)") }()
	waitFor(t, f, 1)
	cancel()
	if err := <-waits; err != context.Canceled {
		t.Errorf("err = %v, want ctx's own: the unit had not started", err)
	}
	if err := <-started; !errors.Is(err, context.Canceled) || !fault.Unknown(err) {
		t.Errorf("err = %v, want ctx's and unknown: the unit had started", err)
	}
	close(release)
	mustWrite(t, f, "INSERT INTO t VALUES (3, 3)")
	if n := count(t, f); n != 2 {
		t.Errorf("%d rows, want 2: what had started goes on, what had not is withdrawn", n)
	}
	if err := write(ctx, f, "INSERT INTO t VALUES (4, 4)"); err != context.Canceled {
		t.Errorf("err = %v, want ctx's own", err)
	}
}

func TestReadIsInterrupted(t *testing.T) {
	f := openTest(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := f.Read(ctx, func(c Conn) error {
		return c.Query(ctx, endless+"SELECT count(*) FROM n", nil, func(func(...any) error) error { return nil })
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v, want ctx's", err)
	}
	for range 2 * 4 { // every reader still serves
		count(t, f)
	}
}

func TestReadIsOneSnapshot(t *testing.T) {
	f := openTest(t, Options{})
	mustWrite(t, f, "INSERT INTO t VALUES (1, 1)")
	err := f.Read(t.Context(), func(c Conn) error {
		var before, after int
		query := func(n *int) error {
			return c.Query(t.Context(), "SELECT count(*) FROM t", nil, func(scan func(...any) error) error { return scan(n) })
		}
		if err := query(&before); err != nil {
			return err
		}
		mustWrite(t, f, "INSERT INTO t VALUES (2, 2)")
		if err := query(&after); err != nil {
			return err
		}
		if before != 1 || after != 1 {
			return fmt.Errorf("saw %d, then %d rows", before, after)
		}
		_, err := c.Exec(t.Context(), "INSERT INTO t VALUES (3, 3)")
		if !errors.Is(err, fault.ErrMisconfigured) {
			return fmt.Errorf("a reader wrote: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// waiting returns how many units wait.
func (w *writer) waiting() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for j := w.head; j != nil; j = j.next {
		n++
	}
	return n
}

// idleWriter waits until nobody leads, and returns the connection, which is
// then the test's to use until it writes again.
func idleWriter(t testing.TB, f *File) *rawConn {
	t.Helper()
	eventually(t, 30*time.Second, "nobody leads", func() bool {
		f.db.writer.mu.Lock()
		defer f.db.writer.mu.Unlock()
		return !f.db.writer.leads
	})
	return f.db.writer.raw
}

// eventually asks until something holds: a real file takes part.
func eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}
