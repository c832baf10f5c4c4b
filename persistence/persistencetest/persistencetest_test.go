package persistencetest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/volatile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A recorder is a test that notes its failures instead of failing.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Error(args ...any)   { r.Errorf("%s", fmt.Sprint(args...)) }
func (r *recorder) Cleanup(f func())    { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Logf(string, ...any) {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(r) // ends what failed, as a test's goroutine would
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

// run runs what may fail, and its cleanups.
func (r *recorder) run(f func(tb testing.TB)) string {
	func() {
		defer func() {
			if v := recover(); v != nil && v != any(r) {
				panic(v)
			}
		}()
		f(r)
	}()
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
	return strings.Join(r.failures, "\n")
}

func noteKind(layer *persistence.Layer, do func(context.Context, note) error) *persistence.Handle[note] {
	return persistence.Declare(layer, "note", persistence.Plan[note]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, MaxAttempts: 1, Do: do},
	})
}

func fine(context.Context, note) error { return nil }

// "A test that leaves tasks unfinished, or dead letters unseen, fails."
func TestWorkThatIsLeftFailsTheTest(t *testing.T) {
	broken := func(context.Context, note) error { return errors.New("broken") }
	for _, c := range []struct {
		name  string
		do    func(context.Context, note) error
		drain bool
		opts  persistencetest.Options
		want  string // in the failure; empty: none
	}{
		{name: "pending", do: fine, want: "1 of note/tell pending"},
		{name: "dead", do: broken, drain: true, want: "1 of note/tell dead"},
		{name: "drained", do: fine, drain: true},
		{name: "allowed", do: fine, opts: persistencetest.Options{Unfinished: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := (&recorder{TB: t}).run(func(tb testing.TB) {
				layer := persistencetest.Open(tb, c.opts)
				notes := noteKind(layer, c.do)
				if _, err := notes.Put(t.Context(), note{ID: "n"}); err != nil {
					t.Fatal(err)
				}
				if c.drain {
					persistencetest.Drain(tb, layer)
				}
			})
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("the test reports %q, want %q", got, c.want)
			}
		})
	}
}

func TestOpenClosesOnceAndMayBeClosedBefore(t *testing.T) {
	var layer *persistence.Layer
	got := (&recorder{TB: t}).run(func(tb testing.TB) {
		layer = persistencetest.Open(tb)
		noteKind(layer, fine)
	})
	if _, err := layer.Stats(t.Context()); got != "" || !errors.Is(err, fault.ErrClosed) {
		t.Errorf("after its test the layer is not closed: %v, %q", err, got)
	}
	got = (&recorder{TB: t}).run(func(tb testing.TB) { persistencetest.Open(tb).Close() })
	if got != "" {
		t.Errorf("a layer that the test closed itself: %q", got)
	}
	got = (&recorder{TB: t}).run(func(tb testing.TB) {
		persistencetest.Open(tb, persistencetest.Options{}, persistencetest.Options{})
	})
	if !strings.Contains(got, "one Options, not 2") {
		t.Errorf("two Options: %q", got)
	}
}

// A handler that ignores its context does not hang the test for ever.
func TestAHandlerThatHangsIsReported_A24(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		r := &recorder{TB: t}
		got := r.run(func(tb testing.TB) {
			layer := persistencetest.Open(tb, persistencetest.Options{Dir: dir, Unfinished: true})
			started := make(chan struct{})
			notes := noteKind(layer, func(context.Context, note) error { close(started); <-hang; return nil })
			ctx, cancel := context.WithCancel(context.Background())
			go layer.Work(ctx)
			defer cancel()
			if _, err := notes.Put(t.Context(), note{ID: "n"}); err != nil {
				t.Fatal(err)
			}
			<-started
		})
		if !strings.Contains(got, "does not close within") || !strings.Contains(got, "goroutine") {
			t.Errorf("the test reports %q", got)
		}
		close(hang)
	})
}

