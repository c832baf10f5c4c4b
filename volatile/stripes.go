package volatile

import (
	"context"
	"hash/maphash"
)

// stripes let one goroutine of this process at a time change a key, so that
// they do not waste round trips on conflicts with each other. Keys share
// stripes; a stripe is only ever held for one change.
type stripes struct {
	seed  maphash.Seed
	locks [64]stripe
}

// A stripe is a mutex whose wait ends with a context.
type stripe chan struct{}

func newStripes() *stripes {
	s := &stripes{seed: maphash.MakeSeed()}
	for i := range s.locks {
		s.locks[i] = make(stripe, 1)
	}
	return s
}

// lock waits for a key's stripe, which the caller unlocks.
func (s *stripes) lock(ctx context.Context, key string) (stripe, error) {
	lock := s.locks[maphash.String(s.seed, key)%uint64(len(s.locks))]
	select {
	case lock <- struct{}{}:
		return lock, nil
	default:
	}
	select {
	case lock <- struct{}{}:
		return lock, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s stripe) unlock() { <-s }
