package persistence

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A TaskState is how far one task of an accepted object is.
type TaskState uint8

// The states of a task. Everything above TaskPending is final.
const (
	TaskPending    TaskState = iota // in custody, will be done
	TaskDone                        // done
	TaskSuperseded                  // done: a newer version was there
	TaskSkipped                     // done: a cache write whose store was down
	TaskDead                        // a dead letter
)

// String returns "pending", "done", "superseded", "skipped" or "dead".
func (s TaskState) String() string {
	return [...]string{"pending", "done", "superseded", "skipped", "dead"}[s]
}

func receiptState(s flow.State) TaskState {
	switch s {
	case flow.Done:
		return TaskDone
	case flow.Superseded:
		return TaskSuperseded
	case flow.Skipped:
		return TaskSkipped
	}
	return TaskPending // a dead task is final when its letter is written
}

// A TaskReceipt is the state of one task.
type TaskReceipt struct {
	Name     string    // as in the plan
	Priority int       // 0 runs before Put returns; smaller first
	Purpose  Purpose   // whose store it needs
	State    TaskState // when Tasks was called
}

// A Receipt tells what became of a Put: where the object is in custody, how
// durable that is, and per task what is done and what is pending. It is safe
// for concurrent use, and follows the tasks as long as they are done by this
// layer; Wait and Layer.Receipt ask custody.
type Receipt struct {
	ID         string           // of the envelope, for Layer.Receipt; empty when no envelope was needed
	Kind, Key  string           // of the object
	Version    int64            // of the object, as this Put made it
	Accepted   time.Time        // UTC, microseconds
	Custody    Custody          // AutoCustody when no envelope was needed
	Durability fault.Durability // of the acceptance

	layer   *Layer
	mu      sync.Mutex
	tasks   []TaskReceipt
	changed chan struct{} // closed at the next change that somebody waits for; nil when nobody waits
	some    bool          // somebody waits for some of the tasks only
}

// newReceipt makes a receipt with room for its tasks.
func newReceipt(tasks int) *Receipt {
	if tasks > few {
		return &Receipt{tasks: make([]TaskReceipt, 0, tasks)}
	}
	var r struct { // one allocation
		Receipt
		few [few]TaskReceipt
	}
	r.tasks = r.few[:0]
	return &r.Receipt
}

// Tasks returns the state of every task of the object, in start order.
func (r *Receipt) Tasks() []TaskReceipt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.tasks)
}

// State returns the state of one task; ok is false for a task that the object
// does not have.
func (r *Receipt) State(task string) (state TaskState, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state(task)
}

// state is State for who holds mu.
func (r *Receipt) state(task string) (state TaskState, ok bool) {
	for i := range r.tasks {
		if t := &r.tasks[i]; t.Name == task {
			return t.State, true
		}
	}
	return 0, false
}

// String is one line for a log.
func (r *Receipt) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q version %d, %s custody, %s:", r.Kind, r.Key, r.Version, r.Custody, r.Durability)
	for _, t := range r.Tasks() {
		fmt.Fprintf(&b, " %s %s", t.Name, t.State)
	}
	return b.String()
}

// set records the state of one task and wakes who waits.
func (r *Receipt) set(task string, state TaskState) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	pending := false
	for i := range r.tasks {
		if r.tasks[i].Name == task && r.tasks[i].State < state {
			r.tasks[i].State = state
		}
		pending = pending || r.tasks[i].State == TaskPending
	}
	if r.changed != nil && (r.some || !pending || state == TaskDead) {
		close(r.changed)
		r.changed, r.some = nil, false
	}
}

// poll is how often Wait asks custody about tasks that another process may
// have done.
const poll = time.Second

// Wait returns when the named tasks (none: all of them) are final. A dead
// letter among them is fault.ErrRefused that names the task. When ctx ends
// first, the error is ctx's, and fault.ErrClosed when the layer closes first.
// Tasks that other processes do are seen in transactional custody only, within
// a second.
func (r *Receipt) Wait(ctx context.Context, tasks ...string) error {
	for _, name := range tasks {
		if _, ok := r.State(name); !ok {
			return &fault.Error{Op: "wait", Kind: r.Kind, Key: r.Key, Class: fault.ErrInvalid,
				Err: fmt.Errorf("the object has no task %q", name)}
		}
	}
	var ask <-chan time.Time
	if r.asks() {
		every := time.NewTicker(poll)
		defer every.Stop()
		ask = every.C
	}
	for {
		changed, pending, err := r.pending(tasks)
		if err != nil || !pending {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.layer.life.Done():
			if _, pending, err := r.pending(tasks); err != nil || !pending {
				return err
			}
			return errLayerClosed("wait")
		case <-changed:
		case <-ask:
			if err := r.refresh(ctx); err != nil {
				return err
			}
		}
	}
}

// pending reports whether one of the tasks is not final, and a channel that is
// closed at the next change.
func (r *Receipt) pending(tasks []string) (<-chan struct{}, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pending := false
	for _, t := range r.tasks {
		if len(tasks) > 0 && !slices.Contains(tasks, t.Name) {
			continue
		}
		if t.State == TaskDead {
			return nil, false, &fault.Error{Op: "wait", Kind: r.Kind, Key: r.Key, Class: fault.ErrRefused,
				Err: fmt.Errorf("task %s is a dead letter", t.Name)}
		}
		pending = pending || t.State == TaskPending
	}
	if pending && r.changed == nil {
		r.changed = make(chan struct{})
	}
	r.some = r.some || len(tasks) > 0
	return r.changed, pending, nil
}

// asks reports whether custody can tell of tasks that another process does.
func (r *Receipt) asks() bool { return r.ID != "" && r.Custody == TransactionalCustody }

// refresh asks custody how far the envelope is.
func (r *Receipt) refresh(ctx context.Context) error {
	now, err := r.layer.Receipt(ctx, r.ID)
	if err != nil {
		if fault.Retryable(err) || fault.Unknown(err) {
			return nil // custody is away; ask again
		}
		return err
	}
	for _, t := range now.Tasks() {
		if t.State != TaskPending {
			r.set(t.Name, t.State)
		}
	}
	return nil
}
