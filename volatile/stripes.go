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
	locks [64]chan struct{}
}

func newStripes() *stripes {
	s := &stripes{seed: maphash.MakeSeed()}
	for i := range s.locks {
		s.locks[i] = make(chan struct{}, 1)
	}
	return s
}

// lock waits for a key's stripe, and returns its release.
func (s *stripes) lock(ctx context.Context, key string) (func(), error) {
	stripe := s.locks[maphash.String(s.seed, key)%uint64(len(s.locks))]
	select {
	case stripe <- struct{}{}:
		return func() { <-stripe }, nil
	default:
	}
	select {
	case stripe <- struct{}{}:
		return func() { <-stripe }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
