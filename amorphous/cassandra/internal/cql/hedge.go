package cql

import (
	"context"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A node that is stopped, or whose machine hangs, keeps its connections: what is
// sent there is not answered, and the client needs half a minute to notice. All
// of the store's statements may be repeated, so what has no answer for a moment is
// sent once more, to whichever replica the client picks now. (The clients could do
// so themselves, by speculative execution; but the first that comes to anything
// then decides, also when it only found that no other node is there, and a write
// that is under way would be reported as not sent.)

// attempts is how often a write is sent at most. One node in three is not
// answering: then one write in eighty finds it every time.
const attempts = 4

// DefaultHedge is long against the answer of a node that works, and short enough
// for three statements one after the other to find another node within a second.
const DefaultHedge = 250 * time.Millisecond

// HedgeOf is an adapter's option as ours: zero is the default, and less is never.
func HedgeOf(option time.Duration) time.Duration {
	if option == 0 {
		return DefaultHedge
	}
	return max(option, 0)
}

// exec runs one write operation on the session, within its bounds, and
// classifies its error.
func (d *Driver) exec(ctx context.Context, op func(context.Context, Session) error) error {
	return d.operate(ctx, d.opts.Timeout, func(ctx context.Context, s Session) error {
		return d.hedge(ctx, s, func(ctx context.Context) error { return d.attempt(ctx, s, true, op) })
	})
}

// query runs one read operation of few rows, which may be begun again.
func (d *Driver) query(ctx context.Context, op func(context.Context, Session) error) error {
	return d.read(ctx, d.opts.Timeout, d.opts.Hedge, op)
}

// scan runs one read operation of many rows, once.
func (d *Driver) scan(ctx context.Context, op func(context.Context, Session) error) error {
	return d.read(ctx, d.opts.Timeout, 0, op)
}

// read runs a read operation, which is given up and begun again after a moment
// that grows; zero: it has all the time.
func (d *Driver) read(ctx context.Context, bound, patience time.Duration, op func(context.Context, Session) error) error {
	err := d.operate(ctx, bound, func(bounded context.Context, s Session) error {
		if patience > 0 && alone(s) {
			patience = 0
		}
		for ; patience > 0 && patience <= bound/2; patience *= 4 {
			short, cancel := context.WithTimeout(bounded, patience)
			err := d.attempt(short, s, false, op)
			late := short.Err() != nil && bounded.Err() == nil
			cancel()
			if err == nil || !late {
				return err
			}
		}
		return d.attempt(bounded, s, false, op)
	})
	if fault.ClassOf(err) == nil && fault.Cancelled(err) && ctx.Err() == nil {
		// Our own bound, not the caller's: a store that does not answer.
		return &fault.Error{Class: fault.ErrUnavailable, Err: fmt.Errorf("no answer within %v: %w", bound, err)}
	}
	return err
}

// operate runs an operation when there is a place for it, within a bound.
func (d *Driver) operate(ctx context.Context, bound time.Duration, op func(context.Context, Session) error) error {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	session, err := d.conn.get(ctx)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	return op(bounded, session)
}

// attempt runs an operation once, and classifies its error.
func (d *Driver) attempt(ctx context.Context, s Session, write bool, op func(context.Context, Session) error) error {
	err := op(ctx, s)
	d.conn.observe(s, err)
	return classify(err, write)
}

// hedge runs a write, and, where there is another node to find, once more beside
// itself each time that no answer has come for a moment. The first answer that
// decides is the one that counts.
func (d *Driver) hedge(ctx context.Context, s Session, write func(context.Context) error) error {
	if d.opts.Hedge == 0 || alone(s) {
		return write(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, attempts)
	send := func() { results <- write(ctx) }
	go send()
	sent, running := 1, 1
	again := time.NewTimer(d.opts.Hedge)
	defer again.Stop()
	var worst error
	for {
		select {
		case err := <-results:
			running--
			if worst == nil || !fault.Unknown(worst) {
				worst = err
			}
			// What was refused for good is refused wherever it was sent.
			if err == nil || running == 0 || fault.Permanent(err) {
				return outcomeOf(err, worst)
			}
		case <-again.C:
			if sent == attempts {
				continue
			}
			select {
			case d.spare <- struct{}{}:
				go func() {
					defer func() { <-d.spare }()
					send()
				}()
				sent, running = sent+1, running+1
			default: // too many wait: the store is slow, and more would not help it
			}
			again.Reset(d.opts.Hedge)
		}
	}
}

// alone reports whether a session knows of one node only, which would be given
// more to do just when it is slow. A client that does not tell is taken to know
// several.
func alone(s Session) bool {
	counter, ok := s.(interface{ Nodes() int })
	return ok && counter.Nodes() < 2
}

// outcomeOf is what a write came to that was sent several times: applied when one
// of them was, refused when one of them was, and otherwise the worst of what is
// known.
func outcomeOf(last, worst error) error {
	if last == nil || fault.Permanent(last) {
		return last
	}
	return worst
}
