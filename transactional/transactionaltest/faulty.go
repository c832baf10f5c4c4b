package transactionaltest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A Fault is what may happen to a transaction.
type Fault int

// The faults.
const (
	// None lets the transaction be.
	None Fault = iota
	// Refused: the database could not be reached. fault.ErrUnavailable;
	// nothing was sent.
	Refused
	// Busy: a deadlock at the end of the unit. fault.ErrBusy; rolled back.
	Busy
	// Lost: the answer to COMMIT was lost. fault.ErrUnknown; applied.
	Lost
	// Dropped: COMMIT itself was lost. fault.ErrUnknown; rolled back.
	Dropped
)

// A Faulty is a Source whose drivers fail on demand, for the tests of whatever
// stands above. Its methods may be called from many goroutines.
type Faulty struct {
	source transactional.Source

	mu   sync.Mutex
	next []Fault
	down bool
	runs int
}

// NewFaulty returns a Source that opens what source opens.
func NewFaulty(source transactional.Source) *Faulty { return &Faulty{source: source} }

// OpenDriver implements transactional.Source.
func (f *Faulty) OpenDriver(ctx context.Context) (transactional.Driver, error) {
	d, err := f.source.OpenDriver(ctx)
	if err != nil {
		return nil, err
	}
	return &faultyDriver{Driver: d, f: f}, nil
}

// Next says what happens to the next transactions, one fault each, behind
// what was said before.
func (f *Faulty) Next(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = append(f.next, faults...)
}

// Down makes everything fail as Refused does, reads too, until it is called
// with false.
func (f *Faulty) Down(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

// Runs is how many transactions were begun.
func (f *Faulty) Runs() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.runs
}

func (f *Faulty) take() Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runs++
	switch {
	case f.down:
		return Refused
	case len(f.next) == 0:
		return None
	}
	kind := f.next[0]
	f.next = slices.Delete(f.next, 0, 1)
	return kind
}

func (f *Faulty) isDown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.down
}

type faultyDriver struct {
	transactional.Driver
	f *Faulty
}

var errInjected = errors.New("injected")

func injected(class error) error {
	return &fault.Error{Op: "run", Store: "transactional", Class: class, Err: errInjected}
}

func (d *faultyDriver) Run(ctx context.Context, unit func(transactional.Conn) error) error {
	kind := d.f.take()
	if kind == Refused {
		return injected(fault.ErrUnavailable)
	}
	err := d.Driver.Run(ctx, func(c transactional.Conn) error {
		if err := unit(c); err != nil {
			return err
		}
		switch kind {
		case Busy:
			return injected(fault.ErrBusy)
		case Dropped:
			return injected(fault.ErrUnknown)
		}
		return nil
	})
	if err == nil && kind == Lost {
		return injected(fault.ErrUnknown)
	}
	return err
}

func (d *faultyDriver) View(ctx context.Context, unit func(transactional.Conn) error) error {
	if d.f.isDown() {
		return injected(fault.ErrUnavailable)
	}
	return d.Driver.View(ctx, unit)
}

func (d *faultyDriver) Check(ctx context.Context) fault.Report {
	r := d.Driver.Check(ctx)
	if d.f.isDown() {
		r.Reachable, r.Problems = false, []string{"the database cannot be reached (injected)"}
	}
	return r
}
