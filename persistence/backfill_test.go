package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// openIn opens a layer in a directory that outlives it.
func openIn(t *testing.T, dir string) *persistence.Layer {
	t.Helper()
	layer, err := embedded.Open(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { layer.Close() })
	return layer
}

func work(t *testing.T, layer *persistence.Layer) (stop func()) {
	return persistencetest.Work(t, layer)
}

// stay is an object whose plan grows.
type stay struct {
	ID   string `persistence:"key"`
	User string
	At   time.Time
}

func stayOf(i int, user string) stay {
	return stay{ID: fmt.Sprintf("v%05d", i), User: user, At: dawn.Add(time.Duration(i) * time.Second)}
}

var (
	staysBefore = persistence.Plan[stay]{{Name: "object", Purpose: persistence.Amorphous}}
	staysAfter  = persistence.Plan[stay]{
		{Name: "object", Purpose: persistence.Amorphous},
		{Name: "activity", Purpose: persistence.Amorphous, Priority: 1, PartitionBy: "User", Newest: "At", Bucket: time.Hour,
			When: func(v stay) bool { return v.User != "hidden" }},
	}
)

// A stayHour is what a stay implies: an entry of its user, and one of its hour.
type stayHour struct {
	ID   string `persistence:"key"`
	Of   string
	At   time.Time
	User string
}

// grown are tasks that come to the plan of stays later: one of each sort that a
// backfill fills.
var grown = persistence.Plan[stay]{
	staysAfter[1],
	{Name: "hours", Purpose: persistence.Amorphous, Priority: 1, PartitionBy: "Of", Newest: "At",
		Derive: persistence.Rows(func(v stay) iter.Seq[stayHour] {
			return slices.Values([]stayHour{{v.ID, v.User, v.At, v.User}, {v.ID, v.At.Format("15h"), v.At, v.User}})
		})},
	{Name: "users", Purpose: persistence.Amorphous, Priority: 1, Count: &persistence.Counts{By: []string{"User"}, At: "At", Per: []time.Duration{time.Hour}}},
}

// fill fills all of them side by side.
func fill(ctx context.Context, h *persistence.Handle[stay], opts persistence.BackfillOptions) (done [3]persistence.Backfilled, err error) {
	var errs [len(done)]error
	var filling sync.WaitGroup
	for i := range grown {
		filling.Go(func() {
			mine := opts
			if i > 0 {
				mine.Progress = nil
			}
			done[i], errs[i] = h.Backfill(ctx, grown[i].Name, &mine)
		})
	}
	filling.Wait()
	return done, errors.Join(errs[:]...)
}

// checkFilled compares all that tasks keep with the record: rows and counts are
// exact.
func checkFilled(ctx context.Context, h *persistence.Handle[stay]) (err error) {
	for d, failed := range h.Verify(&persistence.VerifyOptions{Young: -1}).Differences(ctx) {
		err = errors.Join(err, failed)
		if failed == nil {
			err = errors.Join(err, errors.New(d.String()))
		}
	}
	objects, rows := int64(0), int64(0)
	for _, failed := range h.Scan("").Objects(ctx) {
		objects++
		err = errors.Join(err, failed)
	}
	for _, failed := range persistence.Derived[stayHour](h, "hours").Find(ctx, persistence.Query{}) {
		rows++
		err = errors.Join(err, failed)
	}
	total, failed := h.Total(ctx, persistence.CountQuery{})
	if err = errors.Join(err, failed); err == nil && (objects == 0 || rows != 2*objects || total != objects) {
		err = fmt.Errorf("%d objects, %d derived rows, and %d are counted", objects, rows, total)
	}
	return err
}

// TestBackfill fills new tasks, a layout, derived rows and a count, while objects
// change, move, come and go: afterwards they hold what the record holds.
func TestBackfill(t *testing.T) {
	const n = 300
	for _, test := range []struct {
		name   string
		record persistence.Purpose
		stores func(dir string) persistence.Stores
	}{
		{"cells", persistence.Amorphous, embedded.Stores},
		{"rows", persistence.Transactional, embedded.Stores},
		{"blind", persistence.Transactional, blindStores},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, dir := t.Context(), t.TempDir()
			before := persistence.Plan[stay]{{Name: "object", Purpose: test.record}}
			layer := openStores(t, test.stores(dir))
			objects := make([]stay, n)
			for i := range objects {
				objects[i] = stayOf(i, []string{"ann", "bob", "hidden"}[i%3])
			}
			putEach(t, persistence.Declare(layer, "visit", before), objects...)
			layer.Close()

			layer = openStores(t, test.stores(dir))
			h := persistence.Declare(layer, "visit", slices.Concat(before, grown))
			stop := work(t, layer)
			writes := make(chan error, 1)
			go func() { writes <- disturb(ctx, h, n) }()
			lines := 0
			all, err := fill(ctx, h, persistence.BackfillOptions{Rate: 800, Progress: func(persistence.Backfilled) { lines++ }})
			done := all[0]
			if err := errors.Join(err, <-writes); err != nil {
				t.Fatal(err)
			}
			stop()
			drain(t, layer)
			if !done.Done || done.Seen < n-60 || done.Skipped == 0 || lines < 2 || !strings.Contains(done.String(), "done") {
				t.Errorf("it says what it did: %v, told %d times", done, lines)
			}
			checkActivity(t, h)
			if err := checkFilled(ctx, h); err != nil {
				t.Error(err)
			}
			again, err := h.Backfill(ctx, "activity", nil)
			if err != nil || !again.Resumed || again.Seen != done.Seen {
				t.Errorf("what has completed is not done again: %v, %v", again, err)
			}
		})
	}
}