// stores are the four drivers behind Faults.
type stores struct {
	q transitory.Driver
	c volatile.Driver
	r transactional.Driver
	a amorphous.Driver
}

func openStores(t *testing.T, f *persistencetest.Faults) stores {
	t.Helper()
	s := f.Wrap(embedded.Stores(t.TempDir()))
	var out stores
	var errs [4]error
	out.q, errs[0] = s.Transitory.OpenDriver(t.Context())
	out.c, errs[1] = s.Volatile.OpenDriver(t.Context())
	out.r, errs[2] = s.Transactional.OpenDriver(t.Context())
	out.a, errs[3] = s.Amorphous.OpenDriver(t.Context())
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(out.q.Close(), out.c.Close(), out.r.Close(), out.a.Close()); err != nil {
			t.Error(err)
		}
	})
	return out
}

var table = amorphous.Table{Name: "notes"}

// change makes the n-th change in each store; the answers are by purpose.
func (s *stores) change(ctx context.Context, n int) map[persistence.Purpose]error {
	key := fmt.Sprint("k", n)
	return map[persistence.Purpose]error{
		persistence.Transitory: s.q.Put(ctx, []transitory.Job{{Tube: "t", Body: []byte(key)}})[0],
		persistence.Volatile:   s.c.Set(ctx, []volatile.Item{{Key: key}})[0],
		persistence.Transactional: s.r.Run(ctx, func(c transactional.Conn) error {
			if _, err := c.Exec(ctx, "CREATE TABLE IF NOT EXISTS t (k TEXT)"); err != nil {
				return err
			}
			_, err := c.Exec(ctx, "INSERT INTO t VALUES (?)", key)
			return err
		}),
		persistence.Amorphous: s.a.Write(ctx, table, []amorphous.Row{{Partition: "p", ID: key, Shape: 1, Stamp: amorphous.Stamp{Version: 1}}})[0],
	}
}

