package volatile

import (
	"context"
	"hash/maphash"
	"sync"
)

// A combiner lets one goroutine of this process at a time act on a key, for
// itself and for all who came while the one before it acted: so a key that is
// hot costs round trips by the time they take, not by the number of callers.
//
// act says whether it knows what became of its asks; when it does not, because
// its context has ended, the others ask again. It does not keep the asks.
type combiner[A any] struct {
	act   func(ctx context.Context, key string, asks []A) bool
	seed  maphash.Seed
	parts [64]linePart[A]
}

type linePart[A any] struct {
	mu    sync.Mutex
	lines map[string]*line[A]
	free  []*line[A] // used again
}

// A line is who waits while somebody acts on a key, and for whom that one acts.
type line[A any] struct {
	waiting []*place[A]
	acting  []*place[A]
	asks    []A
}

// A place is one caller's in a line.
type place[A any] struct {
	ask  A
	told chan turn // holds one
	left bool      // it is no longer among the waiting
}

// A turn is what a place is told.
type turn int

const (
	acted turn = iota // another one has acted for it
	lead              // it acts now
	again             // who acted for it left in the midst: queue anew
)

func newCombiner[A any](act func(ctx context.Context, key string, asks []A) bool) *combiner[A] {
	c := &combiner[A]{act: act, seed: maphash.MakeSeed()}
	for i := range c.parts {
		c.parts[i].lines = map[string]*line[A]{}
	}
	return c
}

// do has act called for ask, alone or among others, by this goroutine or by
// another. The error is the context's.
func (c *combiner[A]) do(ctx context.Context, key string, ask A) error {
	part := &c.parts[maphash.String(c.seed, key)%uint64(len(c.parts))]
	for {
		p, alone := part.join(key, ask)
		if alone {
			break
		}
		select {
		case t := <-p.told:
			if t == acted {
				return nil
			}
			if t == again {
				continue
			}
		case <-ctx.Done():
			part.leave(key, p)
			return ctx.Err()
		}
		break
	}
	return part.lead(ctx, key, ask, c.act)
}

// join takes a place in a line; alone means that nobody acts, and the caller
// does.
func (l *linePart[A]) join(key string, ask A) (p *place[A], alone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.lines[key]
	if ln == nil {
		if last := len(l.free) - 1; last >= 0 {
			ln, l.free = l.free[last], l.free[:last]
		} else {
			ln = &line[A]{}
		}
		l.lines[key] = ln
		return nil, true
	}
	p = &place[A]{ask: ask, told: make(chan turn, 1)}
	ln.waiting = append(ln.waiting, p)
	return p, false
}

// leave gives up a place. One that was told to lead hands that on.
func (l *linePart[A]) leave(key string, p *place[A]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !p.left {
		ln := l.lines[key]
		for i := range ln.waiting {
			if ln.waiting[i] == p {
				ln.waiting = append(ln.waiting[:i], ln.waiting[i+1:]...)
				break
			}
		}
		return
	}
	select {
	case t := <-p.told:
		if t == lead {
			l.pass(key)
		}
	default:
	}
}

// lead acts for the caller and all who wait, and lets the next one lead.
func (l *linePart[A]) lead(ctx context.Context, key string, ask A, act func(ctx context.Context, key string, asks []A) bool) error {
	l.mu.Lock()
	ln := l.lines[key]
	ln.acting, ln.waiting = ln.waiting, ln.acting[:0]
	ln.asks = append(ln.asks[:0], ask)
	for _, p := range ln.acting {
		p.left = true
		ln.asks = append(ln.asks, p.ask)
	}
	l.mu.Unlock()
	told := again
	defer func() {
		for _, p := range ln.acting {
			p.told <- told
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		clear(ln.acting)
		clear(ln.asks)
		l.pass(key)
	}()
	if act(ctx, key, ln.asks) {
		told = acted
		return nil
	}
	return ctx.Err()
}

// freeMost bounds the lines that are kept to be used again.
const freeMost = 16

// pass lets the first one who waits lead; the mutex is held.
func (l *linePart[A]) pass(key string) {
	ln := l.lines[key]
	if len(ln.waiting) == 0 {
		delete(l.lines, key)
		if len(l.free) < freeMost {
			l.free = append(l.free, ln)
		}
		return
	}
	first := ln.waiting[0]
	ln.waiting = ln.waiting[1:]
	first.left = true
	first.told <- lead
}
