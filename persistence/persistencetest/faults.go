package persistencetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// An Op is one operation on its way to a store.
type Op struct {
	Purpose persistence.Purpose // which store
	// Name is the driver's method in lower case: "put", "reserve", "delete",
	// "release", "touch", "stats" (transitory); "get", "set", "swap", "delete",
	// "add" (volatile); "write", "read", "scan", "prepare", "purge"
	// (amorphous). A transactional unit is "run" or "view" when it is complete
	// and about to commit, and "exec" or "query" for each of its statements.
	Name string
	// On are the names that the operation touches: tubes; cache keys; the table
	// and the keys of rows; for a transactional statement its string arguments,
	// and for a unit those of all its statements.
	On []string
	// SQL are the statements of a transactional operation.
	SQL []string
}

// changes reports whether the operation changes its store.
func (op *Op) changes() bool {
	switch op.Name {
	case "put", "delete", "release", "set", "swap", "add", "write", "run":
		return true
	}
	return false
}

// A Faults makes stores fail on demand. Wrap puts it between a layer and its
// stores; all other methods may be called at any time, from any goroutine. A
// method that takes purposes means all four when none is given.
type Faults struct {
	stores [persistence.Amorphous + 1]faulty
}

// NewFaults returns a Faults that does nothing yet.
func NewFaults() *Faults {
	f := &Faults{}
	for p := range f.stores {
		f.stores[p].purpose = persistence.Purpose(p)
		f.stores[p].ended = make(chan struct{})
	}
	return f
}

// A faulty is the state of one store.
type faulty struct {
	purpose persistence.Purpose

	mu       sync.Mutex
	down     bool
	ended    chan struct{} // closed when the store goes down
	slow     time.Duration
	next     []injection
	refuse   func(Op) error
	onUp     []func()
	calls    int
	injected int
}

// An injection is a fault that waits for its operations.
type injection struct {
	what  effect
	left  int
	match func(Op) bool // nil: every change
}

type effect int

const (
	applied effect = iota // done, the answer lost
	dropped               // not done, nobody knows
	busy                  // refused for the moment
)

// Down makes stores unreachable: every call fails with fault.ErrUnavailable at
// once, also one that waits, and their health checks say so. Jobs that a queue
// had handed out are ready again when it returns, as after a connection that
// broke.
func (f *Faults) Down(purposes ...persistence.Purpose) {
	for _, s := range f.of(purposes) {
		s.mu.Lock()
		if !s.down {
			s.down = true
			close(s.ended)
		}
		s.mu.Unlock()
	}
}

// Up makes stores reachable again.
func (f *Faults) Up(purposes ...persistence.Purpose) {
	for _, s := range f.of(purposes) {
		s.mu.Lock()
		was := s.down
		if s.down = false; was {
			s.ended = make(chan struct{})
		}
		hooks := s.onUp
		s.mu.Unlock()
		for _, up := range hooks {
			if was {
				up()
			}
		}
	}
}

// Unknown makes the next n changes of a store happen and their answers be
// lost: fault.ErrUnknown. match chooses among its operations; nil means every
// change. At most one match may be given.
func (f *Faults) Unknown(p persistence.Purpose, n int, match ...func(Op) bool) {
	f.inject(p, applied, n, match)
}

// Dropped makes the next n changes of a store not happen, which the caller
// cannot know: fault.ErrUnknown.
func (f *Faults) Dropped(p persistence.Purpose, n int, match ...func(Op) bool) {
	f.inject(p, dropped, n, match)
}

// Busy makes a store refuse its next n changes for the moment: fault.ErrBusy,
// nothing is applied.
func (f *Faults) Busy(p persistence.Purpose, n int, match ...func(Op) bool) {
	f.inject(p, busy, n, match)
}

func (f *Faults) inject(p persistence.Purpose, what effect, n int, match []func(Op) bool) {
	in := injection{what: what, left: n}
	if len(match) > 0 {
		in.match = match[0]
	}
	s := &f.stores[p]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = append(s.next, in)
}

// Refuse asks refuse about every operation of a store: an error is its answer,
// and nothing is applied. An error without a class of package fault is given
// fault.ErrRefused. A nil refuse ends that. It is called in the goroutine of
// the operation, many at a time.
func (f *Faults) Refuse(p persistence.Purpose, refuse func(Op) error) {
	s := &f.stores[p]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refuse
}

// Slow makes every call of a store wait for d first, one for many objects once;
// zero ends that.
func (f *Faults) Slow(p persistence.Purpose, d time.Duration) {
	s := &f.stores[p]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = d
}

// Heal ends every fault of every store.
func (f *Faults) Heal() {
	for _, s := range f.of(nil) {
		s.mu.Lock()
		s.slow, s.next, s.refuse = 0, nil, nil
		s.mu.Unlock()
	}
	f.Up()
}

// Calls returns how many operations were on their way to a store, and how many
// of them met a fault other than slowness: a test of a fault that never struck
// proves nothing.
func (f *Faults) Calls(p persistence.Purpose) (calls, struck int) {
	s := &f.stores[p]
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, s.injected
}

