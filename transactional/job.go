package transactional

import (
	"fmt"
	"slices"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A job is a Unit that was checked, on its way through a group.
type job struct {
	unit   *Unit
	plans  []*plan  // of the tables it writes, each once
	writes []*write // at most one per row
	later  [][]*write
	adds   []*add
	places []*placing
	size   int
	seen   *seen // of the Tx that executes it; nil in a group
	looked bool  // it is run again, with a look at what it settles

	// try is what the attempt under way found out. A driver may return early
	// when a context ends, and leave an attempt running that is rolled back:
	// so result and err, which the caller reads, are copied from it only when
	// it is over.
	try    *attempt
	result Result
	err    error
}

// An attempt is what one execution of a unit came to.
type attempt struct {
	result Result
	err    error
	out    bool // decided: the unit fails, or repeats what was accepted before
}

// An add is a Record that was checked, with what does not depend on the
// moment of its insertion.
type add struct {
	job   *job
	index int
	*Record
	progress, body any
}

// single reports whether one statement is all that the unit executes to write: a
// row that wins or loses by its own guard, a place, or a record.
func (j *job) single() bool {
	u := j.unit
	if j.later != nil || len(u.Settle)+len(u.Bury)+len(u.Unbury) > 0 || len(j.writes)+len(j.adds)+len(j.places) != 1 {
		return false
	}
	switch {
	case len(j.writes) == 1:
		return !j.writes[0].careful()
	case len(j.places) == 1:
		return true
	}
	return j.adds[0].Token == "" && len(j.adds[0].Orders) == 0
}

// fail decides that the unit fails. The first reason stays.
func (a *attempt) fail(err error) {
	if !a.out {
		a.err, a.out = err, true
	}
}

// prepare checks a unit, before any store sees it.
func (s *Store) prepare(u *Unit, planOf func(*Table) (*plan, error)) (*job, error) {
	j := &job{unit: u, size: 64}
	if err := s.prepareWrites(j, planOf); err != nil {
		return nil, err
	}
	for i := range u.Add {
		a, err := s.prepareAdd(j, i)
		if err != nil {
			return nil, err
		}
		j.adds = append(j.adds, a)
		j.size += len(u.Add[i].Body) + len(u.Add[i].Progress) + 256
	}
	if err := s.preparePlaces(j); err != nil {
		return nil, err
	}
	if err := validSettlements(u); err != nil {
		return nil, err
	}
	for i := range u.Settle {
		j.size += len(u.Settle[i].Progress) + len(u.Settle[i].Mark) + 64
	}
	for i := range u.Bury {
		if err := s.validLetter(&u.Bury[i]); err != nil {
			return nil, err
		}
		j.size += len(u.Bury[i].Envelope) + len(u.Bury[i].Detail) + 256
	}
	return j, nil
}

func (s *Store) prepareWrites(j *job, planOf func(*Table) (*plan, error)) error {
	seen := map[resource]int{}
	for i := range j.unit.Writes {
		p, err := planOf(j.unit.Writes[i].Table)
		if err != nil {
			return s.locate(err, "write", j.unit.Writes[i].Table, j.unit.Writes[i].Row.ID)
		}
		w, size, err := s.prepareWrite(j, i, p)
		if err != nil {
			return err
		}
		j.size += size
		if !slices.Contains(j.plans, w.plan) {
			j.plans = append(j.plans, w.plan)
		}
		if len(j.unit.Writes) == 1 {
			j.writes = append(j.writes, w)
			return nil
		}
		// A row that the unit writes again waits for the round after.
		r := resource{space: w.plan.physical, id: w.id}
		round := seen[r]
		seen[r] = round + 1
		switch {
		case round == 0:
			j.writes = append(j.writes, w)
		case round > len(j.later):
			j.later = append(j.later, []*write{w})
		default:
			j.later[round-1] = append(j.later[round-1], w)
		}
	}
	return nil
}

func (s *Store) prepareWrite(j *job, i int, p *plan) (*write, int, error) {
	in := &j.unit.Writes[i]
	w := &write{
		job: j, index: i, plan: p, id: in.Row.ID, stamp: in.Row.Stamp,
		mode: in.Mode, expect: in.Expect, deleted: in.Row.Deleted,
	}
	if err := validKey("id", w.id); err != nil {
		return nil, 0, w.fail(fault.ErrInvalid, err.Error())
	}
	if in.Mode < Newest || in.Mode > Above {
		return nil, 0, w.fail(fault.ErrInvalid, "an unknown mode")
	}
	w.args = make([]any, 4, 4+len(p.columns))
	w.args[0], w.args[1], w.args[2], w.args[3] = w.id, w.stamp.Version, flip(w.stamp.Tie), int64(0)
	if w.deleted {
		w.args[3] = int64(1)
		return w, 64, nil
	}
	size, err := w.encode(&s.dialect, in.Row.Values)
	if err == nil {
		err = s.fits(size)
	}
	if err != nil {
		return nil, 0, s.locate(err, "write", p.table, w.id)
	}
	return w, size, nil
}

// encode appends the columns' arguments.
func (w *write) encode(d *Dialect, values []any) (size int, err error) {
	columns := w.plan.table.Columns
	if len(values) != len(columns) {
		return 0, fault.New(fault.ErrInvalid, "", "", fmt.Sprintf("%d values for %d columns", len(values), len(columns)))
	}
	size = 64 + len(w.id)
	for i, v := range values {
		arg, err := encode(d, columns[i].Type, v)
		if err != nil {
			return 0, &fault.Error{Class: fault.ErrInvalid, Err: columnError{columns[i].Name, err}}
		}
		size += sizeOf(arg)
		w.args = append(w.args, arg)
	}
	return size, nil
}

// fits refuses what the driver says no row can hold.
func (s *Store) fits(size int) error {
	if s.features.MaxRow > 0 && size > s.features.MaxRow {
		return fault.New(fault.ErrTooLarge, purpose, "", fmt.Sprintf("%d bytes; the store takes %d per row", size, s.features.MaxRow))
	}
	return nil
}

func (s *Store) prepareAdd(j *job, i int) (*add, error) {
	r := &j.unit.Add[i]
	err := firstError(
		validKey("kind", r.Kind), validKey("lane", r.Lane), validLength("token", r.Token),
		validLength("key", r.Key), validRecord(r), s.fits(len(r.Body)+len(r.Progress)+512),
	)
	for k := 0; err == nil && k < len(r.Orders); k++ {
		err = firstError(validLength("order task", r.Orders[k].Task), validLength("order key", r.Orders[k].Key))
	}
	if err != nil {
		class := fault.ErrInvalid
		if fault.ClassOf(err) != nil {
			class = fault.ClassOf(err)
		}
		return nil, &fault.Error{Op: "add", Store: purpose, Kind: r.Kind, Key: r.Key, Class: class, Err: err}
	}
	return &add{job: j, index: i, Record: r, progress: blob(r.Progress), body: blob(r.Body)}, nil
}

func validRecord(r *Record) error {
	switch {
	case r.ID == RecordID{}:
		return fmt.Errorf("the record has no id")
	case r.Owner != 0 && r.Lease <= 0:
		return fmt.Errorf("a record that is claimed from the start needs a lease")
	case r.Remember < 0 || r.Lease < 0:
		return fmt.Errorf("a duration is negative")
	}
	return nil
}

func validSettlements(u *Unit) error {
	for i := range u.Settle {
		t := &u.Settle[i]
		message := ""
		switch {
		case t.Owner == 0:
			message = "a settlement needs its owner"
		case t.Keep < 0:
			message = "Keep is negative"
		case !t.Done && !t.Hold && (t.Lane == "" || len(t.Lane) > MaxKey):
			message = "a record that goes back needs a lane of 1 to 255 bytes"
		}
		for k := range u.Settle[:i] {
			if u.Settle[k].ID == t.ID {
				message = "the unit settles the record twice"
			}
		}
		if message != "" {
			e := fault.New(fault.ErrInvalid, purpose, "settle", message)
			e.Key = t.ID.String()
			return e
		}
	}
	return nil
}

func validKey(what, key string) error {
	if key == "" || len(key) > MaxKey {
		return fmt.Errorf("the %s has %d bytes; 1 to %d are possible", what, len(key), MaxKey)
	}
	return nil
}

func validLength(what, s string) error {
	if len(s) > MaxKey {
		return fmt.Errorf("the %s has %d bytes; %d are possible", what, len(s), MaxKey)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// bytesArg is a blob without a copy.
func bytesArg(b []byte) any {
	if b == nil {
		return []byte{}
	}
	return b
}

// blob copies bytes for the driver; nil and empty are the same.
func blob(b []byte) any { return append(make([]byte, 0, len(b)), b...) }
