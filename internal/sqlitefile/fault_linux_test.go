package sqlitefile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// breakLog puts another file behind every descriptor that this process has of
// the write-ahead log, as a failing disk would: /dev/full takes no byte, and
// /dev/null takes all and cannot be synced.
func breakLog(t *testing.T, f *File, with string) {
	t.Helper()
	idleWriter(t, f)
	other, err := syscall.Open(with, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(other)
	broken := 0
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || target != filepath.Join(f.db.dir, databaseName+"-wal") {
			continue
		}
		var fd int
		fmt.Sscan(e.Name(), &fd)
		if err := syscall.Dup3(other, fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		broken++
	}
	if broken == 0 {
		t.Fatal("no descriptor of the log was found")
	}
}

// writeTogether writes n units, with keys from from on, in one group.
func writeTogether(t *testing.T, f *File, from, n int, unit func(c Conn, k int) error) []error {
	t.Helper()
	f.db.writer.work = time.Minute // or a slow machine makes two groups of it, and the second has a new connection
	release, blocked := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = f.Write(t.Context(), func(Conn) error { close(blocked); <-release; return errors.New("only to block") })
	})
	<-blocked
	errs := make([]error, n)
	for i := range errs {
		wg.Go(func() { errs[i] = f.Write(t.Context(), func(c Conn) error { return unit(c, from+i) }) })
		waitFor(t, f, i+1)
	}
	close(release)
	wg.Wait()
	return errs
}

func insert(t *testing.T) func(c Conn, k int) error {
	return func(c Conn, k int) error {
		_, err := c.Exec(t.Context(), "INSERT INTO t VALUES (?, ?)", k, strings.Repeat("x", 500))
		return err
	}
}

func TestAFailingDisk_A11_A12(t *testing.T) {
	for _, test := range []struct {
		name, device string
		class        error
	}{
		{"full", "/dev/full", fault.ErrUnavailable},
		{"an fsync fails", "/dev/null", fault.ErrUnknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := openTest(t, Options{})
			mustWrite(t, f, "INSERT INTO t VALUES (1, 1)")
			breakLog(t, f, test.device)
			for i, err := range writeTogether(t, f, 10, 5, insert(t)) {
				if fault.ClassOf(err) != test.class {
					t.Errorf("unit %d: %v, want %v for all of the group", i, err, test.class)
				}
			}
			mended := false
			for range 3 { // a full disk that has room again, a connection that is opened again
				if mended = write(t.Context(), f, "INSERT INTO t VALUES (2, 2)") == nil; mended {
					break
				}
				reconnect(t, f)
			}
			if !mended {
				t.Fatal("the writer never came back")
			}
			var sum int
			err := f.Read(t.Context(), func(c Conn) error {
				return c.Query(t.Context(), "SELECT sum(k) FROM t", nil, func(scan func(...any) error) error { return scan(&sum) })
			})
			if err != nil || sum != 3 {
				t.Errorf("sum %d, %v: what was acknowledged before and after is there, and nothing of the group", sum, err)
			}
		})
	}
}

// reconnect gives the writer a new connection, and with it the real log.
func reconnect(t testing.TB, f *File) {
	idleWriter(t, f)
	f.db.writer.discard()
}

func TestAFullDatabaseRollsTheGroupBack(t *testing.T) {
	f := openTest(t, Options{})
	pages := "PRAGMA max_page_count = 10"
	if err := idleWriter(t, f).control(pages); err != nil {
		t.Fatal(err)
	}
	errs := writeTogether(t, f, 0, 3, func(c Conn, k int) error {
		if k < 2 {
			return insert(t)(c, k)
		}
		for i := range 200 {
			if err := insert(t)(c, 100+i); err != nil {
				if again := insert(t)(c, 99); !errors.Is(again, fault.ErrUnavailable) {
					t.Errorf("the statement after it: %v, want the same: SQLite may have ended the transaction", again)
				}
				return nil // a unit that swallows it must not be acknowledged
			}
		}
		return nil
	})
	for i, err := range errs {
		if !errors.Is(err, fault.ErrUnavailable) || fault.OutcomeOf(err) != fault.NotApplied {
			t.Errorf("unit %d: %v, want unavailable, not applied", i, err)
		}
	}
	if n := count(t, f); n != 0 {
		t.Errorf("%d rows, want none of the group", n)
	}
	mustWrite(t, f, "INSERT INTO t VALUES (1, 1)")
}

func TestAnotherProgramHoldsTheFile_A15(t *testing.T) {
	f := openTest(t, Options{})
	if err := idleWriter(t, f).control("PRAGMA busy_timeout = 10"); err != nil {
		t.Fatal(err)
	}
	other, err := openRaw(filepath.Join(f.db.dir, databaseName))
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if err := other.control("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	err = write(t.Context(), f, "INSERT INTO t VALUES (1, 1)")
	if !errors.Is(err, fault.ErrBusy) || fault.OutcomeOf(err) != fault.NotApplied {
		t.Errorf("err = %v, want busy, not applied", err)
	}
	if err := other.control("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := idleWriter(t, f).control("PRAGMA busy_timeout = 5000"); err != nil { // others of ours take the lock for a moment
		t.Fatal(err)
	}
	mustWrite(t, f, "INSERT INTO t VALUES (1, 1)")
}
