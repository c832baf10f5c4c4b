package persistence_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

type (
	// dial is a register: what was put last is what is read.
	dial struct {
		ID string `persistence:"key"`
		N  int64
	}
	// gauge has versions of its own, which only grow.
	gauge struct {
		ID  string `persistence:"key"`
		Rev int64  `persistence:"version"`
	}
)

// townPut is the Put of an id, with the tasks that it has to have and the list
// in which it has to stand.
func townPut(id string) persistencetest.Event {
	e := persistencetest.Event{Verb: persistencetest.Put, ID: id}
	parts := strings.Split(id, ".")
	n, _ := strconv.Atoi(parts[len(parts)-1])
	switch parts[1] {
	case "arrival":
		e.Key, e.Tasks = "activity of "+user(n), []string{"tell", "activity", "object"}
	case "pair":
		e.Tasks = []string{"tell.left", "tell.right", "activity.left", "activity.right", "object.left", "object.right"}
	case "ping":
		e.Tasks = []string{"answer", "echo", "object"}
	case "step":
		e.Key, e.Tasks = "diary of "+user(n%2), []string{"write"}
	case "card", "page", "member":
		e.Tasks = []string{"object"}
	}
	return e
}

// turn writes a register, and an object with versions of its own.
func (w *town) turn(ctx context.Context, r *persistencetest.Recorder) error {
	for i := range 4 {
		n := int64(100*(r.Round+1) + i)
		e := persistencetest.Event{Verb: persistencetest.Wrote, Store: "transactional", Key: "dial", N: n}
		if err := r.Do(e, func() error { _, err := w.dials.Put(ctx, dial{"dial", n}); return err }); err != nil {
			return err
		}
		if _, err := w.gauges.Put(ctx, gauge{"gauge", n}); err != nil {
			return err
		}
	}
	return nil
}

// watch reads what turn writes, and the lists of arrivals, while they grow.
func (w *town) watch(ctx context.Context, r *persistencetest.Recorder) error {
	for range 3 {
		began := time.Now()
		active, err := w.active(ctx)
		if err != nil {
			return err
		}
		for _, e := range w.lists(active, began) {
			r.Note(e)
		}
		read, err := w.read(ctx)
		if err != nil {
			return err
		}
		for _, e := range read {
			r.Note(e)
		}
	}
	return nil
}

// lists are the scans of the activities, one by user. Those that were put two at
// a time stand under other ids.
func (w *town) lists(active map[string]int, began time.Time) (out []persistencetest.Event) {
	for i := range townUsers {
		e := persistencetest.Event{Verb: persistencetest.Listed, Store: "amorphous", Key: "activity of " + user(i), Began: began, At: time.Now()}
		for id, n := range active {
			if parts := strings.Split(id, "."); parts[1] == "arrival" && townPut(id).Key == e.Key {
				e.IDs = append(e.IDs, slices.Repeat([]string{id}, n)...)
			}
		}
		slices.Sort(e.IDs)
		out = append(out, e)
	}
	return out
}

// read reads the register, and the version of the gauge.
func (w *town) read(ctx context.Context) ([]persistencetest.Event, error) {
	began := time.Now()
	d, err := w.dials.Get(ctx, "dial")
	saw := persistencetest.Event{Verb: persistencetest.Saw, Store: "transactional", Key: "dial", N: d.N, Began: began, At: time.Now()}
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return nil, err
	}
	g, err := w.gauges.Get(ctx, "gauge")
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return nil, err
	}
	return []persistencetest.Event{saw, {Verb: persistencetest.Read, Store: "amorphous", Key: "gauge", Version: g.Rev}}, nil
}

// judge lets the checks look at everything that was noted, and at what is in the
// stores at the end.
func (w *town) judge(ctx context.Context, h *persistencetest.History, active map[string]int, seen map[string]bool, lists []persistencetest.Event) error {
	more := append(lists, w.effects(ctx, h, active, seen)...)
	read, err := w.read(ctx)
	if err != nil {
		return err
	}
	more = append(more, read...)
	for _, ids := range []struct {
		of      []string
		outcome fault.Outcome
	}{{h.Acked, fault.Applied}, {h.Open, fault.OutcomeUnknown}, {h.Refused, fault.NotApplied}} {
		for _, id := range ids.of {
			parts := strings.Split(id, ".")
			n, _ := strconv.Atoi(parts[len(parts)-1])
			if each := map[string]int64{"arrival": 1, "pair": 2}[parts[1]]; each > 0 {
				more = append(more, persistencetest.Event{Verb: persistencetest.Added, Key: user(n), N: each, Outcome: ids.outcome})
			}
		}
	}
	for i := range townUsers {
		n, err := w.tallies.Get(ctx, user(i))
		if err != nil && !errors.Is(err, fault.ErrNotFound) {
			return err
		}
		more = append(more, persistencetest.Event{Verb: persistencetest.Counted, Key: user(i), N: int64(n.N)})
	}
	stats, err := w.layer.Stats(ctx)
	if err != nil {
		return err
	}
	s := persistencetest.Event{Verb: persistencetest.Sampled, At: time.Now()}
	for _, t := range stats.Tasks {
		s.Sample.Pending += t.Pending
	}
	return h.Judge(append(more, s), persistencetest.CheckTotal, persistencetest.CheckOnce, persistencetest.CheckCounters,
		persistencetest.CheckVersions, persistencetest.CheckOrder, persistencetest.CheckSet, persistencetest.CheckRegister,
		persistencetest.CheckRecovery(5*time.Minute))
}

// effects are what tasks left behind, and what died.
func (w *town) effects(ctx context.Context, h *persistencetest.History, active map[string]int, seen map[string]bool) (out []persistencetest.Event) {
	note := func(verb persistencetest.Verb, id, task string) {
		for _, side := range []string{".left", ".right"} {
			if whole, ok := strings.CutSuffix(id, side); ok {
				id, task = whole, task+side
			}
		}
		out = append(out, persistencetest.Event{Verb: verb, ID: id, Task: task})
	}
	for what := range seen {
		task, id, _ := strings.Cut(what, " ")
		note(persistencetest.Effect, id, task)
	}
	for id, n := range active {
		for range n {
			note(persistencetest.Effect, id, "activity")
		}
	}
	for _, id := range slices.Concat(h.Acked, h.Refused, h.Open) {
		for _, id := range []string{id, id + ".left", id + ".right"} {
			if w.object(ctx, id) == nil {
				note(persistencetest.Effect, id, "object")
			}
		}
	}
	for g := range 2 {
		d, _ := w.diaries.Get(ctx, user(g)) // what cannot be read is lost
		for _, id := range d.IDs {
			out = append(out, persistencetest.Event{Verb: persistencetest.Effect, ID: id, Task: "write", Store: "transactional", Key: "diary of " + user(g)})
		}
	}
	letters, _ := w.layer.DeadLetters().List(ctx, persistence.DeadFilter{})
	for _, l := range letters {
		note(persistencetest.Dead, l.Key, l.Task)
	}
	return out
}

// object reads an object of the kind that its id tells.
func (w *town) object(ctx context.Context, id string) (err error) {
	switch strings.Split(id, ".")[1] {
	case "arrival", "pair":
		_, err = w.arrivals.Get(ctx, id)
	case "ping":
		_, err = w.pings.Get(ctx, id)
	case "card":
		_, err = w.cards.Get(ctx, id)
	case "page":
		_, err = w.pages.Get(ctx, id)
	case "member":
		_, err = w.members.Get(ctx, id)
	default:
		err = fault.ErrNotFound
	}
	return err
}
