package persistence

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

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
	case b.task.when != nil && b.task.write != writeCount && !b.task.when(s.obj), b.task.handles() && s.stamp.Version >= b.pos.Before:
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
