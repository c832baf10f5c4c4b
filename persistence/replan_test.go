package persistence_test

import (
	"fmt"
	"iter"
	"slices"
	"strings"
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

// What a changed plan means for what was stored by the former one is said by Check,
// and mended by Repair: afterwards everything reads as if it had been stored by the
// new plan, and Check has nothing to say.
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
	const (
		perHour    = "counts by team (text), per 1h0m0s of at"
		inDays     = "rows by team (text), newest at (time) first, in buckets of 24h0m0s"
		inHours    = "rows by team (text), newest at (time) first, in buckets of 1h0m0s"
		inOne      = "rows by team (text), newest at (time) first"
		boards     = "rows of flyer (text) by board (text), newest at (time) first"
		boardsHour = boards + ", in buckets of 1h0m0s"
		boardsDay  = boards + ", in buckets of 24h0m0s"
	)
	for name, change := range map[string]struct {
		before, after persistence.Task[flyer]
		from, to      string
	}{
		"counted by one more":       {by(hour, "", "Team"), by(hour, "", "Team", "Tag"), perHour, "counts by team (text), tag (text), per 1h0m0s of at"},
		"counted by another":        {by(hour, "", "Team"), by(hour, "", "Tag"), perHour, "counts by tag (text), per 1h0m0s of at"},
		"counted together":          {by(hour, "", "Team"), by(hour, ""), perHour, "counts, per 1h0m0s of at"},
		"no longer together":        {by(hour, ""), by(hour, "", "Team"), "counts, per 1h0m0s of at", perHour},
		"counted per minute":        {by(hour, "", "Team"), by(time.Minute, "", "Team"), perHour, "counts by team (text), per 1m0s of at"},
		"counted per hour":          {by(time.Minute, "", "Team"), by(hour, "", "Team"), "counts by team (text), per 1m0s of at", perHour},
		"counted elsewhere":         {by(hour, "", "Team"), by(hour, "Asia/Kolkata", "Team"), perHour, perHour + " in Asia/Kolkata"},
		"added up":                  {by(hour, "", "Team"), seats, perHour, "sums of seats by team (text), per 1h0m0s of at"},
		"in buckets":                {in("Team", "At", 0), in("Team", "At", hour), inOne, inHours},
		"in smaller buckets":        {in("Team", "At", day), in("Team", "At", hour), inDays, inHours},
		"no longer in buckets":      {in("Team", "At", day), in("Team", "At", 0), inDays, inOne},
		"in other partitions":       {in("Team", "At", day), in("Tag", "At", day), inDays, "rows by tag (text), newest at (time) first, in buckets of 24h0m0s"},
		"in another order":          {in("Team", "At", 0), in("Team", "Tag", 0), inOne, "rows by team (text), newest tag (text) first"},
		"derived in buckets":        {derived(0), derived(hour), boards, boardsHour},
		"derived without buckets":   {derived(day), derived(0), boardsDay, boards},
		"derived in larger buckets": {derived(hour), derived(day), boardsHour, boardsDay},
	} {
		t.Run(name, func(t *testing.T) { replanned(t, change.before, change.after, change.from, change.to) })
	}
}

func replanned(t *testing.T, before, after persistence.Task[flyer], from, to string) {
	dir := t.TempDir()
	store := func(kind string, task persistence.Task[flyer], put bool) (*persistence.Layer, *persistence.Handle[flyer]) {
		layer, err := persistence.Open(t.Context(), embedded.Stores(dir), nil)
		if err != nil {
			t.Fatal(err)
		}
		h := declareKept(layer, kind, task)
		for i := 0; put && i < 20; i++ {
			putFlyer(t, h, i)
		}
		persistencetest.Drain(t, layer)
		return layer, h
	}
	layer, _ := store("flyer", before, true)
	saysOfLayouts(t, layer)
	layer.Close()
	layer, h := store("flyer", after, false)
	defer func() { layer.Close() }()
	saysOfLayouts(t, layer, changedFrom(from, to))
	mendFound(t, h)
	for d, err := range h.Verify(&persistence.VerifyOptions{Young: -1}).Differences(t.Context()) {
		t.Errorf("after the repair: %v, %v", d, err)
	}
	saysOfLayouts(t, layer)
	layer.Close()
	layer, h = store("flyer", after, false)
	saysOfLayouts(t, layer)
	other, fresh := store("fresh", after, true)
	defer other.Close()
	if got, want := readKept(t, h, after), readKept(t, fresh, after); got != want {
		t.Errorf("it reads\n%s\nwant\n%s", got, want)
	}
}

// declareKept declares flyers, with a task "kept" beside their record.
func declareKept(layer *persistence.Layer, kind string, task persistence.Task[flyer]) *persistence.Handle[flyer] {
	task.Name, task.Purpose = "kept", persistence.Amorphous
	return persistence.Declare(layer, kind, persistence.Plan[flyer]{{Name: "object", Purpose: persistence.Amorphous}, task})
}

func putFlyer(t *testing.T, h *persistence.Handle[flyer], i int) {
	t.Helper()
	f := flyer{fmt.Sprintf("f%02d", i), fmt.Sprint("team ", i%2), fmt.Sprint("tag ", i%3), dawn.Add(time.Duration(i) * 17 * time.Minute), i}
	if _, err := h.Put(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// mendFound repairs what differs.
func mendFound(t *testing.T, h *persistence.Handle[flyer]) {
	t.Helper()
	for d, err := range h.Verify(&persistence.VerifyOptions{Young: -1}).Differences(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Repair(t.Context(), d); err != nil {
			t.Errorf("%v: %v", d, err)
		}
	}
}

// changedFrom is what Check says of a changed task "kept".
func changedFrom(from, to string) string {
	return `kind "flyer", task "kept": it holds what was stored as ` + from + `, and is read as ` + to +
		`: reads mix the two, or lack the former, until Handle.Repair has mended all that Handle.Verify finds, once no program stores the former way`
}

// saysOfLayouts checks what Check has to say, which is nothing but this.
func saysOfLayouts(t *testing.T, layer *persistence.Layer, want ...string) {
	t.Helper()
	var got []string
	for _, r := range layer.Check(t.Context()) {
		got = append(got, r.Problems...)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("Check says\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
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