// there reports where the n-th change is.
func (s *stores) there(t *testing.T, n int) map[persistence.Purpose]bool {
	t.Helper()
	ctx, key := t.Context(), fmt.Sprint("k", n)
	out := map[persistence.Purpose]bool{}
	stats, err := s.q.Stats(ctx, []string{"t"})
	if err != nil {
		t.Fatal(err)
	}
	out[persistence.Transitory] = stats[0].Ready > n
	items, err := s.c.Get(ctx, []string{key})
	if err != nil {
		t.Fatal(err)
	}
	out[persistence.Volatile] = len(items) > 0
	err = s.r.View(ctx, func(c transactional.Conn) error {
		return c.Query(ctx, "SELECT k FROM t WHERE k = ?", []any{key}, func(func(...any) error) error {
			out[persistence.Transactional] = true
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.a.Read(ctx, table, []amorphous.Address{{Partition: "p", ID: key}})
	if err != nil {
		t.Fatal(err)
	}
	out[persistence.Amorphous] = len(rows) > 0
	return out
}

var all = []persistence.Purpose{persistence.Transitory, persistence.Volatile, persistence.Transactional, persistence.Amorphous}

// Every fault, in every store: its class, and whether the change happened.
func TestEveryFaultInEveryStore(t *testing.T) {
	f := persistencetest.NewFaults()
	s := openStores(t, f)
	n := 0
	for p, err := range s.change(t.Context(), n) {
		if err != nil || !s.there(t, n)[p] {
			t.Fatalf("%s: without faults: %v", p, err)
		}
	}
	for _, c := range []struct {
		name    string
		inject  func(p persistence.Purpose)
		class   error
		applied bool
	}{
		{"down", func(p persistence.Purpose) { f.Down(p) }, fault.ErrUnavailable, false},
		{"busy", func(p persistence.Purpose) { f.Busy(p, 1) }, fault.ErrBusy, false},
		{"dropped", func(p persistence.Purpose) { f.Dropped(p, 1) }, fault.ErrUnknown, false},
		{"refused", func(p persistence.Purpose) {
			f.Refuse(p, func(persistencetest.Op) error { return errors.New("no") })
		}, fault.ErrRefused, false},
		{"unknown", func(p persistence.Purpose) { f.Unknown(p, 1) }, fault.ErrUnknown, true},
	} {
		n++
		for _, p := range all {
			c.inject(p)
		}
		for p, err := range s.change(t.Context(), n) {
			if !errors.Is(err, c.class) || fault.ClassOf(err) != c.class {
				t.Errorf("%s, %s: %v, want %v", c.name, p, err, c.class)
			}
			if _, struck := f.Calls(p); struck == 0 {
				t.Errorf("%s, %s: no fault is counted", c.name, p)
			}
		}
		f.Heal()
		for p, there := range s.there(t, n) {
			if there != c.applied && p != persistence.Transitory {
				t.Errorf("%s, %s: applied %v, want %v", c.name, p, there, c.applied)
			}
		}
	}
	stats, err := s.q.Stats(t.Context(), []string{"t"})
	if err != nil || stats[0].Ready != 2 {
		t.Errorf("%+v, %v: want two jobs, the first and that of unknown outcome", stats, err)
	}
	for p, err := range s.change(t.Context(), 99) {
		if err != nil {
			t.Errorf("%s after Heal: %v", p, err)
		}
	}
}

// A check says that a store is down, and what it is otherwise.
func TestChecksFollowTheFaults(t *testing.T) {
	f := persistencetest.NewFaults()
	layer := persistencetest.Open(t, persistencetest.Options{Faults: f})
	for _, down := range []bool{true, false} {
		if down {
			f.Down()
		} else {
			f.Up()
		}
		for _, r := range layer.Check(t.Context()) {
			if r.Reachable == down || r.OK() == down || r.Driver != "embedded" {
				t.Errorf("down %v: %+v", down, r)
			}
		}
	}
}

// The abilities of a driver go through, and those that it lacks do not appear.
func TestAbilitiesGoThrough(t *testing.T) {
	s := openStores(t, persistencetest.NewFaults())
	if f := s.q.(transitory.Featured).Features(); f.Name != "embedded" || f.Durability != fault.Fsynced {
		t.Errorf("%+v", f)
	}
	if f := s.c.(volatile.Featured).Features(); f.Name != "embedded" {
		t.Errorf("%+v", f)
	}
	if f := s.a.(amorphous.Featured).Features(); f.Name != "embedded" {
		t.Errorf("%+v", f)
	}
	if f := s.r.Features(); f.Name != "embedded" {
		t.Errorf("%+v", f)
	}
	if _, ok := s.a.(amorphous.Purger); !ok {
		t.Error("the embedded store purges, and behind Faults it does not")
	}
	if _, ok := s.r.(transactional.Joiner); ok {
		t.Error("the embedded store does not join, and behind Faults it does")
	}
}

// A queue that goes down ends the calls that wait, and what it had handed out
// is ready again when it returns.
func TestAQueueThatGoesDown(t *testing.T) {
	f := persistencetest.NewFaults()
	s := openStores(t, f)
	ctx := t.Context()
	if err := s.q.Put(ctx, []transitory.Job{{Tube: "t", TTR: time.Hour}})[0]; err != nil {
		t.Fatal(err)
	}
	jobs, err := s.q.Reserve(ctx, []string{"t"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error)
	go func() {
		_, err := s.q.Reserve(ctx, []string{"t"}, 1)
		waited <- err
	}()
	f.Down(persistence.Transitory)
	if err := <-waited; !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a reserve that waited: %v", err)
	}
	if err := s.q.Delete(ctx, []transitory.ID{jobs[0].ID})[0]; !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("a delete: %v", err)
	}
	f.Up(persistence.Transitory)
	if err := s.q.Delete(ctx, []transitory.ID{jobs[0].ID})[0]; !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a reservation of before: %v, want not found", err)
	}
	again, err := s.q.Reserve(ctx, []string{"t"}, 1)
	if err != nil || again[0].Reserves != 2 {
		t.Errorf("handed out again: %+v, %v", again, err)
	}
}
