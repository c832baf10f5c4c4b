package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/transitory"
)

// What the killed program keeps. Every id says what is to become of it:
// "r0.arrival.7" was made in the first start.
type (
	// arrival is the check-in fan-out in small, in transactional custody.
	arrival struct {
		ID   string `persistence:"key"`
		User string
		At   time.Time
	}
	// sighting is what handlers leave behind: one row per task and object.
	sighting struct {
		ID   string `persistence:"key"`
		By   string // the task
		Runs int
	}
	// ping is handled in transitory custody.
	ping struct {
		ID string `persistence:"key"`
	}
	// diary holds the ids of steps, in the order in which they ran.
	diary struct {
		Group string `persistence:"key"`
		IDs   []string
	}
	// step goes into the diary of its group, in the order of acceptance.
	step struct {
		ID    string `persistence:"key"`
		Group string
	}
	// card has all its tasks at priority 0, in transitory custody.
	card struct {
		ID   string `persistence:"key"`
		Text string
	}
	// member is kept by its tags alone, in three stores.
	member struct {
		ID   string `persistence:"key"`
		Mail string `transactional:"mail,unique"`
		Bio  string `amorphous:"bio"`
		Seen int    `volatile:"seen"`
	}
	// page is one amorphous write at priority 0, without an envelope.
	page struct {
		ID   string `persistence:"key"`
		Text string
	}
)

// town is the program that is killed.
type town struct {
	layer     *persistence.Layer
	arrivals  *persistence.Handle[arrival]
	sightings *persistence.Handle[sighting]
	tallies   *persistence.Handle[tally]
	pings     *persistence.Handle[ping]
	diaries   *persistence.Handle[diary]
	steps     *persistence.Handle[step]
	cards     *persistence.Handle[card]
	members   *persistence.Handle[member]
	pages     *persistence.Handle[page]
	dials     *persistence.Handle[dial]
	gauges    *persistence.Handle[gauge]

	healed atomic.Bool             // sick pings can be handled
	faults *persistencetest.Faults // nil: the stores do not fail
}

func (w *town) open(ctx context.Context, dir string) (*persistence.Layer, error) {
	stores := embedded.Stores(dir)
	if w.faults != nil {
		stores = w.faults.Wrap(stores)
	}
	layer, err := persistence.Open(ctx, stores, nil)
	if err != nil {
		return nil, err
	}
	w.declare(layer)
	return layer, nil
}

