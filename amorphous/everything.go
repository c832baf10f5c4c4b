package amorphous

import (
	"context"
	"iter"
)

// A Scan reads everything that a Collection holds, all partitions, in an order
// of the store's own. It can stop at any object, and go on behind it, in
// another process too: Cursor says where it is. It must not be used by two
// goroutines at a time.
type Scan[T any] struct {
	collection *Collection[T]
	at         []byte // behind the object that was yielded last
	seen       int
	over       bool
}

// Scan returns a scan of everything from a cursor on, nil for the start.
func (c *Collection[T]) Scan(after []byte) *Scan[T] {
	return &Scan[T]{collection: c, at: after}
}

// Cursor returns the cursor that goes on behind the object that was yielded
// last. It survives restarts and concurrent writes.
func (s *Scan[T]) Cursor() []byte { return s.at }

// Seen is how many objects this scan has yielded.
func (s *Scan[T]) Seen() int { return s.seen }

// scanPage is how many rows a scan reads at a time, where the driver's own bound
// of a page's bytes does not make it fewer.
const scanPage = 4000

// Objects iterates over the objects that are left. What is written meanwhile
// may be seen or not; all else is seen once. An object that cannot be decoded
// is yielded as fault.ErrCorrupt, and the scan goes on behind it if the caller
// does; after any other error it has stopped, and Objects tries again from
// there.
//
// The page behind is read while the caller has one, and Objects returns when no
// read is under way.
func (s *Scan[T]) Objects(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if s.over {
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		next := s.read(ctx, s.at)
		defer func() { cancel(); <-next.done }()
		for !s.over {
			<-next.done
			page, err := next.page, next.err
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			if page.Next != nil {
				next = s.read(ctx, page.Next)
			}
			for row := range Grouped(page.Rows) {
				obj, err := s.collection.decode(row)
				s.at = row[0].Address().Cursor()
				if err == nil {
					s.seen++
				}
				if !yield(obj, err) {
					return
				}
			}
			s.over = page.Next == nil
		}
	}
}

// A reading is a page that is read while the caller has the one before.
type reading struct {
	page Page
	err  error
	done chan struct{} // closed when page and err are there
}

func (s *Scan[T]) read(ctx context.Context, after []byte) *reading {
	r := &reading{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.page, r.err = s.collection.store.Scan(ctx, s.collection.table, Range{Limit: scanPage, After: after})
	}()
	return r
}
