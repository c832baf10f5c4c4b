package persistence

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// BackfillOptions of Handle.Backfill. Nil, and every zero value, is the
// default.
type BackfillOptions struct {
	// Rate bounds the objects per second. Zero: no bound.
	Rate int
	// Handler allows a task with Do or Tx, which then runs once for each object
	// through custody, by the workers. Without it such a task is refused:
	// handlers may reach outside.
	Handler bool
	// Before leaves out, for a task with a handler, the objects whose stored
	// version is not below it: those were put when the plan had the task
	// already. Zero: the moment at which the backfill first began, which is
	// right where the program that knows the task begins it before it puts;
	// a kind with a version field must give it.
	Before int64
	// Again begins anew, also when the backfill has completed before.
	Again bool
	// Progress, if any, is told how far it is: after each page, and at the end.
	Progress func(Backfilled)
}

// Backfilled says how far a backfill is. The counts are those of all its
// processes.
type Backfilled struct {
	Kind, Task string        // as Backfill was given them
	Seen       int64         // objects that the record holds, so far
	Written    int64         // rows written, or handlers put into custody
	Superseded int64         // rows that a newer version had written; a store that cannot tell counts them as Written
	Skipped    int64         // objects that the task is not for: its When, or Before
	Failed     int64         // objects that cannot be read, and dead letters
	Done       bool          // the whole record has been gone over
	Resumed    bool          // an earlier process began it
	Took       time.Duration // of this call
}

// String is one line for a log.
func (b Backfilled) String() string {
	state := "so far"
	if b.Done {
		state = "done"
	}
	return fmt.Sprintf("backfill of %s/%s: %d objects %s: %d written, %d superseded, %d skipped, %d failed, in %v",
		b.Kind, b.Task, b.Seen, state, b.Written, b.Superseded, b.Skipped, b.Failed, b.Took.Round(time.Millisecond))
}

// Backfill runs one task over the objects that exist: for a task that came to
// the plan after them. It goes over the record while new objects come in, and
// each row is written at the stored version of its object, so that the newest
// wins whoever writes last. How far it is is durable: a process that is killed
// goes on where it was, and repeats a page at most, which is harmless; handlers
// in transactional custody are put into it once. A backfill that completed does
// nothing when it is asked for again, so a program may ask at each start.
//
// It returns when the record has been gone over, or with an error: the
// context's, or fault.ErrRefused when some objects failed, which are logged, and
// are dead letters where their task was refused. Stores that are away are
// waited for.
func (h *Handle[T]) Backfill(ctx context.Context, task string, opts *BackfillOptions) (Backfilled, error) {
	b := &backfill{layer: h.layer, kind: h.kind, task: h.kind.task(task), began: time.Now()}
	if opts != nil {
		b.opts = *opts
	}
	if err := b.check(task); err != nil {
		return Backfilled{Kind: h.kind.name, Task: task}, err
	}
	err := b.run(ctx)
	return b.report(), err
}

// A backfill is one call of Backfill.
type backfill struct {
	layer *Layer
	kind  *kind
	task  *task
	opts  BackfillOptions
	began time.Time
	pos   backfillPosition
	mine  int64 // objects that this call has seen

	resumed bool
	unsure  bool       // the answer to the last commit was lost: the position says what it did
	mu      sync.Mutex // of pos's counts, while a page is written
	failed  error      // the first object that failed
}

// A backfillPosition is what is durable of a backfill.
type backfillPosition struct {
	After      string `json:"after,omitempty"` // the last key that is done
	Before     int64  `json:"before"`
	Done       bool   `json:"done,omitempty"`
	Seen       int64  `json:"seen"`
	Written    int64  `json:"written"`
	Superseded int64  `json:"superseded"`
	Skipped    int64  `json:"skipped"`
	Failed     int64  `json:"failed"`
}

func (b *backfill) report() Backfilled {
	p := b.pos
	return Backfilled{Kind: b.kind.name, Task: b.task.name, Seen: p.Seen, Written: p.Written, Superseded: p.Superseded,
		Skipped: p.Skipped, Failed: p.Failed, Done: p.Done, Resumed: b.resumed, Took: time.Since(b.began)}
}

// name is under what the position lies. It is bounded as keys are.
func (b *backfill) name() string { return "backfill " + b.kind.table + "/" + b.task.name }