func (w *town) declare(layer *persistence.Layer) {
	w.layer = layer
	w.tallies = persistence.Declare(layer, "tally", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
	w.diaries = persistence.Declare(layer, "diary", persistence.Plan[diary]{{Purpose: persistence.Transactional}})
	w.sightings = persistence.Declare(layer, "sighting", persistence.Plan[sighting]{
		{Priority: 0, Purpose: persistence.Amorphous, Name: "by", PartitionBy: "By"},
		{Priority: 0, Purpose: persistence.Amorphous},
	})
	w.arrivals = persistence.Declare(layer, "arrival", persistence.Plan[arrival]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, RealTime: true, Do: sees(w, "tell", func(a arrival) string { return a.ID })},
		{Priority: 2, Name: "near", Purpose: persistence.Volatile, RealTime: true},
		{Priority: 3, Name: "count", Purpose: persistence.Transactional, Tx: w.count},
		{Priority: 4, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
		{Priority: 5, Name: "object", Purpose: persistence.Amorphous},
	})
	w.pings = persistence.Declare(layer, "ping", persistence.Plan[ping]{
		{Priority: 1, Name: "answer", Purpose: persistence.Transitory, Do: w.answer},
		{Priority: 2, Name: "echo", Purpose: persistence.Transitory, RealTime: false, Do: sees(w, "echo", func(p ping) string { return p.ID })},
		{Priority: 3, Name: "object", Purpose: persistence.Amorphous},
	}, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	w.steps = persistence.Declare(layer, "step", persistence.Plan[step]{
		{Priority: 1, Name: "write", Purpose: persistence.Transactional, OrderingKey: "Group", Tx: w.write},
	})
	w.cards = persistence.Declare(layer, "card", persistence.Plan[card]{
		{Priority: 0, Purpose: persistence.Amorphous},
		{Priority: 0, Purpose: persistence.Volatile},
	}, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	w.members = persistence.Declare[member](layer, "member", nil)
	w.pages = persistence.Declare(layer, "page", persistence.Plan[page]{{Purpose: persistence.Amorphous}})
	w.dials = persistence.Declare(layer, "dial", persistence.Plan[dial]{{Purpose: persistence.Transactional}})
	w.gauges = persistence.Declare(layer, "gauge", persistence.Plan[gauge]{{Purpose: persistence.Amorphous}})
}

// sees leaves one sighting per object and task, however often it runs.
func sees[T any](w *town, task string, id func(T) string) func(context.Context, T) error {
	return func(ctx context.Context, object T) error {
		_, err := w.sightings.Put(ctx, sighting{ID: task + " " + id(object), By: task})
		return err
	}
}

// answer snoozes once, dies of what is dead, and of what is sick until healed.
func (w *town) answer(ctx context.Context, p ping) error {
	switch {
	case strings.Contains(p.ID, ".dead."):
		return persistence.Permanent(errors.New("it is dead"))
	case strings.Contains(p.ID, ".sick.") && !w.healed.Load():
		return persistence.Permanent(errors.New("it is sick"))
	case strings.Contains(p.ID, ".slow.") && time.Since(persistence.Current(ctx).Accepted) < 5*time.Millisecond:
		return persistence.Snooze(5 * time.Millisecond)
	}
	return sees(w, "answer", func(p ping) string { return p.ID })(ctx, p)
}

func (w *town) count(ctx context.Context, tx *persistence.Tx, a arrival) error {
	n, err := w.tallies.In(tx).Get(ctx, a.User)
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return err
	}
	n.User = a.User
	n.N++
	_, err = w.tallies.In(tx).Put(ctx, n)
	return err
}

func (w *town) write(ctx context.Context, tx *persistence.Tx, s step) error {
	d, err := w.diaries.In(tx).Get(ctx, s.Group)
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return err
	}
	d.Group, d.IDs = s.Group, append(d.IDs, s.ID)
	_, err = w.diaries.In(tx).Put(ctx, d)
	return err
}

const townUsers = 3

func user(i int) string { return "u" + strconv.Itoa(i%townUsers) }

