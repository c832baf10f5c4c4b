package transactional

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fourfold-dev/fourfold/internal/group"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Apply executes a unit. Units that arrive while one commit is under way are
// committed together, in multi-row statements; a unit that fails fails alone.
// When ctx ends first the error is ctx's own, joined with fault.ErrUnknown if
// the unit may have been sent.
//
// A faulty unit is fault.ErrInvalid or fault.ErrTooLarge before anything is
// sent. A unit may write a row more than once: its writes apply in their
// order. The unit may be reused when Apply has returned, whatever it returned.
func (s *Store) Apply(ctx context.Context, unit *Unit) (Result, error) {
	if err := s.open(ctx); err != nil {
		return Result{}, s.locate(err, "apply", nil, "")
	}
	if err := s.nested(ctx); err != nil {
		return Result{}, err
	}
	j, err := s.prepare(unit.clone(), func(t *Table) (*plan, error) { return s.plan(ctx, t) })
	if err != nil {
		return Result{}, err
	}
	err = s.group.Do(ctx, j)
	if err == errAlone {
		err = s.persist(ctx, j)
	}
	if err != nil {
		return Result{}, s.explainAll(ctx, s.locate(err, "apply", nil, ""), j.plans)
	}
	return j.result, nil
}

// ApplyAll is Apply of many units that come at the same time: each is atomic,
// and succeeds or fails on its own. Both results are aligned with units; they
// are committed together as far as that goes, but not as one.
func (s *Store) ApplyAll(ctx context.Context, units []*Unit) ([]Result, []error) {
	results, errs := make([]Result, len(units)), make([]error, len(units))
	if len(units) == 1 {
		results[0], errs[0] = s.Apply(ctx, units[0])
		return results, errs
	}
	err := s.open(ctx)
	if err == nil {
		err = s.nested(ctx)
	}
	jobs, at := make([]*job, 0, len(units)), make([]int, 0, len(units))
	for i, unit := range units {
		if errs[i] = s.locate(err, "apply", nil, ""); err != nil {
			continue
		}
		var j *job
		if j, errs[i] = s.prepare(unit.clone(), func(t *Table) (*plan, error) { return s.plan(ctx, t) }); errs[i] == nil {
			jobs, at = append(jobs, j), append(at, i)
		}
	}
	answers := s.groupOf(jobs).DoAll(ctx, jobs)
	var alone sync.WaitGroup
	for n, j := range jobs {
		i := at[n]
		if answers != nil {
			errs[i] = answers[n]
		}
		if errs[i] == errAlone {
			alone.Go(func() { errs[i] = s.persist(ctx, j) })
		}
	}
	alone.Wait()
	for n, j := range jobs {
		if i := at[n]; errs[i] != nil {
			errs[i] = s.explainAll(ctx, s.locate(errs[i], "apply", nil, ""), j.plans)
		} else {
			results[i] = j.result
		}
	}
	return results, errs
}

// groupOf is the group that units which came together go with. Callers wait for
// what accepts something, and for the transaction before it. To settle records took
// up to half of that, and under a spike what is written later took as much: these
// are done beside it, where all share what a COMMIT waits for. A few are not worth
// a COMMIT of their own.
func (s *Store) groupOf(jobs []*job) *group.Group[*job] {
	if s.settles == nil || len(jobs) < groupSmall {
		return s.group
	}
	of := s.settles
	for _, j := range jobs {
		switch {
		case len(j.adds) > 0:
			return s.group
		case !j.settles():
			of = s.behind
		}
	}
	return of
}

// clone copies what is read again when the caller, whose context has ended, may
// be gone: the rest is copied by prepare.
func (u *Unit) clone() *Unit {
	own := *u
	own.Add, own.Unbury = slices.Clone(u.Add), slices.Clone(u.Unbury)
	own.Settle, own.Bury, own.Place = slices.Clone(u.Settle), slices.Clone(u.Bury), slices.Clone(u.Place)
	for i := range own.Add {
		own.Add[i].Orders = slices.Clone(own.Add[i].Orders)
	}
	for i := range own.Settle {
		t := &own.Settle[i]
		t.Mark, t.Progress, t.Release = bytes.Clone(t.Mark), bytes.Clone(t.Progress), slices.Clone(t.Release)
	}
	for i := range own.Bury {
		own.Bury[i].Envelope = bytes.Clone(own.Bury[i].Envelope)
	}
	return &own
}

