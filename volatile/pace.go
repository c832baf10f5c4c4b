package volatile

import (
	"context"
	"sync"
	"time"
)

// A pace bounds how many loads begin in a second, in this process: a burst of
// that many at once, then evenly.
type pace struct {
	every time.Duration // zero: no bound

	mu   sync.Mutex
	next time.Time // when the burst is whole again
}

// wait waits for a turn, or for the context's end.
func (p *pace) wait(ctx context.Context) error {
	if p.every == 0 {
		return nil
	}
	if d := p.take(true); d > 0 {
		return wait(ctx, d)
	}
	return nil
}

// take takes a turn and returns how long it is until then. Without patience it
// takes only one that is due.
func (p *pace) take(patient bool) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	next := p.next
	if next.Before(now) {
		next = now
	}
	next = next.Add(p.every)
	d := next.Sub(now) - time.Second
	if patient || d <= 0 {
		p.next = next
	}
	return d
}
