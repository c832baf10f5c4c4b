package volatile

import (
	"context"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// MaxParties is how many parties a barrier, or parts a countdown, counts.
const MaxParties = 65_536

// BarrierOptions of a Barrier; zero values are the defaults.
type BarrierOptions struct {
	// TTL is how long a party that waits is counted after it was last heard
	// of: one that died keeps no barrier open for longer. Default 30 s.
	TTL time.Duration
	// Keep is how long a barrier that has opened stays open. Default 1 h.
	Keep time.Duration
}

// A Barrier lets parties on any machine go on together, once so many of them
// wait at a key. It opens once: keys are for one meeting, such as a run and its
// phase. It is shared by all processes that use the same cache and name, and
// safe for concurrent use.
//
// Parties that wait look again within a tenth of a second, and tell again that
// they wait: what the cache has lost comes back with that. Only when it loses
// a barrier in the tenth of a second in which it opens, those who have not seen
// that wait until their contexts end.
type Barrier struct {
	parties *Presence
	opened  face
	opts    BarrierOptions
}

// NewBarrier returns the barrier of a name: 1 to 64 letters, digits, '_' and
// '-'.
func NewBarrier(cache *Cache, name string, opts *BarrierOptions) (*Barrier, error) {
	b := &Barrier{}
	if opts != nil {
		b.opts = *opts
	}
	if b.opts.TTL == 0 {
		b.opts.TTL = 30 * time.Second
	}
	if b.opts.Keep == 0 {
		b.opts.Keep = time.Hour
	}
	if b.opts.TTL < time.Second || b.opts.Keep < b.opts.TTL {
		return nil, fault.New(fault.ErrInvalid, purpose, "new barrier", fmt.Sprintf(
			"a TTL of %v, kept for %v; a second at least, and kept for no less", b.opts.TTL, b.opts.Keep))
	}
	var err error
	if b.opened, err = cache.face("bo", name); err != nil {
		return nil, err
	}
	b.parties, err = newPresence(cache, "b", name, &PresenceOptions{TTL: b.opts.TTL})
	return b, err
}

// Wait waits at a key until n parties do, of which this is one; a party that
// waits twice counts once. It returns nil when the barrier is open, else the
// context's error, and then the party is no longer counted. A cache that cannot
// be reached is waited for.
func (b *Barrier) Wait(ctx context.Context, key, party string, n int) error {
	full, err := b.opened.key("wait", key)
	if err != nil {
		return err
	}
	if n < 1 || n > MaxParties {
		return fault.New(fault.ErrInvalid, purpose, "wait", fmt.Sprintf("%d parties; 1 to %d", n, MaxParties))
	}
	told := time.Time{}
	err = poll(ctx, func() (bool, error) { return b.look(ctx, full, key, party, n, &told) })
	if err != nil && ctx.Err() != nil {
		b.leave(ctx, key, party)
	}
	return err
}

// look reports whether the barrier is open, and opens it when all are there.
func (b *Barrier) look(ctx context.Context, full, key, party string, n int, told *time.Time) (open bool, err error) {
	cache := b.opened.cache
	s, err := cache.look(ctx, full)
	if err != nil || s.value() {
		return s.value(), err
	}
	if time.Since(*told) > b.opts.TTL/3 {
		if err := b.parties.Enter(ctx, key, Member{ID: party}); err != nil {
			return false, err
		}
		*told = time.Now()
	}
	members, err := b.parties.Members(ctx, key)
	if err != nil {
		return false, err
	}
	here := false
	for _, m := range members {
		here = here || m.ID == party
	}
	if !here {
		*told = time.Time{} // the cache has forgotten us
	}
	if len(members) < n {
		return false, nil
	}
	// Whoever looks while the parties are remembered sees them all; this is for
	// those who look later.
	err = cache.change(ctx, full, func(s slot) (stored, time.Duration, bool) {
		return fixed(uint64(n)), b.opts.Keep, !s.value()
	})
	return err == nil, err
}

// leave takes a party out whose context ended.
func (b *Barrier) leave(ctx context.Context, key, party string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 50*time.Millisecond)
	defer cancel()
	_ = b.parties.Leave(ctx, key, Member{ID: party})
}

// poll looks again and again, soon at first, then every tenth of a second. A
// cache that is away, or busy, is waited for.
func poll(ctx context.Context, look func() (bool, error)) error {
	for step := 2 * time.Millisecond; ; step = min(2*step, 100*time.Millisecond) {
		done, err := look()
		switch {
		case done:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && fault.Permanent(err):
			return err
		}
		if err := wait(ctx, step); err != nil {
			return err
		}
	}
}

// CountdownOptions of a Countdown; zero values are the defaults.
type CountdownOptions struct {
	// Keep is how long a part that is done is remembered. Default 24 h.
	Keep time.Duration
	// Rebuild says which parts are done when the cache has forgotten. nil: what
	// is lost stays lost, and has to be told again.
	Rebuild func(ctx context.Context, key string) (parts []string, err error)
}

// A Countdown waits until every part of something is done, wherever it is
// done. A part has an id, so telling it twice, as a task that runs again does,
// counts once. It is shared by all processes that use the same cache and name,
// and safe for concurrent use.
type Countdown struct{ done *Presence }

// NewCountdown returns the countdown of a name: 1 to 64 letters, digits, '_'
// and '-'.
func NewCountdown(cache *Cache, name string, opts *CountdownOptions) (*Countdown, error) {
	p := PresenceOptions{TTL: 24 * time.Hour}
	if opts != nil && opts.Keep != 0 {
		p.TTL = opts.Keep
	}
	if opts != nil && opts.Rebuild != nil {
		p.Rebuild = func(ctx context.Context, key string) ([]Member, error) {
			parts, err := opts.Rebuild(ctx, key)
			members := make([]Member, len(parts))
			for i, part := range parts {
				members[i].ID = part
			}
			return members, err
		}
	}
	done, err := newPresence(cache, "d", name, &p)
	return &Countdown{done}, err
}

// Done tells that a part is done. fault.ErrUnavailable and fault.ErrUnknown
// mean that it may have to be told again.
func (c *Countdown) Done(ctx context.Context, key, part string) error {
	return c.done.Enter(ctx, key, Member{ID: part})
}

// Left is how many of n parts are not done.
func (c *Countdown) Left(ctx context.Context, key string, n int) (int, error) {
	if n < 1 || n > MaxParties {
		return 0, fault.New(fault.ErrInvalid, purpose, "left", fmt.Sprintf("%d parts; 1 to %d", n, MaxParties))
	}
	done, err := c.done.Members(ctx, key)
	return max(n-len(done), 0), err
}

// Wait waits until n parts are done, or for the context's end, whose error it
// returns. It looks every tenth of a second; a cache that cannot be reached is
// waited for.
func (c *Countdown) Wait(ctx context.Context, key string, n int) error {
	return poll(ctx, func() (bool, error) {
		left, err := c.Left(ctx, key, n)
		return err == nil && left == 0, err
	})
}
