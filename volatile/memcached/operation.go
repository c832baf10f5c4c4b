package memcached

import (
	"context"
	"errors"
	"fmt"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// errSettling says that some process may not know the member's generation
// yet, so that nothing is kept for these seconds.
var errSettling = errors.New("the member settles into a new generation")

// An operation is what do needs to know of one.
type operation struct {
	name  string
	key   string   // whose outcome matters; empty for reads and counters
	keys  []string // the same, of a group
	write bool     // its outcome is unknown when no answer was read
	again bool     // it may be repeated although it may have been done
	how   sharing
}

// lose remembers that the member may have missed what an operation wrote.
func (o *operation) lose(m *member) {
	if o.key != "" {
		m.lose(o.key)
	}
	for _, key := range o.keys {
		m.lose(key)
	}
}

// attemptsMost: one that finds its connection closed, one that finds another
// generation when it dials, one in the new epoch.
const attemptsMost = 3

// do runs an operation on a member: within an epoch that is known to be
// present, repeated where that is harmless, and not for longer than its
// context. A write that the member may have missed is remembered.
func do[T any](ctx context.Context, m *member, o operation, send func(l *lane) (T, error)) (result T, err error) {
	for attempt := 1; ; attempt++ {
		e, err := m.enter(ctx)
		if err != nil {
			return result, m.refused(ctx, o, err)
		}
		err = e.use(ctx, o.how, func(l *lane) (err error) {
			result, err = send(l)
			return err
		})
		<-m.inflight
		if err != nil && ctx.Err() != nil {
			return result, m.left(ctx, e, o, err)
		}
		v := m.judge(e, o, err)
		switch {
		case v.class == nil:
			return result, nil
		case attempt < attemptsMost && v.closed && (v.unsent || o.again):
			continue
		case !v.told && lossy(v.class):
			o.lose(m)
		}
		return result, &fault.Error{Op: o.name, Store: "volatile", Key: o.key, Class: v.class, Err: fmt.Errorf("%s: %w", m.addr.name, err)}
	}
}

// lossy reports whether an old value may have stayed for a write that ended
// this way.
func lossy(class error) bool {
	return class != fault.ErrConflict && class != fault.ErrInvalid
}

// enter waits for an epoch and a place among the operations under way.
func (m *member) enter(ctx context.Context) (*epoch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case m.inflight <- struct{}{}:
	default:
		select {
		case m.inflight <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	e, err := m.current(ctx)
	if err != nil {
		<-m.inflight
	}
	return e, err
}

// refused is the error of an operation that was never sent.
func (m *member) refused(ctx context.Context, o operation, err error) error {
	if err == ctx.Err() || errors.Is(err, errClosed) {
		return err
	}
	o.lose(m)
	return &fault.Error{Op: o.name, Store: "volatile", Key: o.key, Class: fault.ErrUnavailable, Err: fmt.Errorf("%s: %w", m.addr.name, err)}
}

// left is the error of an operation whose context ended while it was under
// way.
func (m *member) left(ctx context.Context, e *epoch, o operation, err error) error {
	v := classify(err, o.write)
	if !v.unsent {
		m.suspect(e)
	}
	if v.class != fault.ErrUnknown {
		return ctx.Err()
	}
	o.lose(m)
	return &fault.Error{Op: o.name, Store: "volatile", Key: o.key, Class: fault.ErrUnknown, Err: ctx.Err()}
}

// judge says what an error means, and draws the consequences for the member.
func (m *member) judge(e *epoch, o operation, err error) verdict {
	v := classify(err, o.write)
	switch {
	case v.down:
		m.down(e, err)
	case errors.Is(err, errEpochOver):
		m.drop(e)
	case v.closed:
		e.purge()
	}
	if v.class == nil && e.age() > holdLeast {
		// This process slept between reading the generation and writing: the
		// member may have another one by now, which does not know the write.
		o.lose(m)
	}
	return v
}
