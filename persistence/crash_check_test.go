package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// findings collects what is wrong.
type findings []string

func (f *findings) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// check compares the stores with what was acknowledged: nothing lost, nothing
// half, nothing doubled, no ghosts, all stores agree.
func (w *town) check(ctx context.Context, layer *persistence.Layer, h *persistencetest.History) error {
	var bad findings
	seen, err := w.seen(ctx)
	if err != nil {
		return err
	}
	scanned := time.Now()
	active, err := w.active(ctx)
	if err != nil {
		return err
	}
	lists := w.lists(active, scanned)
	for _, id := range slices.Concat(h.Acked, h.Refused, h.Open) {
		acked, refused := slices.Contains(h.Acked, id), slices.Contains(h.Refused, id)
		switch what := strings.Split(id, ".")[1]; what {
		case "arrival":
			w.checkArrival(ctx, &bad, id, acked, seen, active)
		case "pair":
			left := w.checkArrival(ctx, &bad, id+".left", acked, seen, active)
			if right := w.checkArrival(ctx, &bad, id+".right", acked, seen, active); left != right {
				bad.add("%s: one of the two that were put in one transaction is there", id)
			}
		case "gone":
			if _, err := w.arrivals.Get(ctx, id); acked && !errors.Is(err, fault.ErrNotFound) || acked && active[id] > 0 {
				bad.add("%s was deleted and is there: %v, %d times in its activity", id, err, active[id])
			}
		case "ping":
			w.checkPing(ctx, &bad, id, acked, seen)
		case "card":
			exists(&bad, id, acked, func() error { _, err := w.cards.Get(ctx, id); return err })
		case "page":
			exists(&bad, id, acked, func() error { _, err := w.pages.Get(ctx, id); return err })
		case "member":
			m, err := w.members.Get(ctx, id)
			if refused && !errors.Is(err, fault.ErrNotFound) {
				bad.add("%s was refused and is there: %+v, %v", id, m, err)
			}
			exists(&bad, id, acked, func() error { return err })
			if err == nil && (m.Mail != id+"@example.org" || m.Bio != "a bio") {
				bad.add("%s is half there: %+v", id, m)
			}
		}
	}
	w.checkTallies(ctx, &bad, active, h)
	w.checkDiaries(ctx, &bad, h)
	w.checkGhosts(&bad, h, active, seen)
	w.checkCustody(ctx, &bad)
	if err := w.judge(ctx, h, active, seen, lists); err != nil {
		bad.add("%v", err)
	}
	if len(bad) > 0 {
		return errors.New(strings.Join(bad, "\n"))
	}
	return nil
}

// exists checks that what was acknowledged is there, and reports whether it is.
func exists(bad *findings, id string, acked bool, get func() error) bool {
	err := get()
	switch {
	case err == nil:
		return true
	case !errors.Is(err, fault.ErrNotFound):
		bad.add("%s cannot be read: %v", id, err)
	case acked:
		bad.add("%s was acknowledged and is lost", id)
	}
	return false
}

// seen lists what handlers left behind, "task id".
func (w *town) seen(ctx context.Context) (map[string]bool, error) {
	out := map[string]bool{}
	for _, task := range []string{"tell", "answer", "echo"} {
		for s, err := range w.sightings.Find(ctx, persistence.Query{Task: "by", Where: map[string]any{"By": task}}) {
			if err != nil {
				return nil, err
			}
			out[s.ID] = true
		}
	}
	return out, nil
}

// active counts the derived rows by id.
func (w *town) active(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	for _, u := range []string{user(0), user(1), user(2), "nobody"} {
		for a, err := range w.arrivals.Find(ctx, persistence.Query{Task: "activity", Where: map[string]any{"User": u}}) {
			if err != nil {
				return nil, err
			}
			out[a.ID]++
		}
	}
	return out, nil
}

func (w *town) checkArrival(ctx context.Context, bad *findings, id string, acked bool, seen map[string]bool, active map[string]int) bool {
	there := exists(bad, id, acked, func() error { _, err := w.arrivals.Get(ctx, id); return err })
	if there != (active[id] == 1) || there != seen["tell "+id] {
		bad.add("%s: the stores do not agree: object %v, %d times in its activity, told %v", id, there, active[id], seen["tell "+id])
	}
	return there
}