func (f *Faults) of(purposes []persistence.Purpose) []*faulty {
	if len(purposes) == 0 {
		purposes = []persistence.Purpose{persistence.Transitory, persistence.Volatile, persistence.Transactional, persistence.Amorphous}
	}
	out := make([]*faulty, len(purposes))
	for i, p := range purposes {
		out[i] = &f.stores[p]
	}
	return out
}

// none reports whether the store works as it should.
func (s *faulty) none() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	injected := slices.ContainsFunc(s.next, func(in injection) bool { return in.left > 0 })
	return !s.down && s.slow == 0 && s.refuse == nil && !injected
}

var errLost = errors.New("persistencetest: the answer was lost")

func (s *faulty) error(class error, op, message string) error {
	return fault.New(class, s.purpose.String(), op, "persistencetest: "+message)
}

// enter lets an operation go to the store after what Slow and Down say.
func (s *faulty) enter(ctx context.Context, op string) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	return s.reach(op)
}

// wait waits for as long as Slow says, or until the store goes down.
func (s *faulty) wait(ctx context.Context) error {
	s.mu.Lock()
	slow, ended := s.slow, s.ended
	s.mu.Unlock()
	if slow == 0 {
		return nil
	}
	timer := time.NewTimer(slow)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ended:
	case <-ctx.Done():
		return ctx.Err() // nothing was sent
	}
	return nil
}

// reach counts an operation, and refuses it while the store is down.
func (s *faulty) reach(op string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.down {
		s.injected++
		return s.error(fault.ErrUnavailable, op, "the store is down")
	}
	return nil
}

// refused asks Refuse.
func (s *faulty) refused(op Op) error {
	s.mu.Lock()
	refuse := s.refuse
	s.mu.Unlock()
	if refuse == nil {
		return nil
	}
	op.Purpose = s.purpose
	err := refuse(op)
	if err == nil {
		return nil
	}
	s.mu.Lock()
	s.injected++
	s.mu.Unlock()
	if fault.ClassOf(err) == nil && !fault.Cancelled(err) {
		err = fault.Wrap(fault.ErrRefused, s.purpose.String(), op.Name, err)
	}
	return err
}

// draw takes the injection that is meant for an operation, if there is one.
func (s *faulty) draw(op Op) (effect, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	op.Purpose = s.purpose
	for i := range s.next {
		in := &s.next[i]
		if in.left == 0 || in.match == nil && !op.changes() || in.match != nil && !in.match(op) {
			continue
		}
		in.left--
		s.injected++
		return in.what, true
	}
	return 0, false
}

// before returns the answer to an operation that must not reach the store, and
// whether the answer of one that does is lost.
func (s *faulty) before(ctx context.Context, op Op) (lost bool, err error) {
	if err := s.wait(ctx); err != nil {
		return false, err
	}
	return s.meet(op)
}

// meet is before without the wait.
func (s *faulty) meet(op Op) (lost bool, err error) {
	if err := s.reach(op.Name); err != nil {
		return false, err
	}
	if err := s.refused(op); err != nil {
		return false, err
	}
	what, struck := s.draw(op)
	switch {
	case !struck:
		return false, nil
	case what == busy:
		return false, s.error(fault.ErrBusy, op.Name, "the store is busy")
	case what == dropped:
		return false, s.lost(op.Name)
	}
	return true, nil
}

// lost is the answer to an operation that may have been applied.
func (s *faulty) lost(op string) error {
	return &fault.Error{Op: op, Store: s.purpose.String(), Class: fault.ErrUnknown, Err: errLost}
}

// while returns a context that ends with ctx and when the store goes down.
func (s *faulty) while(ctx context.Context) (context.Context, context.CancelFunc) {
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// report is a health check as the store's state makes it.
func (s *faulty) report(ctx context.Context, check func(context.Context) fault.Report) fault.Report {
	r := check(ctx)
	if err := s.enter(ctx, "check"); err != nil {
		r.Reachable, r.Version, r.Latency = false, "", 0
		r.Problems = append(r.Problems, fmt.Sprint(err))
	}
	return r
}

// each runs an operation on many items, which reach the store in one call, and
// each of which may meet a fault of its own: op describes item i, and do is given
// those that reach it.
func each[T any](ctx context.Context, s *faulty, items []T, op func(T) Op, do func([]T) []error) []error {
	errs := make([]error, len(items))
	var pass []T
	var at []int
	lost := map[int]bool{}
	waited := s.wait(ctx)
	for i, item := range items {
		if errs[i] = waited; waited != nil {
			continue
		}
		var gone bool
		if gone, errs[i] = s.meet(op(item)); errs[i] != nil {
			continue
		}
		if gone {
			lost[i] = true
		}
		pass, at = append(pass, item), append(at, i)
	}
	if len(pass) == 0 {
		return errs
	}
	for n, err := range do(pass) {
		if i := at[n]; err == nil && lost[i] {
			errs[i] = s.lost(op(items[i]).Name)
		} else {
			errs[i] = err
		}
	}
	return errs
}
