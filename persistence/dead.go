package persistence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A DeadLetter is a task that could not succeed, with everything that a person
// needs to decide about it.
type DeadLetter struct {
	ID       string    // the task's id
	Kind     string    // its name, as declared
	Key      string    // the object's
	Task     string    // its name in the plan
	Reason   string    // one line
	Detail   string    // the error's full text; the stack of a panic
	Attempts int       // that were spent, the last one included; zero when it never ran
	Version  int64     // the object's; zero when the letter cannot be read
	Accepted time.Time // first: a replay does not change it
	Died     time.Time // UTC, microseconds
	Object   []byte    // the object as JSON, as it was accepted; nil for a delete
}

// A DeadFilter selects dead letters; empty fields match all.
type DeadFilter struct {
	Kind, Task, Key string // compared whole
	Limit           int    // zero means 100
	After           string // the ID of the last one seen
}

// DeadLetters are the tasks of a layer that could not succeed. No age and no
// count removes one.
type DeadLetters struct{ layer *Layer }

// DeadLetters returns the dead letters of the layer.
func (l *Layer) DeadLetters() *DeadLetters { return &DeadLetters{l} }

// List returns dead letters in order of ID.
func (d *DeadLetters) List(ctx context.Context, f DeadFilter) ([]DeadLetter, error) {
	raw, err := d.raw(ctx, f)
	if err != nil {
		return nil, err
	}
	out := make([]DeadLetter, len(raw))
	for i := range raw {
		out[i] = openLetter(&raw[i])
	}
	return out, nil
}

func openLetter(r *transactional.DeadLetter) DeadLetter {
	out := DeadLetter{ID: r.ID, Kind: r.Kind, Key: r.Key, Task: r.Task, Reason: r.Reason, Detail: r.Detail,
		Attempts: r.Attempts, Accepted: r.Accepted, Died: r.Died}
	if env, err := envelope.Decode(r.Envelope); err == nil {
		out.Version = env.Version
		if !env.Delete {
			out.Object = env.Body
		}
	}
	return out
}

func (d *DeadLetters) raw(ctx context.Context, f DeadFilter) ([]transactional.DeadLetter, error) {
	l := d.layer
	if err := l.open("dead letters"); err != nil {
		return nil, err
	}
	switch {
	case l.rows != nil:
		return l.rows.DeadLetters(ctx, transactional.DeadFilter(f))
	case l.cells != nil:
		return l.cellLetters(ctx, f)
	}
	return nil, nil
}

