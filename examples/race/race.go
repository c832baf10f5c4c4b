package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// An entrant is one way to deal with check-ins.
type entrant struct {
	name string
	// tasks are waited for, per check-in: the two follow-ups, or all.
	tasks int
	// idle: nobody works while the check-ins are put, and the rest is timed
	// apart.
	idle bool
	run  func(ctx context.Context, r *race, l *lap) (reading, error)
	// verify reads every store back.
	verify func(ctx context.Context, r *race, l *lap) error
}

// byHandName is how the names of the entrants by hand begin.
const byHandName = "hand-"

// entrants are all that the flag -modes may name, in the order of their laps.
// Of those by hand, "tuned" means that Cassandra's client sends at once.
func entrants() []entrant {
	hand := func(name string, tuned, aside bool) entrant {
		return entrant{name: byHandName + name, tasks: 2, run: func(ctx context.Context, r *race, l *lap) (reading, error) {
			return r.byHandLap(ctx, l, tuned, aside)
		}, verify: func(ctx context.Context, r *race, l *lap) error { return r.untuned.verify(ctx, r.servers, l) }}
	}
	kind := func(name string, tasks int, idle bool) entrant {
		e := entrant{name: name, tasks: tasks, idle: idle}
		e.run = func(ctx context.Context, r *race, l *lap) (reading, error) { return r.fourfoldLap(ctx, l, &e) }
		e.verify = func(ctx context.Context, r *race, l *lap) error { return r.system.verify(ctx, name, l) }
		return e
	}
	raw := func(name string, make func(ctx context.Context, r *race) (putter, func(), error), verify func(r *race, l *lap) error) entrant {
		return entrant{name: name, run: func(ctx context.Context, r *race, l *lap) (reading, error) {
			return r.rawLap(ctx, l, func() (putter, func(), error) { return make(ctx, r) })
		}, verify: func(_ context.Context, r *race, l *lap) error { return verify(r, l) }}
	}
	return []entrant{
		raw("raw-put", func(_ context.Context, r *race) (putter, func(), error) { return rawPut(r.servers.Transitory) }, (*race).clearRaw),
		raw("raw-tx", func(ctx context.Context, r *race) (putter, func(), error) { return rawTx(ctx, r.untuned.rows) },
			func(*race, *lap) error { return nil }),
		hand("seq", false, false), hand("seq-tuned", true, false),
		hand("par", false, true), hand("par-tuned", true, true),
		kind("now", 2, false), kind("later", 6, false),
		kind("accept", 6, true), kind("queued", 6, true), kind("rowed", 5, true),
	}
}

// A race is the two sides, on the same stores.
type race struct {
	flags
	servers        servers
	namespace      string // in front of all that Fourfold keeps; empty: "race"
	laps           laps
	untuned, tuned *byHand // nil without servers
	system         *system
	faults         *persistencetest.Faults // before Fourfold's stores; nil: none
}

// open opens both sides; the curve and the open loop need Fourfold only.
func (r *race) open(ctx context.Context, dir string) (err error) {
	if r.servers.given() && r.races() {
		if r.untuned, err = openByHand(ctx, r.servers, 200*time.Microsecond); err != nil {
			return fmt.Errorf("by hand: %w", err)
		}
		if r.tuned, err = openByHand(ctx, r.servers, 0); err != nil {
			return fmt.Errorf("by hand: %w", err)
		}
	}
	if r.system, err = openFourfold(ctx, r.namespace, r.servers, dir, &r.laps, r.faults); err != nil {
		return fmt.Errorf("fourfold: %w", err)
	}
	return nil
}

// races reports whether both sides run: the curve, the open loop and what has
// grown measure Fourfold alone.
func (r *race) races() bool { return !r.curve && r.openRate == 0 && r.grown == 0 }

func (r *race) close() error {
	for _, h := range []*byHand{r.untuned, r.tuned} {
		if h != nil {
			h.close()
		}
	}
	if r.system == nil {
		return nil
	}
	return r.system.layer.Close()
}

// contest runs every entrant once per number of callers and round, in turn, so
// that what else the machine does falls on all alike.
func (r *race) contest(ctx context.Context, run []entrant, done func(result)) error {
	for _, callers := range r.callers {
		for round := -r.warm; round < r.rounds; round++ {
			for _, e := range run {
				res, err := r.lap(ctx, e, callers, round)
				if err != nil {
					return fmt.Errorf("%s with %d callers: %w", e.name, callers, err)
				}
				if round >= 0 {
					done(res)
				}
			}
		}
	}
	return nil
}

// lap runs one entrant once, and holds the stores to what they should hold.
func (r *race) lap(ctx context.Context, e entrant, callers, round int) (result, error) {
	n := r.objects
	if callers == 1 {
		n = r.lone
	}
	l := newLap(n, r.size, callers, e.tasks)
	if r.random {
		l.scatter()
	}
	l.waits = e.tasks > len(tubeNames)
	return r.runLap(ctx, e, l, round)
}

// runLap is lap with check-ins that are made already.
func (r *race) runLap(ctx context.Context, e entrant, l *lap, round int) (result, error) {
	r.laps.current.Store(l)
	defer r.laps.current.Store(nil)
	stop, err := r.profile(e.name, l.callers, round)
	if err != nil {
		return result{}, err
	}
	read, err := e.run(ctx, r, l)
	stop()
	if err != nil {
		return result{}, err
	}
	if err := e.verify(ctx, r, l); err != nil {
		return result{}, fmt.Errorf("the stores do not hold what was put: %w", err)
	}
	res := read.result(e.name, l.callers, round, len(l.objects))
	res.Lost = l.lost.Load()
	return res, nil
}

func (r *race) byHandLap(ctx context.Context, l *lap, tuned, aside bool) (reading, error) {
	side := r.untuned
	if tuned {
		side = r.tuned
	}
	hands, dismiss, err := side.hire(r.servers.Transitory, l.callers)
	if err != nil {
		return reading{}, err
	}
	defer dismiss()
	stop, err := followAll(ctx, r.servers.Transitory, r.laps.followed)
	if err != nil {
		return reading{}, err
	}
	puts := make([]putter, len(hands))
	for i, h := range hands {
		puts[i] = h.inTurn
		if aside {
			puts[i] = h.sideBySide
		}
	}
	return r.time(ctx, l, puts, nil, stop)
}

func (r *race) fourfoldLap(ctx context.Context, l *lap, e *entrant) (reading, error) {
	kind := r.system.kind(e.name)
	puts := make([]putter, l.callers)
	for i := range puts {
		puts[i] = func(ctx context.Context, c *Checkin) error { return put(ctx, kind, c) }
	}
	if e.idle {
		var stop func() error
		return r.time(ctx, l, puts, func() { stop = r.system.work(ctx) }, func() error { return stop() })
	}
	return r.time(ctx, l, puts, nil, r.system.work(ctx))
}

// time drives a lap. Between, if it is not nil, is called when all is put, and
// what follows is timed apart; stop ends those who do the follow-ups.
func (r *race) time(ctx context.Context, l *lap, puts []putter, between func(), stop func() error) (reading, error) {
	m := r.begin()
	m.idle = between != nil
	took, err := l.drive(ctx, puts)
	m.accepted(r, took)
	if between != nil {
		between()
	}
	if err == nil {
		err = l.wait(ctx)
	}
	m.over(r)
	err = errors.Join(err, stop())
	m.stopped(r)
	return m.reading, err
}