// disturb puts, moves and deletes objects while a backfill goes over them.
func disturb(ctx context.Context, h *persistence.Handle[stay], n int) error {
	for i := range 60 {
		at := i * 37 % n
		moved := stayOf(at, "cat")
		moved.At = moved.At.Add(48 * time.Hour)
		_, err := h.Put(ctx, moved)
		_, err2 := h.Delete(ctx, stayOf((at+11)%n, "").ID)
		_, err3 := h.Put(ctx, stayOf(n+i, "dan"))
		if err := errors.Join(err, err2, err3); err != nil {
			return err
		}
	}
	return nil
}

// checkActivity compares the layout with the record.
func checkActivity(t *testing.T, h *persistence.Handle[stay]) {
	t.Helper()
	want := map[string]stay{}
	for v, err := range h.Scan("").Objects(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if v.User != "hidden" {
			want[v.ID] = v
		}
	}
	found := 0
	for _, user := range []string{"ann", "bob", "cat", "dan", "hidden"} {
		for v, err := range h.Find(t.Context(), persistence.Query{Task: "activity", Where: map[string]any{"User": user}}) {
			if err != nil || v != want[v.ID] {
				t.Fatalf("the layout of %s holds %+v, the record %+v, %v", user, v, want[v.ID], err)
			}
			found++
		}
	}
	if found != len(want) || found == 0 {
		t.Errorf("the layout holds %d objects, the record implies %d", found, len(want))
	}
}

func TestBackfillOfAHandler(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		ctx, dir := t.Context(), t.TempDir()
		layer := openIn(t, dir)
		putEach(t, persistence.Declare(layer, "visit", staysBefore), stayOf(1, "ann"), stayOf(2, "bob"), stayOf(3, "cat"))
		layer.Close()
		layer = openIn(t, dir)
		var runs atomic.Int64
		h := persistence.Declare(layer, "visit", persistence.Plan[stay]{staysBefore[0], {Name: "greet", Purpose: persistence.Transitory, Priority: 1,
			Do: func(ctx context.Context, v stay) error { runs.Add(1); return nil }}}, opts)
		if _, err := h.Backfill(ctx, "greet", nil); !errors.Is(err, fault.ErrInvalid) || !strings.Contains(err.Error(), "BackfillOptions.Handler") {
			t.Errorf("a handler runs by explicit wish: %v", err)
		}
		first, err := h.Backfill(ctx, "greet", &persistence.BackfillOptions{Handler: true})
		if err != nil || first.Written != 3 {
			t.Fatalf("%v, %v", first, err)
		}
		putEach(t, h, stayOf(1, "new"))
		drain(t, layer)
		if _, err = h.Backfill(ctx, "greet", &persistence.BackfillOptions{Handler: true}); err != nil {
			t.Fatal(err)
		}
		drain(t, layer)
		if runs.Load() != 4 {
			t.Errorf("the handler ran %d times for 3 objects and a newer version", runs.Load())
		}
		again, err := h.Backfill(ctx, "greet", &persistence.BackfillOptions{Handler: true, Again: true, Before: 1})
		if err != nil || again.Skipped != 3 || again.Written != 0 {
			t.Errorf("Before leaves out what was put since: %v, %v", again, err)
		}
	})
}

func TestBackfillRefuses(t *testing.T) {
	layer := openLayer(t, nil)
	h := persistence.Declare(layer, "visit", persistence.Plan[stay]{
		{Name: "object", Purpose: persistence.Transactional}, {Name: "hot", Purpose: persistence.Volatile},
		{Name: "away", Purpose: persistence.Transitory, Priority: 1, External: true}, {Name: "job", Purpose: persistence.Transitory, Priority: 1},
	})
	bare := persistence.Declare(layer, "bare", persistence.Plan[stay]{staysAfter[1]})
	for task, want := range map[string]error{"object": fault.ErrInvalid, "hot": fault.ErrUnsupported, "away": fault.ErrUnsupported, "job": fault.ErrUnsupported, "nope": fault.ErrInvalid} {
		if _, err := h.Backfill(t.Context(), task, nil); fault.ClassOf(err) != want {
			t.Errorf("backfill of %s: %v", task, err)
		}
	}
	if _, err := bare.Backfill(t.Context(), "activity", nil); fault.ClassOf(err) != fault.ErrUnsupported {
		t.Errorf("a kind without a record: %v", err)
	}
	if _, err := h.Backfill(t.Context(), "hot", &persistence.BackfillOptions{Rate: -1}); err == nil {
		t.Error("a negative rate")
	}
}
