package transactional

import (
	"context"
	"errors"
	"slices"
)

// A Statement is one of a sequence.
type Statement struct {
	Text string // with placeholders
	Args []any  // nobody reads them when RunSequence has returned
	// Wins says that it is a guarded upsert of one row, which must not leave the
	// row alone. If it does, nothing of the sequence is applied.
	Wins bool
}

// A Sequencer is a Driver whose server takes the statements of a transaction, and
// the beginning and the end of it, together: a lone caller waits for one answer,
// and not for four.
type Sequencer interface {
	// RunSequence is Run for statements that are known beforehand. It calls ready
	// before it sends them, and sends nothing when that fails. done is false,
	// without an error, when nothing is applied and the unit has to be run as any
	// other: the server cannot do this, a statement was refused, or did not come to
	// what it must. When the answer is lost, fault.ErrUnknown.
	RunSequence(ctx context.Context, ready func() error, statements []Statement) (done bool, err error)
}

// sequenceMost bounds what is sent together, in bytes. What is larger is not slow
// for its round trips.
const sequenceMost = 64 << 10

// apartFor is how many units to a table are taken for those of objects that are
// there already, after one that was: most likely so is the next one.
const apartFor = 32

// errApart says that the statements of a sequence have to be sent one by one.
var errApart = errors.New("the statements cannot go together")

// accepts reports whether a unit adds a record, and does nothing else but write
// rows, which win or lose by their own guard, and register places.
func (j *job) accepts() bool {
	u := j.unit
	if len(j.adds) != 1 || len(j.writes)+len(j.places) == 0 || j.later != nil || j.size > sequenceMost ||
		len(u.Settle)+len(u.Bury)+len(u.Unbury) > 0 || slices.ContainsFunc(j.writes, (*write).careful) {
		return false
	}
	return j.adds[0].Token == "" && len(j.adds[0].Orders) == 0
}

// sequence is the statements of such a unit, in the order of a wave; nil when the
// server has to be asked for its time first. What is new is inserted, and the
// statement fails when it is not: the guard of an upsert, and the look at what it
// came to, take MariaDB half as long again as the whole unit without.
func (s *Store) sequence(j *job, fresh bool) []Statement {
	a := j.adds[0]
	now, known := s.clock.known()
	if a.timed() && !known {
		return nil
	}
	out := make([]Statement, 0, len(j.writes)+len(j.places)+1)
	for _, t := range byTable(j.writes) {
		slices.SortFunc(t.plain, compareWrites)
		text := t.plan.upsert.text(1)
		if fresh {
			text = t.plan.insert.text(1)
		}
		for _, w := range t.plain {
			out = append(out, Statement{Text: text, Args: w.args, Wins: !fresh})
		}
	}
	for _, p := range slices.SortedStableFunc(slices.Values(j.places), comparePlacings) {
		out = append(out, Statement{Text: s.ours.newPlace, Args: p.args})
	}
	s.clock.leased(a.Lease)
	record := a.append(make([]any, 0, len(ourTable("outbox").columns)), now)
	return append(out, Statement{Text: s.ours.insertRecord.text(1), Args: record})
}

// together runs a unit as a sequence. done is false, without an error, when it has
// to be run as any other.
func (s *Store) together(ctx context.Context, j *job) (done bool, err error) {
	driver, ok := s.driver.(Sequencer)
	if !ok || !j.accepts() {
		return false, nil
	}
	again := &s.again
	if len(j.plans) > 0 {
		again = &j.plans[0].again
	}
	fresh := again.Load() <= 0
	if !fresh {
		again.Add(-1)
		if len(j.places) > 0 {
			return false, nil // its place is there, which is to be looked at
		}
	}
	statements := s.sequence(j, fresh)
	if statements == nil {
		return false, nil
	}
	run := func(ctx context.Context, unit func(Conn) error) error {
		done, err := driver.RunSequence(ctx, func() error { return unit(nil) }, statements)
		if err == nil && !done {
			err = errApart
		}
		return err
	}
	err = s.beginWith(ctx, run, func(context.Context, Conn) error { return nil })
	if errors.Is(err, errApart) {
		again.Store(apartFor)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	j.try = &attempt{}
	for _, p := range j.places {
		p.note(Placed{ID: p.ID, Stamp: p.Stamp, Place: p.Place}) // each was the first of its ID
	}
	return true, nil
}
