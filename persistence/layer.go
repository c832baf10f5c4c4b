package persistence

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/volatile"
)

// A Layer is four stores and the kinds declared on them. It is safe for
// concurrent use. Close it when done.
type Layer struct {
	opts Options
	log  *slog.Logger

	// The stores; nil where Stores has no source. Whoever needs a missing one
	// says so with needs.
	queue *transitory.Queue
	cache *volatile.Cache
	rows  *transactional.Store
	cells *amorphous.Store

	missing missing

	ticks *ticks
	owner uint64    // of this layer's claims; random, not zero
	began time.Time // when it was opened

	mu     sync.RWMutex
	kinds  map[string]*kind // by name and by former name
	order  []*kind          // as they were declared; replaced, never changed
	closed atomic.Bool
	skew   atomic.Pointer[reading] // of the shared store's clock; nil before there was one

	closing chan struct{}      // closed by Close: Work stops
	life    context.Context    // of what the layer does by itself
	end     context.CancelFunc // ends life
	tasks   sync.WaitGroup     // what the layer does by itself
	taskMu  sync.Mutex         // between starting one of tasks and ending life

	engine *engine
	owed   owed
	prints fingerprints

	erasing sync.Once // begins to look for what others erase
}

// Transitory returns the transitory store. It belongs to the layer, which closes
// it, and is never nil: in a layer without one, every call of it is
// fault.ErrUnsupported and says so.
func (l *Layer) Transitory() *transitory.Queue { return orMissing(l.queue, l.missing.open().queue) }

// Volatile returns the volatile store, which is the layer's, and never nil: see
// Transitory.
func (l *Layer) Volatile() *volatile.Cache { return orMissing(l.cache, l.missing.open().cache) }

// Transactional returns the transactional store, which is the layer's, and never
// nil: see Transitory.
func (l *Layer) Transactional() *transactional.Store {
	return orMissing(l.rows, l.missing.open().rows)
}

// Amorphous returns the amorphous store, which is the layer's, and never nil: see
// Transitory.
func (l *Layer) Amorphous() *amorphous.Store { return orMissing(l.cells, l.missing.open().cells) }

func orMissing[S any](store, missing *S) *S {
	if store == nil {
		return missing
	}
	return store
}

// has reports whether the layer has a store for the purpose.
func (l *Layer) has(p Purpose) bool {
	switch p {
	case Transitory:
		return l.queue != nil
	case Volatile:
		return l.cache != nil
	case Transactional:
		return l.rows != nil
	case Amorphous:
		return l.cells != nil
	}
	return false
}

// open returns fault.ErrClosed once the layer is closed.
func (l *Layer) open(op string) error {
	if l.closed.Load() {
		return errLayerClosed(op)
	}
	return nil
}

func errLayerClosed(op string) error {
	return fault.New(fault.ErrClosed, "", op, "the layer is closed")
}

// kindOf returns the declared kind of this name or former name, or nil.
func (l *Layer) kindOf(name string) *kind {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.kinds[name]
}

// declared returns the kinds in order of declaration, in a slice that all share.
func (l *Layer) declared() []*kind {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.order
}