// runGroup commits a group of units and returns one error per unit. However
// many of them are in trouble, the next group waits for a bounded time only.
func (s *Store) runGroup(ctx context.Context, jobs []*job) []error {
	ctx, cancel := context.WithTimeout(ctx, 4*s.opts.TxTimeout)
	defer cancel()
	start := 0
	for i, j := range jobs {
		if j.later == nil {
			continue
		}
		// It executes in steps that depend on each other, so it has to be alone
		// in its transaction to fail alone.
		s.commit(ctx, jobs[start:i], 0)
		s.commit(ctx, jobs[i:i+1], 0)
		start = i + 1
	}
	s.commit(ctx, jobs[start:], 0)
	errs := make([]error, len(jobs))
	for i, j := range jobs {
		if errs[i] = j.err; fault.Cancelled(j.err) && fault.ClassOf(j.err) == nil {
			// The group's own deadline, which is none of the callers' contexts.
			errs[i] = &fault.Error{Op: "apply", Store: purpose, Class: fault.ErrUnavailable, Err: j.err}
		}
	}
	return errs
}

// commit executes units in one transaction. When the database refuses it
// because of one of them, halves are tried, in their order, until that one is
// alone. attempts is how often the units met a busy database.
func (s *Store) commit(ctx context.Context, jobs []*job, attempts int) {
	if len(jobs) == 0 {
		return
	}
	inside, err := s.once(ctx, jobs)
	switch {
	case err == nil:
		for _, j := range jobs {
			j.result, j.err = j.try.result, j.try.err
		}
	case errors.Is(err, fault.ErrBusy) && !fault.Unknown(err):
		s.apart(ctx, jobs, attempts)
	case inside && len(jobs) > 1 && blamesOne(err):
		s.opts.Logger.DebugContext(ctx, "transactional: a group is split to find the unit that fails", "units", len(jobs), "error", err)
		half := len(jobs) / 2
		s.commit(ctx, jobs[:half], attempts)
		s.commit(ctx, jobs[half:], attempts)
	default:
		if len(jobs) == 1 && inside && s.mayRace(err) {
			err = errAlone
		}
		for _, j := range jobs {
			j.err = err
		}
	}
}

// errAlone sends a unit back to its caller, to be run apart from the others,
// who should not wait for it.
var errAlone = errors.New("to be run alone")

// groupAttempts is how often a group is run while the database is busy, before
// its units are run apart.
const groupAttempts = 3

// apart runs a group that met a busy database once more, without those who
// want what somebody keeps locked.
func (s *Store) apart(ctx context.Context, jobs []*job, attempts int) {
	stuck := s.stuck(ctx, jobs)
	free := make([]*job, 0, len(jobs))
	for i, j := range jobs {
		if j.err = errAlone; !stuck[i] {
			free = append(free, j)
		}
	}
	if attempts+1 < groupAttempts && backoff(ctx, attempts) {
		s.commit(ctx, free, attempts+1)
	}
}

// persist runs one unit, apart from any group, until the database is not busy.
func (s *Store) persist(ctx context.Context, j *job) error {
	races := 0
	for n := 0; ; n++ {
		inside, err := s.once(ctx, []*job{j})
		switch {
		case err == nil:
			j.result = j.try.result
			return j.try.err
		case fault.Unknown(err):
			return err
		case errors.Is(err, fault.ErrBusy):
			if !backoff(ctx, n) {
				return err
			}
		case inside && races < 2 && s.mayRace(err):
			races++
		default:
			return err
		}
	}
}

// mayRace reports whether looking again may end otherwise: a row that was
// absent when we looked may have been inserted by another process since, which
// is told from a unique value that is taken by looking again.
func (s *Store) mayRace(err error) bool {
	return s.features.SharedLog && errors.Is(err, fault.ErrExists)
}