// load does a little of everything, several things at a time.
func (w *town) load(ctx context.Context, layer *persistence.Layer, r *persistencetest.Recorder) error {
	w.healed.Store(r.Round > 0)
	id := func(round int, what string, i int) string { return fmt.Sprintf("r%d.%s.%d", round, what, i) }
	put := func(what string, i int, put func(id string) error) error {
		id := id(r.Round, what, i)
		err := r.Do(townPut(id), func() error { return put(id) })
		if fault.Accepted(err) {
			return nil
		}
		return err
	}
	parts := []func() error{
		func() error { return w.loadArrivals(ctx, r, id) },
		func() error {
			for i := range 6 {
				kind := []string{"ping", "ping.slow", "ping.dead"}[i%3]
				if err := put(kind, i, func(id string) error { _, err := w.pings.Put(ctx, ping{ID: id}); return err }); err != nil {
					return err
				}
			}
			return w.loadSick(ctx, r, id)
		},
		func() error {
			for i := range 6 {
				s := step{Group: user(i % 2)}
				if err := put("step", i, func(id string) error { s.ID = id; _, err := w.steps.Put(ctx, s); return err }); err != nil {
					return err
				}
			}
			return nil
		},
		func() error {
			for i := range 4 {
				if err := put("card", i, func(id string) error { _, err := w.cards.Put(ctx, card{id, "a card"}); return err }); err != nil {
					return err
				}
				if err := put("page", i, func(id string) error { _, err := w.pages.Put(ctx, page{id, "a page"}); return err }); err != nil {
					return err
				}
			}
			return nil
		},
		func() error { return w.loadMembers(ctx, r, put) },
		func() error { return w.forge(ctx, r.Round) },
		func() error { return w.turn(ctx, r) },
		func() error { return w.watch(ctx, r) },
	}
	errs := make(chan error, len(parts))
	for _, part := range parts {
		go func() { errs <- part() }()
	}
	for range parts {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// loadArrivals puts arrivals, half of them with a token: those of the start
// before are put again, and a transaction puts two at a time.
func (w *town) loadArrivals(ctx context.Context, r *persistencetest.Recorder, name func(round int, what string, i int) string) error {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for round := max(r.Round-1, 0); round <= r.Round; round++ {
		for i := range 8 {
			if round < r.Round && i%2 == 0 {
				continue // without a token a second Put would count twice
			}
			id := name(round, "arrival", i)
			a := arrival{ID: id, User: user(i), At: at.Add(time.Duration(i) * time.Minute)}
			var opts []persistence.PutOption
			if i%2 == 1 {
				opts = append(opts, persistence.Token(id))
			}
			err := r.Do(townPut(id), func() error { _, err := w.arrivals.Put(ctx, a, opts...); return err })
			if err != nil {
				return err
			}
		}
	}
	for i := range 2 {
		id := name(r.Round, "pair", i)
		err := r.Do(townPut(id), func() error {
			return w.layer.Tx(ctx, func(ctx context.Context, tx *persistence.Tx) error {
				for _, side := range []string{".left", ".right"} {
					if _, err := w.arrivals.In(tx).Put(ctx, arrival{ID: id + side, User: user(i), At: at}); err != nil {
						return err
					}
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	gone := name(r.Round, "gone", 0)
	return r.Try(gone, func() error {
		if _, err := w.arrivals.Put(ctx, arrival{ID: gone, User: "nobody", At: at}); err != nil {
			return err
		}
		_, err := w.arrivals.Delete(ctx, gone)
		return err
	})
}

// loadSick puts what dies, waits for its death, and replays it healed.
func (w *town) loadSick(ctx context.Context, r *persistencetest.Recorder, name func(round int, what string, i int) string) error {
	id := name(r.Round, "ping.sick", 0)
	var receipt *persistence.Receipt
	err := r.Do(townPut(id), func() (err error) { receipt, err = w.pings.Put(ctx, ping{ID: id}); return err })
	if err != nil && !fault.Accepted(err) {
		return err
	}
	if err := receipt.Wait(ctx, "answer"); err == nil {
		return nil // it was never sick
	}
	w.healed.Store(true)
	letters, err := w.layer.DeadLetters().List(ctx, persistence.DeadFilter{Kind: "ping", Key: id})
	if err != nil || len(letters) == 0 {
		return fmt.Errorf("no dead letter for %s: %v", id, err)
	}
	_, err = w.layer.DeadLetters().Replay(ctx, 0, letters[0].ID)
	return err
}

// loadMembers puts members, and one whose mail is taken.
func (w *town) loadMembers(ctx context.Context, r *persistencetest.Recorder, put func(string, int, func(string) error) error) error {
	for i := range 3 {
		err := put("member", i, func(id string) error {
			_, err := w.members.Put(ctx, member{ID: id, Mail: id + "@example.org", Bio: "a bio", Seen: 1})
			return err
		})
		if err != nil {
			return err
		}
	}
	taken := fmt.Sprintf("r%d.member.0@example.org", r.Round)
	err := put("member", 99, func(id string) error {
		_, err := w.members.Put(ctx, member{ID: id, Mail: taken, Bio: "a double"})
		return err
	})
	if !errors.Is(err, fault.ErrExists) {
		return fmt.Errorf("a second member with one mail: %v, want ErrExists", err)
	}
	return nil
}

// forge puts a job into a tube of ours that no layer made.
func (w *town) forge(ctx context.Context, round int) error {
	return w.layer.Transitory().Put(ctx, transitory.Job{Tube: "ff/ping/bg", Body: fmt.Appendf(nil, "forged %d", round)})[0]
}