func (w *town) checkPing(ctx context.Context, bad *findings, id string, acked bool, seen map[string]bool) {
	there := exists(bad, id, acked, func() error { _, err := w.pings.Get(ctx, id); return err })
	if there != seen["echo "+id] {
		bad.add("%s: the stores do not agree: object %v, echo %v", id, there, seen["echo "+id])
	}
	letters, err := w.layer.DeadLetters().List(ctx, persistence.DeadFilter{Kind: "ping", Key: id})
	answered, dead := seen["answer "+id], len(letters)
	switch {
	case err != nil:
		bad.add("%s: dead letters: %v", id, err)
	case strings.Contains(id, ".dead."):
		if there != (dead == 1) || answered {
			bad.add("%s died: %d dead letters, want one; answered %v", id, dead, answered)
		}
	case strings.Contains(id, ".sick."):
		if there && !answered && dead == 0 {
			bad.add("%s was neither answered nor is it a dead letter", id)
		}
	case there != answered || dead > 0:
		bad.add("%s: object %v, answered %v, %d dead letters", id, there, answered, dead)
	}
}

// checkTallies: each transaction had its effect exactly once.
func (w *town) checkTallies(ctx context.Context, bad *findings, active map[string]int, h *persistencetest.History) {
	want := map[string]int{}
	for id := range active {
		a, err := w.arrivals.Get(ctx, id)
		if err != nil {
			bad.add("%s is in an activity and cannot be read: %v", id, err)
			continue
		}
		want[a.User]++
	}
	for i := range townUsers {
		got, err := w.tallies.Get(ctx, user(i))
		if err != nil && !errors.Is(err, fault.ErrNotFound) || got.N != want[user(i)] {
			bad.add("user %s was counted %d times, and has %d arrivals (%v)", user(i), got.N, want[user(i)], err)
		}
	}
}

// checkDiaries: steps of a group ran once, in the order of acceptance.
func (w *town) checkDiaries(ctx context.Context, bad *findings, h *persistencetest.History) {
	for g := range 2 {
		d, err := w.diaries.Get(ctx, user(g))
		if err != nil && !errors.Is(err, fault.ErrNotFound) {
			bad.add("diary %s: %v", user(g), err)
		}
		if ordered := slices.Clone(d.IDs); !slices.IsSorted(ordered) || len(slices.Compact(ordered)) != len(d.IDs) {
			bad.add("the diary of %s is out of order or doubled: %v", user(g), d.IDs)
		}
		for _, id := range h.Acked {
			parts := strings.Split(id, ".")
			if i, _ := strconv.Atoi(parts[len(parts)-1]); parts[1] == "step" && i%2 == g && !slices.Contains(d.IDs, id) {
				bad.add("%s was acknowledged and is not in the diary of %s: %v", id, user(g), d.IDs)
			}
		}
	}
}

// checkGhosts: nothing is there that nobody put.
func (w *town) checkGhosts(bad *findings, h *persistencetest.History, active map[string]int, seen map[string]bool) {
	there := []string{}
	for id := range active {
		there = append(there, id)
	}
	for id := range seen {
		_, id, _ = strings.Cut(id, " ")
		there = append(there, id)
	}
	for _, id := range there {
		id = strings.TrimSuffix(strings.TrimSuffix(id, ".left"), ".right")
		if !h.Tried(id) {
			bad.add("%s is there, and nobody put it", id)
		}
	}
}

// checkCustody: what is done leaves nothing behind, and what is forged is set
// aside.
func (w *town) checkCustody(ctx context.Context, bad *findings) {
	stats, err := w.layer.Stats(ctx)
	if err != nil {
		bad.add("stats: %v", err)
	}
	for _, s := range stats.Tasks {
		if s.Pending != 0 {
			bad.add("%s/%s: %d pending after the drain", s.Kind, s.Task, s.Pending)
		}
	}
	if stats.Held != 0 {
		bad.add("%d envelopes are held after the drain", stats.Held)
	}
	tubes, err := w.layer.Transitory().Stats(ctx, "ff/ping/rt", "ff/ping/bg", "ff/card/bg", "ff/quarantine")
	if err != nil {
		bad.add("tubes: %v", err)
		return
	}
	for _, t := range tubes[:3] {
		if t.Ready+t.Delayed+t.Reserved > 0 {
			bad.add("tube %s is not empty: %+v", t.Tube, t)
		}
	}
}
