package persistence

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/internal/stack"
)

const (
	// A task that takes less than quick is run by the worker itself, because a
	// goroutine of its own would take longer to come and go.
	quick = 20 * time.Microsecond
	// overdue is when the siblings of such a task no longer wait for it.
	overdue = 200 * time.Microsecond
	// unknownPace is what a task that never ran is taken to need.
	unknownPace = int64(time.Millisecond)
)

// A beside is the tasks of one class that the worker runs itself and that nobody
// has started yet: the quick ones, one after another, as long as they are quick.
// When one of them is not, the rest get goroutines of their own: no task waits
// for a sibling that hangs.
type beside struct {
	mu     sync.Mutex
	ctx    context.Context
	held   *held
	queue  []int
	rescue *time.Timer // starts what is in queue
	armed  bool        // it is meant for this queue: one that was late for the last is not
}

// took remembers how long a run took.
func (t *task) took(d time.Duration) {
	pace := t.pace.Load()
	if pace == 0 {
		pace = unknownPace
	}
	t.pace.Store(max(pace+(int64(d)-pace)/8, 1))
}

func (t *task) quick() bool {
	pace := t.pace.Load()
	return pace > 0 && pace < int64(quick)
}

// sideBySide starts the tasks of an envelope's class, but for those that the
// worker runs itself. The last one needs no goroutine, and neither do Tx tasks:
// those of one envelope run one after another, because each records what remains.
func (w *worker) sideBySide(ctx context.Context, h *held, tasks []int) {
	// The default writes share the object, so it is decoded before they start;
	// one that cannot be decoded is reported by each of them.
	_, _ = h.object()
	w.now = time.Now() // which may have taken a while
	if w.startQuick(ctx, h, tasks) {
		return
	}
	b := &w.beside
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ctx, b.held, b.queue, b.armed = ctx, h, b.queue[:0], false
	for n, i := range slices.Backward(tasks) { // next takes from the end
		if h.tasks[i].tx == nil && n < len(tasks)-1 {
			go w.aside(ctx, h, i)
		} else {
			b.queue = append(b.queue, i)
		}
	}
}

// aside runs a task beside the worker.
func (w *worker) aside(ctx context.Context, h *held, i int) {
	stack.Grow()
	w.ends <- w.attempt(ctx, h, i, time.Now(), true)
}

// rest runs what is queued of the class, and awaits the others.
func (w *worker) rest(ctx context.Context) (act flow.Action) {
	h := w.runs
	for ; ; w.left-- {
		i, ok := w.beside.next()
		if !ok {
			break
		}
		act = w.finish(ctx, h, w.attempt(ctx, h, i, w.now, false))
	}
	for ; w.left > 0; w.left-- {
		act = w.finish(ctx, h, <-w.ends)
	}
	w.over()
	return act
}

// startQuick queues the tasks that are quick and starts the others aside. It
// does neither when none is quick, or one is a Tx.
func (w *worker) startQuick(ctx context.Context, h *held, tasks []int) bool {
	b, some := &w.beside, false
	for _, i := range tasks {
		if h.tasks[i].tx != nil {
			return false
		}
		some = some || h.tasks[i].quick()
	}
	if !some {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ctx, b.held, b.queue = ctx, h, b.queue[:0]
	for _, i := range tasks {
		if h.tasks[i].quick() {
			b.queue = append(b.queue, i)
		} else {
			go w.aside(ctx, h, i)
		}
	}
	switch b.armed = len(b.queue) > 1; {
	case !b.armed:
	case b.rescue == nil:
		b.rescue = time.AfterFunc(overdue, w.startRest)
	default:
		b.rescue.Reset(overdue)
	}
	return true
}

// startRest starts aside what waits for a task that was thought to be quick.
func (w *worker) startRest() {
	b := &w.beside
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.armed {
		return
	}
	for _, i := range b.queue {
		go w.aside(b.ctx, b.held, i)
	}
	b.queue, b.armed = b.queue[:0], false
}

// next takes a task out of the queue.
func (b *beside) next() (i int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := len(b.queue) - 1
	if last < 0 {
		if b.rescue != nil {
			b.rescue.Stop()
		}
		b.ctx, b.held, b.armed = nil, nil, false
		return 0, false
	}
	i, b.queue = b.queue[last], b.queue[:last]
	return i, true
}
