package persistence

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/internal/flow"
)

// A PutEvent tells of one Put.
type PutEvent struct {
	Kind, Key string        // Key is empty when Put returns no receipt
	Version   int64         // zero when Put returns no receipt
	Bytes     int           // of the encoded object
	Took      time.Duration // from the call to its return
	Err       error         // nil when the object was accepted with everything at priority 0 done
}

// A PutObserver is told of every Put when it returns. It must be quick: it
// runs in the caller's goroutine.
type PutObserver interface {
	// PutDone may be called by many goroutines at once. Its context is that of
	// the Put, and may have ended.
	PutDone(ctx context.Context, e PutEvent)
}

// A TaskEvent tells of one run of one task.
type TaskEvent struct {
	ID              string    // task id, stable over repeats; empty for default writes
	Kind, Key, Task string    // of the object, and the task's name in the plan
	Version         int64     // the object's
	Purpose         Purpose   // the task's
	Accepted        time.Time // when the object was accepted
	Started, Ended  time.Time // of this run; default writes of a group share them
	Attempts        int       // refusals before this run
	Result          string    // "done", "superseded", "skipped", "retry", "parked", "snoozed", "dead", "unknown", "blocked" or "cancelled"
	Err             error     // nil for the first three
}

// A TaskObserver is told of every run of a task when it ends. It must be
// quick: it runs in the worker's goroutine.
type TaskObserver interface {
	// TaskDone may be called by many goroutines at once, and for one task as
	// often as it runs.
	TaskDone(ctx context.Context, e TaskEvent)
}

// A StoreEvent tells that a store went down or came back.
type StoreEvent struct {
	Purpose Purpose // which store
	Up      bool    // false: it went down
	Err     error   // why it is held to be down; nil when Up
}

// A StoreObserver is told when a store goes down or comes back.
type StoreObserver interface {
	// StoreChanged must be quick: it runs in the goroutine that noticed, such as a
	// worker's. Its context never ends.
	StoreChanged(ctx context.Context, e StoreEvent)
}

// observers holds the faces of Options.Observer; nil ones are not called.
type observers struct {
	put   PutObserver
	task  TaskObserver
	store StoreObserver
}

func observersOf(o any) observers {
	var out observers
	out.put, _ = o.(PutObserver)
	out.task, _ = o.(TaskObserver)
	out.store, _ = o.(StoreObserver)
	return out
}

func observes(o any) bool {
	seen := observersOf(o)
	return seen.put != nil || seen.task != nil || seen.store != nil
}

// result is the word for how an attempt ended.
func result(o flow.Outcome, s flow.State) string {
	switch {
	case s == flow.Dead:
		return "dead"
	case s != flow.Waiting:
		return receiptState(s).String()
	}
	return [...]string{"done", "superseded", "skipped", "retry", "dead", "parked", "retry", "snoozed", "cancelled", "unknown", "blocked"}[o]
}

// event is what an observer is told of an attempt.
func (h *held) event(e *end, state flow.State) TaskEvent {
	t := h.tasks[e.Task]
	return TaskEvent{
		ID: e.id, Kind: h.kind.name, Key: h.env.Key, Task: t.name, Version: h.env.Version, Purpose: t.purpose,
		Accepted: h.env.Accepted, Started: e.began, Ended: e.ended, Attempts: e.attempts,
		Result: result(e.Outcome, state), Err: e.err,
	}
}
