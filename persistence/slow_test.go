package persistence_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
)

// A writer whose clock is slow puts above what it has read, whichever way it read
// it. What it puts without having read is superseded, and its receipt and Stats
// say so. A version that no clock can have made does not spread.
func TestAWriterWhoseClockIsSlow_E7(t *testing.T) {
	const week = 7 * 24 * time.Hour
	reads := map[string]func(ctx context.Context, h *persistence.Handle[visit]) error{
		"Get": func(ctx context.Context, h *persistence.Handle[visit]) error { _, err := h.Get(ctx, "v"); return err },
		"GetAll": func(ctx context.Context, h *persistence.Handle[visit]) error {
			_, err := h.GetAll(ctx, "v")
			return err
		},
		"Find": func(ctx context.Context, h *persistence.Handle[visit]) (err error) {
			for _, e := range h.Find(ctx, persistence.Query{Limit: 9}) {
				err = e
			}
			return err
		},
	}
	for _, slow := range []time.Duration{5 * time.Second, time.Hour, 2 * week} {
		for name, read := range reads {
			t.Run(slow.String()+" "+name, func(t *testing.T) {
				dir := t.TempDir()
				inSlow(t, dir, slow, func(t *testing.T, o *persistence.Handle[visit], _ *persistence.Layer) {
					putSlow(t, o, "fast", persistence.TaskDone)
				})
				inSlow(t, dir, 0, func(t *testing.T, o *persistence.Handle[visit], layer *persistence.Layer) {
					putSlow(t, o, "unread", persistence.TaskSuperseded)
					stats, err := layer.Stats(t.Context())
					if err != nil || len(stats.Tasks) == 0 || stats.Tasks[0].Superseded != 1 {
						t.Errorf("a Put that lost is counted as %+v, %v", stats.Tasks, err)
					}
					if err := read(t.Context(), o); err != nil {
						t.Fatal(err)
					}
					want, state := "slow", persistence.TaskDone
					if slow > week {
						want, state = "fast", persistence.TaskSuperseded
					}
					putSlow(t, o, "slow", state)
					if v, err := o.Get(t.Context(), "v"); err != nil || v.Venue != want {
						t.Errorf("read and put %v behind: %q is there, %v; want %q", slow, v.Venue, err, want)
					}
				})
			})
		}
	}
}

// inSlow runs a program over an amorphous store alone, which has no clock, in a
// bubble of its own, so long after the bubble began: each begins at the same time.
func inSlow(t *testing.T, dir string, after time.Duration, test func(*testing.T, *persistence.Handle[visit], *persistence.Layer)) {
	t.Helper()
	stores := embedded.Stores(dir)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(after)
		layer, err := persistence.Open(t.Context(), persistence.Stores{Amorphous: stores.Amorphous, Transitory: stores.Transitory}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer closeAll(t, []*persistence.Layer{layer})
		test(t, persistence.Declare(layer, "visit", persistence.Plan[visit]{{Purpose: persistence.Amorphous}}), layer)
	})
}

// putSlow puts the object, and checks what its receipt says.
func putSlow(t *testing.T, h *persistence.Handle[visit], venue string, want persistence.TaskState) {
	t.Helper()
	r, err := h.Put(t.Context(), visit{ID: "v", Venue: venue})
	if err != nil {
		t.Fatal(err)
	}
	if tasks := r.Tasks(); len(tasks) != 1 || tasks[0].State != want {
		t.Errorf("the receipt of %q says %v, want %v", venue, r, want)
	}
}
