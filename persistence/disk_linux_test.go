package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A disk is a layer in process whose file's system calls strace lets fail, or
// wait: those of this very process.
type disk struct {
	*testing.T
	dir   string
	layer *persistence.Layer
	stop  func() // its workers
	pages *persistence.Handle[page]

	mu    sync.Mutex
	acked []string
}

// openDisk opens a layer that works until the test ends. Pages have a task after
// their acceptance.
func openDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{T: t, dir: t.TempDir()}
	d.open()
	d.stop = persistencetest.Work(t, d.layer)
	r, err := d.put(t.Context(), "before")
	wait(t, r, err)
	return d
}

func (d *disk) open() {
	d.Helper()
	layer, err := embedded.Open(d.Context(), d.dir, nil)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { layer.Close() })
	d.layer = layer
	d.pages = persistence.Declare(layer, "page", persistence.Plan[page]{
		{Priority: 1, Name: "object", Purpose: persistence.Amorphous},
	}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
}

// reopened closes the layer and opens it again: what was accepted is there.
func (d *disk) reopened(absent ...string) {
	d.Helper()
	d.stop()
	if err := d.layer.Close(); err != nil {
		d.Error("close:", err)
	}
	d.open()
	eventually(d, 30*time.Second, "what failed while the disk was ill is done", func() bool {
		left, err := d.layer.Drain(d.Context())
		return err == nil && len(left) == 0
	})
	for _, id := range d.acked {
		if _, err := d.pages.Get(d.Context(), id); err != nil {
			d.Errorf("%s was accepted: %v", id, err)
		}
	}
	for _, id := range absent {
		if _, err := d.pages.Get(d.Context(), id); !errors.Is(err, fault.ErrNotFound) {
			d.Errorf("%s was refused, and not applied: %v", id, err)
		}
	}
}

// put puts a page, and notes it when it was accepted.
func (d *disk) put(ctx context.Context, id string) (*persistence.Receipt, error) {
	r, err := d.pages.Put(ctx, page{id, "a page"})
	if err == nil || fault.Accepted(err) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.acked = append(d.acked, id)
	}
	return r, err
}

// fails makes calls of the file, or of its log, fail until end is called.
func (d *disk) fails(how string) (end func() int) {
	d.Helper()
	calls, _, _ := strings.Cut(how, ":")
	return servers.Inject(d, os.Getpid(), "-e", "trace="+calls, "-e", "inject="+how,
		"-P", filepath.Join(d.dir, "fourfold.db"), "-P", filepath.Join(d.dir, "fourfold.db-wal"))
}

// resumes puts until one is accepted again, by itself.
func (d *disk) resumes() {
	d.Helper()
	eventually(d, 30*time.Second, "the disk is well again, and takes what is put", func() bool {
		_, err := d.put(d.Context(), fmt.Sprint("after", len(d.acked)))
		return err == nil
	})
}

// A disk that is full: what is put is refused and not applied, what is there can
// be read, and when there is room again everything goes on by itself.
func TestAFullDisk_A12(t *testing.T) {
	d := openDisk(t)
	room := d.fails("pwrite64:error=ENOSPC")
	var refused []string
	for i := range 5 {
		id := fmt.Sprint("full", i)
		if _, err := d.put(t.Context(), id); fault.OutcomeOf(err) != fault.NotApplied || !errors.Is(err, fault.ErrUnavailable) {
			t.Errorf("put on a full disk: %v, want unavailable, not applied", err)
		}
		refused = append(refused, id)
		if _, err := d.pages.Get(t.Context(), "before"); err != nil {
			t.Errorf("read on a full disk: %v", err)
		}
	}
	if n := room(); n < 5 {
		t.Fatalf("the disk was full for %d writes: nothing is proved", n)
	}
	d.resumes()
	d.reopened(refused...)
}

// A disk that takes 200 ms for each fsync: those who wait share it, so that many
// callers wait for a few of them, and one that is in a hurry leaves with its
// context.
func TestASlowDisk_A13(t *testing.T) {
	d := openDisk(t)
	fast := d.fails("fsync,fdatasync:delay_enter=200ms")
	const callers, each = 64, 2
	var all sync.WaitGroup
	took := make([]time.Duration, callers*each)
	for c := range callers {
		all.Go(func() {
			for n := range each {
				began := time.Now()
				if _, err := d.put(t.Context(), fmt.Sprint("slow", c, "-", n)); err != nil {
					t.Error(err)
				}
				took[c*each+n] = time.Since(began)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := d.pages.Put(ctx, page{"hasty", "a page"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a Put in a hurry: %v after %v, want its context's error", err, time.Since(began))
	}
	if n := runtime.NumGoroutine(); n > 3*callers+100 {
		t.Errorf("%d goroutines for %d callers", n, callers)
	}
	all.Wait()
	slow := fast()
	slices.Sort(took)
	t.Logf("%d Puts shared %d slow fsyncs; the median took %v, the slowest %v", len(took), slow, took[len(took)/2], took[len(took)-1])
	if slow == 0 || slow > len(took)/4 {
		t.Errorf("%d Puts, %d slow fsyncs: want some, and far fewer than Puts", len(took), slow)
	}
	d.resumes()
	d.reopened()
}

// A disk that fails now and then, at reads, writes and fsyncs: what was accepted
// is there, what was refused is not, and a file that cannot be read is not opened.
func TestADiskWithErrors_A14(t *testing.T) {
	d := openDisk(t)
	well := d.fails("pread64,pwrite64,fsync,fdatasync:error=EIO:when=3+7")
	var refused []string
	for i := range 60 {
		id := fmt.Sprint("eio", i)
		if _, err := d.put(t.Context(), id); err != nil && !fault.Accepted(err) && fault.OutcomeOf(err) == fault.NotApplied {
			refused = append(refused, id)
		}
	}
	struck := well()
	t.Logf("%d calls failed; of 60 Puts %d were accepted, and %d refused", struck, len(d.acked)-1, len(refused))
	if struck < 5 || len(d.acked) < 5 {
		t.Fatal("nothing is proved")
	}
	d.resumes()
	d.reopened(refused...)
	d.stop()
	if err := d.layer.Close(); err != nil {
		t.Fatal(err)
	}
	well = d.fails("pread64:error=EIO")
	if layer, err := embedded.Open(t.Context(), d.dir, nil); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a file that cannot be read was opened: %v, %v; want unavailable", layer, err)
	}
	if well() == 0 {
		t.Fatal("no read failed: nothing is proved")
	}
	d.open()
	d.reopened(refused...)
}
