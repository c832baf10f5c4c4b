package persistence

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
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
	Kind, Task string
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
	for !b.pos.Done {
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
		if err == nil || !fault.Retryable(err) && !fault.Outage(err) && !fault.Unknown(err) || fault.Cancelled(err) {
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

// Objects of one page, and how many of them are under way at a time.
const (
	backfillPage = 1000
	backfillWide = 256
)

// page fills one page, and remembers that it has.
func (b *backfill) page(ctx context.Context) error {
	if b.unsure {
		if err := b.layer.loadPosition(ctx, b.name(), &b.pos); err != nil {
			return err
		}
		if b.unsure = false; b.pos.Done {
			return nil
		}
	}
	n := backfillPage
	if b.opts.Rate > 0 {
		n = min(n, max(b.opts.Rate/4, 1)) // so that the rate is even
	}
	subjects, more, err := b.layer.recordPage(ctx, b.kind, b.pos.After, n)
	if err == nil {
		err = b.layer.fillSubjects(ctx, b.kind, subjects)
	}
	if err != nil {
		return err
	}
	before, failed := b.pos, b.failed
	b.pos.Seen += int64(len(subjects))
	if len(subjects) > 0 {
		b.pos.After = subjects[len(subjects)-1].key
	}
	if b.pos.Done = !more; b.pos.Done {
		b.pos.After = "" // no key stays behind
	}
	crash.Point("backfill.page.before")
	if b.task.handles() {
		err = b.enlist(ctx, subjects)
	} else if err = b.write(ctx, subjects); err == nil {
		crash.Point("backfill.page.between")
		err = b.layer.savePosition(ctx, b.name(), b.pos)
	}
	crash.Point("backfill.page.after")
	if err != nil {
		b.pos, b.failed, b.unsure = before, failed, fault.Unknown(err)
		return err
	}
	b.mine += int64(len(subjects))
	return nil
}

// chosen reports whether the task is for an object, and counts why not.
func (b *backfill) chosen(s *subject) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case s.err != nil:
		b.fail(s.key, s.err)
	case s.obj == nil:
	case b.task.when != nil && !b.task.when(s.obj), b.task.handles() && s.stamp.Version >= b.pos.Before:
		b.pos.Skipped++
	default:
		return true
	}
	return false
}

func (b *backfill) fail(key string, err error) {
	b.pos.Failed++
	if b.failed == nil {
		b.failed = err
	}
	b.layer.log.Error("backfill: an object failed", "kind", b.kind.name, "task", b.task.name, "key", key, "error", err)
}

// write writes the rows of a page. The first error that a repeat can mend ends
// it; an object that the store refuses is a dead letter.
func (b *backfill) write(ctx context.Context, subjects []subject) error {
	var (
		wg    sync.WaitGroup
		slots = make(chan struct{}, backfillWide)
		errs  = make([]error, len(subjects))
	)
	for i := range subjects {
		if !b.chosen(&subjects[i]) {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			errs[i] = b.writeOne(ctx, &subjects[i])
			<-slots
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (b *backfill) writeOne(ctx context.Context, s *subject) error {
	v, err := b.kind.versionOf(s)
	var stale bool
	if err == nil {
		stale, err = b.layer.engine.writeObject(ctx, b.kind, b.task, v)
	}
	var permanent errPermanent
	if err != nil && (errors.As(err, &permanent) || fault.Permanent(err)) && !fault.Cancelled(err) {
		cause := err
		if err = b.layer.bury(ctx, []transactional.DeadLetter{b.letter(s, v, cause)}); err == nil {
			b.mu.Lock()
			b.fail(s.key, cause)
			b.mu.Unlock()
		}
		return err
	}
	if err == nil {
		b.mu.Lock()
		if b.pos.Written++; stale {
			b.pos.Written--
			b.pos.Superseded++
		}
		b.mu.Unlock()
	}
	return err
}

// versionOf is the stored version of an object, to be written again. It was
// accepted when its version says so, and now where versions are the user's own.
func (k *kind) versionOf(s *subject) (*version, error) {
	body, err := k.all.Append(nil, value(s.obj))
	v := &version{obj: s.obj, body: body, key: s.key, stamp: s.stamp, shape: k.all.Shape, late: true, stored: true, accepted: time.Now().UTC()}
	if k.typ.Version == nil {
		v.accepted = microTime(s.stamp.Version)
	}
	if !isDocument(k.typ) && s.body != nil && k.lacks(s.body) {
		v.body = s.body // with what this program does not know
	}
	return v, err
}

// envelope is the envelope of one task of a stored object.
func (b *backfill) envelope(v *version, id int64) *envelope.Envelope {
	return &envelope.Envelope{ID: newID(id), Kind: b.kind.name, Key: v.key, Version: v.stamp.Version, Tie: v.stamp.Tie,
		Accepted: time.Now().UTC().Truncate(time.Microsecond), Shape: v.shape, Body: v.body,
		Tasks: []envelope.Task{remainingTask(b.task, time.Now())}}
}

func (b *backfill) letter(s *subject, v *version, cause error) transactional.DeadLetter {
	env := b.envelope(v, v.stamp.Version)
	return transactional.DeadLetter{ID: taskID(b.kind.name, s.key, b.task.name, "", v.stamp.Version), Kind: b.kind.name, Key: s.key,
		Task: b.task.name, Reason: oneLine(cause.Error()), Detail: cause.Error(), Attempts: 1,
		Accepted: env.Accepted, Died: env.Accepted, Envelope: env.Append(nil)}
}

// enlist puts the handlers of a page into custody: with the position in one
// commit where custody is transactional.
func (b *backfill) enlist(ctx context.Context, subjects []subject) error {
	e := b.layer.engine
	var unit transactional.Unit
	for i := range subjects {
		if !b.chosen(&subjects[i]) {
			continue
		}
		v, err := b.kind.versionOf(&subjects[i])
		if err != nil {
			return err
		}
		id, err := b.layer.ticks.now(ctx, false)
		if err != nil {
			return err
		}
		h := b.layer.hold(b.kind, b.envelope(v, id))
		s := h.run.Settlement(nowMicro())
		b.pos.Written++
		if b.kind.custody == TransactionalCustody {
			unit.Add = append(unit.Add, e.outbox.record(h, s))
			continue
		}
		if _, err := e.queue.put(ctx, e.queue.job(h, s, h.env.Tasks)); err != nil {
			return err
		}
	}
	defer e.offer()
	if b.kind.custody != TransactionalCustody {
		return b.layer.savePosition(ctx, b.name(), b.pos)
	}
	w, err := b.layer.positionWrite(ctx, b.name(), b.pos)
	if err != nil {
		return err
	}
	unit.Writes = []transactional.Write{w}
	_, err = b.layer.rows.Apply(ctx, &unit)
	return err
}

// pace waits until the rate allows the next page.
func (b *backfill) pace(ctx context.Context) error {
	if b.opts.Rate <= 0 || b.pos.Done {
		return ctx.Err()
	}
	due := b.began.Add(time.Duration(float64(b.mine) / float64(b.opts.Rate) * float64(time.Second)))
	return sleep(ctx, max(time.Until(due), 0))
}
