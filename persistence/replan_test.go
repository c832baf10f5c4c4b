package persistence_test

import (
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A flyer is counted and laid out by a plan that changes.
type flyer struct {
	ID    string `persistence:"key"`
	Team  string
	Tag   string
	At    time.Time
	Seats int
}

// A pinned is a flyer at a board.
type pinned struct {
	Flyer string `persistence:"key"`
	Board string
	At    time.Time
}

func pinnedAt(f flyer) iter.Seq[pinned] {
	return slices.Values([]pinned{{f.ID, f.Team, f.At}, {f.ID, f.Tag, f.At}})
}

// What a changed plan means for what was stored by the former one is mended by
// Repair: afterwards everything reads as if it had been stored by the new plan.
func TestAChangedPlanIsMended(t *testing.T) {
	const hour, day = time.Hour, 24 * time.Hour
	by := func(per time.Duration, zone string, fields ...string) persistence.Task[flyer] {
		return persistence.Task[flyer]{Count: &persistence.Counts{By: fields, At: "At", Per: []time.Duration{per}, Zone: zone}}
	}
	in := func(partition, newest string, bucket time.Duration) persistence.Task[flyer] {
		return persistence.Task[flyer]{PartitionBy: partition, Newest: newest, Bucket: bucket}
	}
	derived := func(bucket time.Duration) persistence.Task[flyer] {
		return persistence.Task[flyer]{PartitionBy: "Board", Newest: "At", Bucket: bucket, Derive: persistence.Rows(pinnedAt)}
	}
	seats := by(hour, "", "Team")
	seats.Count.Sum = "Seats"
	for name, change := range map[string][2]persistence.Task[flyer]{
		"counted by one more":       {by(hour, "", "Team"), by(hour, "", "Team", "Tag")},
		"counted by another":        {by(hour, "", "Team"), by(hour, "", "Tag")},
		"counted together":          {by(hour, "", "Team"), by(hour, "")},
		"no longer together":        {by(hour, ""), by(hour, "", "Team")},
		"counted per minute":        {by(hour, "", "Team"), by(time.Minute, "", "Team")},
		"counted per hour":          {by(time.Minute, "", "Team"), by(hour, "", "Team")},
		"counted elsewhere":         {by(hour, "", "Team"), by(hour, "Asia/Kolkata", "Team")},
		"added up":                  {by(hour, "", "Team"), seats},
		"in buckets":                {in("Team", "At", 0), in("Team", "At", hour)},
		"in smaller buckets":        {in("Team", "At", day), in("Team", "At", hour)},
		"no longer in buckets":      {in("Team", "At", day), in("Team", "At", 0)},
		"in other partitions":       {in("Team", "At", day), in("Tag", "At", day)},
		"in another order":          {in("Team", "At", 0), in("Team", "Tag", 0)},
		"derived in buckets":        {derived(0), derived(hour)},
		"derived without buckets":   {derived(day), derived(0)},
		"derived in larger buckets": {derived(hour), derived(day)},
	} {
		t.Run(name, func(t *testing.T) { replanned(t, change[0], change[1]) })
	}
}

func replanned(t *testing.T, before, after persistence.Task[flyer]) {
	dir := t.TempDir()
	store := func(kind string, task persistence.Task[flyer], put bool) (h *persistence.Handle[flyer], done func()) {
		layer, err := persistence.Open(t.Context(), embedded.Stores(dir), nil)
		if err != nil {
			t.Fatal(err)
		}
		task.Name, task.Purpose = "kept", persistence.Amorphous
		h = persistence.Declare(layer, kind, persistence.Plan[flyer]{{Name: "object", Purpose: persistence.Amorphous}, task})
		for i := 0; put && i < 20; i++ {
			f := flyer{fmt.Sprintf("f%02d", i), fmt.Sprint("team ", i%2), fmt.Sprint("tag ", i%3), dawn.Add(time.Duration(i) * 17 * time.Minute), i}
			if _, err := h.Put(t.Context(), f); err != nil {
				t.Fatal(err)
			}
		}
		persistencetest.Drain(t, layer)
		return h, func() { layer.Close() }
	}
	_, done := store("flyer", before, true)
	done()
	h, done := store("flyer", after, false)
	defer done()
	for d, err := range h.Verify(&persistence.VerifyOptions{Young: -1}).Differences(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Repair(t.Context(), d); err != nil {
			t.Errorf("%v: %v", d, err)
		}
	}
	for d, err := range h.Verify(&persistence.VerifyOptions{Young: -1}).Differences(t.Context()) {
		t.Errorf("after the repair: %v, %v", d, err)
	}
	fresh, done := store("fresh", after, true)
	defer done()
	if got, want := readKept(t, h, after), readKept(t, fresh, after); got != want {
		t.Errorf("it reads\n%s\nwant\n%s", got, want)
	}
}

// readKept reads all that the task "kept" keeps.
func readKept(t *testing.T, h *persistence.Handle[flyer], task persistence.Task[flyer]) string {
	t.Helper()
	ctx, out := t.Context(), ""
	if task.Count != nil {
		top, err := h.Top(ctx, persistence.CountQuery{}, 0)
		series, err2 := h.Series(ctx, persistence.CountQuery{})
		return fmt.Sprint(top, err, series, err2)
	}
	for _, name := range []string{"team 0", "team 1", "tag 0", "tag 1", "tag 2"} {
		q := persistence.Query{Task: "kept", Where: map[string]any{task.PartitionBy: name}}
		if task.Derive != nil {
			for p, err := range persistence.Derived[pinned](h, "kept").Find(ctx, q) {
				out += fmt.Sprint(name, ": ", p, err, "\n")
			}
			continue
		}
		for f, err := range h.Find(ctx, q) {
			out += fmt.Sprint(name, ": ", f, err, "\n")
		}
	}
	return out
}