// get returns one letter.
func (d *DeadLetters) get(ctx context.Context, id string) (*transactional.DeadLetter, *envelope.Envelope, error) {
	f := DeadFilter{Limit: 1, After: before(id)}
	raw, err := d.raw(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	if len(raw) == 0 || raw[0].ID != id {
		return nil, nil, fault.New(fault.ErrNotFound, "", "dead letter", "no dead letter has the id "+id)
	}
	env, err := envelope.Decode(raw[0].Envelope)
	return &raw[0], env, err
}

// before is a string just below id, for a search that starts behind it.
func before(id string) string {
	if id == "" {
		return ""
	}
	return id[:len(id)-1] + string(rune(id[len(id)-1]-1)) + "~"
}

// Replay gives dead letters another chance: each becomes a new envelope with
// its one task and no attempts spent, in one commit with its removal. perSecond
// bounds the rate; zero means 100. It stops at the first error and returns how
// many were replayed. A default write whose version is older than the horizon,
// or which was first accepted before it where versions are the program's own, is
// not replayed (fault.ErrExpired): the tombstone of what was deleted since may
// be gone. One that becomes so old while it waits for its store is a dead letter
// again. A handler's is replayed at any age.
func (d *DeadLetters) Replay(ctx context.Context, perSecond int, ids ...string) (int, error) {
	if perSecond <= 0 {
		perSecond = 100
	}
	every := time.NewTicker(max(time.Second/time.Duration(perSecond), 1))
	defer every.Stop()
	for n, id := range ids {
		if n > 0 {
			select {
			case <-ctx.Done():
				return n, ctx.Err()
			case <-every.C:
			}
		}
		if err := d.replay(ctx, id, nil); err != nil {
			return n, err
		}
	}
	return len(ids), nil
}

// EditDeadLetter replays a dead letter with its object changed. The version
// stays: the change is to this task's view of the object, not to the object.
// fault.ErrUnsupported is the answer for a letter of a task that Blocks, whose
// envelope waits as it is with its ordering key, and for one whose object is a
// patch or has the fields of another program, which an edit would lose.
func EditDeadLetter[T any](ctx context.Context, layer *Layer, id string, change func(object *T) error) error {
	return layer.DeadLetters().replay(ctx, id, func(obj any) error {
		typed, ok := obj.(*T)
		if !ok {
			return fault.New(fault.ErrInvalid, "", "edit dead letter", fmt.Sprintf("its object is a %T", obj))
		}
		return change(typed)
	})
}

func (d *DeadLetters) replay(ctx context.Context, id string, edit func(obj any) error) error {
	letter, env, err := d.get(ctx, id)
	if err != nil {
		return err
	}
	l := d.layer
	k := l.kindOf(letter.Kind)
	if k == nil || k.task(letter.Task) == nil {
		return fault.New(fault.ErrUnsupported, "", "replay", "this program does not serve "+letter.Kind+"/"+letter.Task)
	}
	if !k.task(letter.Task).handles() {
		if err := l.pastHorizon(k, env); err != nil {
			return err
		}
	}
	if edit != nil {
		if err := editBody(k, env, edit); err != nil {
			return err
		}
	}
	if k.task(letter.Task).blocks {
		return l.engine.unblock(ctx, k, env, id, edit != nil)
	}
	tick, err := l.ticks.now(ctx, false)
	if err != nil {
		return err
	}
	env.ID = newID(tick)
	env.First = env.FirstAccepted()
	env.Accepted = time.Now().UTC().Truncate(time.Microsecond)
	env.Tasks = []envelope.Task{{Name: letter.Task}}
	return l.engine.revive(ctx, k, env, id)
}

// pastHorizon refuses a default write that is so old that the tombstone of what
// was deleted since may be gone. The version tells its age, unless it is the
// program's own number: then its first acceptance does.
func (l *Layer) pastHorizon(k *kind, env *envelope.Envelope) error {
	since := env.FirstAccepted()
	if k.typ.Version == nil {
		since = time.UnixMicro(env.Version)
	}
	if time.Since(since) <= l.opts.Horizon {
		return nil
	}
	return &fault.Error{Op: "replay", Kind: k.name, Key: env.Key, Class: fault.ErrExpired,
		Err: errors.New("the version is older than the horizon: put the object again instead")}
}

func editBody(k *kind, env *envelope.Envelope, edit func(obj any) error) error {
	if env.Shape != k.all.Shape {
		return fault.New(fault.ErrUnsupported, "", "edit dead letter",
			"its envelope is a patch, or another program's, and an edit would put all fields of this one: replay it as it is, or put the object again")
	}
	obj := k.make()
	if err := k.all.Decode(env.Body, value(obj)); err != nil {
		return err
	}
	if err := edit(obj); err != nil {
		return err
	}
	if err := k.typ.Validate(value(obj)); err != nil {
		return err
	}
	body, err := k.all.Append(nil, value(obj))
	if err != nil {
		return err
	}
	if key, err := k.typ.KeyOf(value(obj)); err != nil || key != env.Key {
		return fault.New(fault.ErrInvalid, "", "edit dead letter", "the key of the object must stay")
	}
	env.Body = body
	return nil
}

// revive puts an envelope back into custody and removes its dead letter: in
// one commit where both lie in the transactional store, else in an order in
// which a crash leaves a repeat.
func (e *engine) revive(ctx context.Context, k *kind, env *envelope.Envelope, letter string) error {
	crash.Point("revive.before")
	h := e.layer.hold(k, env)
	s := h.run.Settlement(nowMicro())
	if e.outbox != nil {
		h.custody = e.outbox
		rec := e.outbox.record(h, s)
		rec.Token, rec.Orders = "", nil
		_, err := e.layer.rows.Apply(ctx, &transactional.Unit{Add: []transactional.Record{rec}, Unbury: []string{letter}})
		crash.Point("revive.after")
		e.wake()
		return err
	}
	h.custody = e.queue
	h.receipt = &Receipt{tasks: []TaskReceipt{{Name: h.tasks[0].name}}}
	if _, err := e.enqueue(ctx, h, e.queue.job(h, s, env.Tasks)); err != nil {
		return err
	}
	crash.Point("revive.between")
	return e.layer.unburyCell(ctx, letter)
}

// unblock replays a dead letter that keeps its ordering key: its envelope is
// still there, in its place among those with the same key.
func (e *engine) unblock(ctx context.Context, k *kind, env *envelope.Envelope, letter string, edited bool) error {
	if edited {
		return fault.New(fault.ErrUnsupported, "", "edit dead letter",
			"its envelope waits with its ordering key and cannot be changed: put the object again, then discard the letter")
	}
	h, i, err := e.claimBlocked(ctx, env)
	if err != nil {
		return err
	}
	h.run.Tasks[i] = flow.Task{Spec: h.run.Tasks[i].Spec}
	h.env.Tasks[i] = envelope.Task{Name: h.env.Tasks[i].Name, Seen: envelope.SeenReplayed}
	settle := e.outbox.settlement(h, h.run.Settlement(nowMicro()))
	_, err = e.layer.rows.Apply(ctx, &transactional.Unit{Settle: []transactional.Settlement{settle}, Unbury: []string{letter}})
	e.wake()
	return err
}

// claimBlocked claims the envelope of a dead letter that keeps its ordering
// key, and says which of its tasks that is.
func (e *engine) claimBlocked(ctx context.Context, env *envelope.Envelope) (*held, int, error) {
	recs, err := e.layer.rows.ClaimByID(ctx, e.layer.owner, e.layer.lease(), transactional.RecordID(env.ID))
	if err != nil {
		return nil, 0, err
	}
	if len(recs) == 0 {
		return nil, 0, fault.New(fault.ErrBusy, "transactional", "dead letter", "a worker has its envelope: try again")
	}
	if h := e.outbox.open(&recs[0]); h != nil {
		for i := range h.env.Tasks {
			if h.env.Tasks[i].Name == env.Tasks[0].Name && h.run.Tasks[i].State == flow.Dead {
				return h, i, nil
			}
		}
	}
	return nil, 0, fault.New(fault.ErrCorrupt, "transactional", "dead letter", "its envelope does not wait for it")
}

// discardBlocked lets go of the ordering key of a dead letter that is discarded.
func (e *engine) discardBlocked(ctx context.Context, env *envelope.Envelope, letter string) error {
	h, i, err := e.claimBlocked(ctx, env)
	if err != nil {
		return err
	}
	h.run.Tasks[i].Spec = nil // dead for good: nothing blocks any more
	settle := e.outbox.settlement(h, h.run.Settlement(nowMicro()))
	_, err = e.layer.rows.Apply(ctx, &transactional.Unit{Settle: []transactional.Settlement{settle}, Unbury: []string{letter}})
	e.wake()
	return err
}

// Discard removes dead letters for good; why goes to the log with each. It
// stops at the first error and returns how many were discarded.
func (d *DeadLetters) Discard(ctx context.Context, why string, ids ...string) (int, error) {
	if why == "" {
		return 0, fault.New(fault.ErrInvalid, "", "discard", "say why: the reason goes to the log")
	}
	for n, id := range ids {
		letter, env, err := d.get(ctx, id)
		if err == nil {
			err = d.take(ctx, letter, env)
		}
		if err != nil {
			return n, err
		}
		d.layer.log.Warn("dead letter discarded", "why", why, "id", id, "kind", letter.Kind, "key", letter.Key,
			"task", letter.Task, "reason", letter.Reason, "version", env.Version)
	}
	return len(ids), nil
}

// take removes a letter, and lets go of its ordering key.
func (d *DeadLetters) take(ctx context.Context, letter *transactional.DeadLetter, env *envelope.Envelope) error {
	switch k := d.layer.kindOf(letter.Kind); {
	case k != nil && k.task(letter.Task) != nil && k.task(letter.Task).blocks:
		return d.layer.engine.discardBlocked(ctx, env, letter.ID)
	case d.layer.rows != nil:
		_, err := d.layer.rows.Apply(ctx, &transactional.Unit{Unbury: []string{letter.ID}})
		return err
	}
	return d.layer.unburyCell(ctx, letter.ID)
}

// remove removes a letter without a word to the log, where its key would stay.
func (d *DeadLetters) remove(ctx context.Context, id string) error {
	letter, env, err := d.get(ctx, id)
	if err != nil {
		return err
	}
	return d.take(ctx, letter, env)
}
