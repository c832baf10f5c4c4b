package volatile

import (
	"context"
	"hash/maphash"
	"slices"
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

// A linePart has the lines of some keys: one or two at a time, mostly, which a
// map would find more slowly.
type linePart[A any] struct {
	mu    sync.Mutex
	lines []*line[A]
	free  []*line[A] // used again
}

// A line is who waits while somebody acts on a key, and for whom that one acts.
type line[A any] struct {
	hash    uint64 // of the key
	key     string
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
	return &combiner[A]{act: act, seed: maphash.MakeSeed()}
}

// do has act called for ask, alone or among others, by this goroutine or by
// another. The error is the context's.
func (c *combiner[A]) do(ctx context.Context, key string, ask A) error {
	hash := maphash.String(c.seed, key)
	part := &c.parts[hash%uint64(len(c.parts))]
	for {
		ln, p := part.join(hash, key, ask)
		if p == nil {
			return part.lead(ctx, ln, c.act)
		}
		select {
		case t := <-p.told:
			switch t {
			case acted:
				return nil
			case lead:
				part.gather(ln, ask)
				return part.lead(ctx, ln, c.act)
			}
		case <-ctx.Done():
			part.leave(ln, p)
			return ctx.Err()
		}
	}
}

// join takes a place in a line. Without a place nobody acts, and the caller
// does, for itself.
func (l *linePart[A]) join(hash uint64, key string, ask A) (*line[A], *place[A]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ln := range l.lines {
		if ln.hash == hash && ln.key == key {
			p := &place[A]{ask: ask, told: make(chan turn, 1)}
			ln.waiting = append(ln.waiting, p)
			return ln, p
		}
	}
	var ln *line[A]
	if last := len(l.free) - 1; last >= 0 {
		ln, l.free = l.free[last], l.free[:last]
	} else {
		ln = &line[A]{}
	}
	ln.hash, ln.key = hash, key
	ln.asks = append(ln.asks, ask)
	l.lines = append(l.lines, ln)
	return ln, nil
}

// leave gives up a place. One that was told to lead hands that on.
func (l *linePart[A]) leave(ln *line[A], p *place[A]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !p.left {
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
			l.pass(ln)
		}
	default:
	}
}

// gather takes all who wait: the caller acts for them.
func (l *linePart[A]) gather(ln *line[A], ask A) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln.acting, ln.waiting = ln.waiting, ln.acting[:0]
	ln.asks = append(ln.asks, ask)
	for _, p := range ln.acting {
		p.left = true
		ln.asks = append(ln.asks, p.ask)
	}
}

// lead acts for the caller and all who were gathered, and lets the next one lead.
func (l *linePart[A]) lead(ctx context.Context, ln *line[A], act func(ctx context.Context, key string, asks []A) bool) error {
	told := again
	defer func() {
		for _, p := range ln.acting {
			p.told <- told
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		clear(ln.acting)
		clear(ln.asks)
		ln.acting, ln.asks = ln.acting[:0], ln.asks[:0]
		l.pass(ln)
	}()
	if act(ctx, ln.key, ln.asks) {
		told = acted
		return nil
	}
	return ctx.Err()
}

// freeMost bounds the lines that are kept to be used again.
const freeMost = 16

// pass lets the first one who waits lead; the mutex is held.
func (l *linePart[A]) pass(ln *line[A]) {
	if len(ln.waiting) > 0 {
		first := ln.waiting[0]
		ln.waiting = ln.waiting[1:]
		first.left = true
		first.told <- lead
		return
	}
	last := len(l.lines) - 1
	l.lines[slices.Index(l.lines, ln)] = l.lines[last]
	l.lines[last] = nil
	l.lines = l.lines[:last]
	if ln.key = ""; len(l.free) < freeMost {
		l.free = append(l.free, ln)
	}
}