// once runs the units in one transaction under a deadline of its own, which
// outlasts an interactive transaction that keeps the writer until it is cut
// off.
func (s *Store) once(ctx context.Context, jobs []*job) (inside bool, err error) {
	bounded, cancel := context.WithTimeout(ctx, 2*s.opts.TxTimeout)
	defer cancel()
	var failed atomic.Bool
	run := s.driver.Run
	if single, ok := s.driver.(Single); ok && len(jobs) == 1 && jobs[0].single() {
		run = single.RunSingle
	}
	if len(jobs) == 1 {
		if done, err := s.together(bounded, jobs[0]); done || err != nil {
			return err != nil, s.ownDeadline(ctx, err)
		}
	}
	for again := true; again; {
		try := make([]attempt, len(jobs))
		for i, j := range jobs {
			j.try = &try[i]
		}
		err = s.beginWith(bounded, run, func(ctx context.Context, c Conn) error {
			err := s.execute(ctx, c, jobs)
			failed.Store(err != nil)
			return err
		})
		if again = errors.Is(err, errLook); again {
			for _, j := range jobs {
				j.looked = true
			}
		}
	}
	return failed.Load(), s.ownDeadline(ctx, err)
}

// ownDeadline is an error of a transaction whose deadline, and not ctx, has ended.
func (s *Store) ownDeadline(ctx context.Context, err error) error {
	if fault.Cancelled(err) && fault.ClassOf(err) == nil && ctx.Err() == nil {
		return &fault.Error{Op: "apply", Store: purpose, Class: fault.ErrUnavailable, Err: err}
	}
	return err
}

// blamesOne reports whether an error of a statement can be the fault of one
// unit rather than the store's.
func blamesOne(err error) bool {
	return !errors.Is(err, fault.ErrUnavailable) && !errors.Is(err, fault.ErrClosed) && !fault.Cancelled(err)
}

// A resource is what two units must not touch in the same wave.
type resource struct {
	what  resourceType
	space string // of the id: a table, a token's kind, a place's space
	id    string
	rec   RecordID
}

type resourceType uint8

const (
	aRow resourceType = iota
	aRecord
	aToken
	aLetter
	aPlace
)

// resources calls use for everything that a unit touches.
func (j *job) resources(use func(resource)) {
	for _, w := range j.writes {
		use(resource{space: w.plan.physical, id: w.id})
	}
	for _, a := range j.adds {
		use(resource{what: aRecord, rec: a.ID})
		if a.Token != "" {
			use(resource{what: aToken, space: a.Kind, id: a.Token})
		}
	}
	for _, p := range j.places {
		use(resource{what: aPlace, space: p.Space, id: p.ID})
	}
	for i := range j.unit.Settle {
		use(resource{what: aRecord, rec: j.unit.Settle[i].ID})
	}
	for i := range j.unit.Bury {
		use(resource{what: aLetter, id: j.unit.Bury[i].ID})
	}
	for _, id := range j.unit.Unbury {
		use(resource{what: aLetter, id: id})
	}
}

// waveMaps are used again: a group of two hundred units has a thousand resources.
var waveMaps = sync.Pool{New: func() any { return map[resource]int{} }}

// waves divides units such that those of one wave touch nothing in common.
// Executed wave after wave, the units behave as if they had come one after
// another, in their order, but that those which only register places come last:
// a wave locks rows before places, and so does a group then.
func waves(jobs []*job) [][]*job {
	if len(jobs) == 1 {
		return [][]*job{jobs}
	}
	if slices.ContainsFunc(jobs, (*job).placesOnly) {
		jobs = slices.Clone(jobs)
		slices.SortStableFunc(jobs, func(a, b *job) int {
			switch last := a.placesOnly(); {
			case last == b.placesOnly():
				return 0
			case last:
				return 1
			}
			return -1
		})
	}
	next := waveMaps.Get().(map[resource]int)
	defer func() {
		clear(next)
		waveMaps.Put(next)
	}()
	var out [][]*job
	for _, j := range jobs {
		wave := 0
		j.resources(func(r resource) { wave = max(wave, next[r]) })
		j.resources(func(r resource) { next[r] = wave + 1 })
		if wave == len(out) {
			out = append(out, nil)
		}
		out[wave] = append(out[wave], j)
	}
	return out
}

// execute executes units inside one transaction. Units that fail by the
// contract's own rules are decided before they write anything, so they fail
// alone; any error that is returned takes the transaction with it. It commits
// also when every unit has failed or repeats what was accepted before: a driver
// that commits several transactions together may have shown us what is not
// durable yet.
func (s *Store) execute(ctx context.Context, c Conn, jobs []*job) error {
	for _, wave := range waves(jobs) {
		if err := s.wave(ctx, c, wave); err != nil {
			return err
		}
	}
	return nil
}