// check refuses what cannot be filled.
func (b *backfill) check(name string) error {
	refuse := func(class error, format string, args ...any) error {
		return &fault.Error{Op: "backfill", Kind: b.kind.name, Class: class, Err: fmt.Errorf(format, args...)}
	}
	if err := b.layer.open("backfill"); err != nil {
		return err
	}
	switch t := b.task; {
	case t == nil:
		return refuse(fault.ErrInvalid, "no task of the plan is named %q", name)
	case len(b.kind.record) == 0:
		return refuse(fault.ErrUnsupported, "the kind has no record to fill task %q from", name)
	case b.kind.inRecord(t):
		return refuse(fault.ErrInvalid, "task %q is the record itself, which a backfill reads from", name)
	case t.write == writeCache:
		return refuse(fault.ErrUnsupported, "task %q is a cache, which readers fill from the record by themselves", name)
	case t.write == writeJob:
		return refuse(fault.ErrUnsupported, "task %q puts jobs for others to take: let a handler put them, by BackfillOptions.Handler", name)
	case t.external:
		return refuse(fault.ErrUnsupported, "task %q is served by another program: let that one fill it", name)
	case t.handles() && !b.opts.Handler:
		return refuse(fault.ErrInvalid, "task %q has a handler, which would run for every object there is: if that is what you want, set BackfillOptions.Handler", name)
	case t.handles() && b.kind.typ.Version != nil && b.opts.Before == 0:
		return refuse(fault.ErrInvalid, "the kind has versions of its own, so say from which one on the plan has had task %q: set BackfillOptions.Before", name)
	case b.opts.Rate < 0:
		return refuse(fault.ErrInvalid, "Rate is %d: use a positive number, or zero for no bound", b.opts.Rate)
	}
	return nil
}

// inRecord reports whether a task's default write is a part of the record.
func (k *kind) inRecord(t *task) bool {
	for _, r := range k.record {
		if r == t {
			return true
		}
	}
	return false
}

// run goes over the record from where an earlier process was.
func (b *backfill) run(ctx context.Context) error {
	if err := b.patiently(ctx, func() error { return b.load(ctx) }); err != nil {
		return err
	}
	former, _ := b.layer.formerOf(ctx, b.kind, b.task) // what cannot be read is not struck
	former = slices.DeleteFunc(former, func(f fingerprint) bool { return f.task == b.task.name || b.pos.Done })
	for !b.pos.Done {
		b.task.noted.Store(-1)
		if err := b.patiently(ctx, func() error { return b.page(ctx) }); err != nil {
			return err
		}
		if b.opts.Progress != nil {
			b.opts.Progress(b.report())
		}
		if err := b.pace(ctx); err != nil {
			return err
		}
	}
	if b.failed != nil {
		return &fault.Error{Op: "backfill", Kind: b.kind.name, Class: fault.ErrRefused,
			Err: fmt.Errorf("%d objects failed, such as: %w", b.pos.Failed, b.failed)}
	}
	if b.pos.Failed == 0 && len(former) > 0 {
		return b.layer.strikeFingerprints(ctx, b.kind, former)
	}
	return nil
}

// load reads the position, or makes the first one.
func (b *backfill) load(ctx context.Context) error {
	b.pos = backfillPosition{}
	if !b.opts.Again {
		if err := b.layer.loadPosition(ctx, b.name(), &b.pos); err != nil {
			return err
		}
	} else if b.layer.rows != nil { // the table is there from here on
		if err := b.layer.rows.Prepare(ctx, positionRows); err != nil {
			return err
		}
	}
	if b.resumed = b.pos.Before != 0; b.resumed {
		return nil
	}
	if b.pos.Before = b.opts.Before; b.pos.Before == 0 {
		var err error
		if b.pos.Before, err = b.layer.ticks.now(ctx, false); err != nil {
			return err
		}
	}
	return b.layer.savePosition(ctx, b.name(), b.pos)
}

// patiently repeats what failed for want of a store.
func (b *backfill) patiently(ctx context.Context, do func() error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := do()
		// A store's own time limit looks like the end of a context that is not ours.
		again := fault.Retryable(err) || fault.Outage(err) || fault.Unknown(err) || fault.Cancelled(err)
		if err == nil || !again || ctx.Err() != nil {
			return err
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		if err := b.layer.open("backfill"); err != nil {
			return err
		}
	}
}
