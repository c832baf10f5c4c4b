package persistence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// Where the rows of a task lie, and what its counts mean, is decided by its
// declaration, and what is stored stays as it was when that changes. So what was
// declared is written down beside the positions of the layer, as a text for each
// task: the fingerprint of its layout. Programs with other declarations, one after
// the other or side by side, each write down their own, and strike none of
// another's but where nothing is stored that way any more: so a task with more
// than one may hold what this program does not find. Functions, such as When or
// Derive, have no fingerprint.

// A fingerprint is what a program has declared, or declares, of a task.
type fingerprint struct {
	task, text string
	stamp      transactional.Stamp // of its row
}

// fingerprints is what a layer remembers of looking at them.
type fingerprints struct {
	mu       sync.Mutex
	told     map[string][]string // by kind: what was logged last
	away     atomic.Bool         // the store did not answer: the next Declare does not wait for it
	watching sync.Once
}

// fingerprintEvery is how often a program looks whether its own fingerprints are
// there, which another one may have struck that took it for gone.
const fingerprintEvery = time.Minute

// layout is the fingerprint of a task: what decides where its rows lie, or what
// its counts mean; empty of another task. Properties are named as they are stored,
// so that a renamed Go field changes nothing.
func (t *task) layout() string {
	switch t.write {
	case writeCell:
		return "rows " + lieBy(t.partition, t.newest, t.bucket)
	case writeDerived:
		l, typ := &t.derive.layout, t.derive.typ
		return fmt.Sprintf("rows of %s %s", property(typ.Key), lieBy(typ.Lookup(l.PartitionBy), typ.Lookup(l.Newest), l.Bucket))
	case writeCount:
		return t.count.layout()
	}
	return ""
}

func property(f *record.Field) string { return f.Name + " (" + record.Class(f.Type) + ")" }

func lieBy(partition, newest *record.Field, bucket time.Duration) string {
	if partition == nil {
		return "by key"
	}
	s := "by " + property(partition)
	if newest != nil {
		s += ", newest " + property(newest) + " first"
	}
	if bucket > 0 {
		s += fmt.Sprintf(", in buckets of %v", bucket)
	}
	return s
}

func (c *counting) layout() string {
	s := "counts"
	if c.sum != nil {
		s = "sums of " + c.sum.Name
	}
	for i, d := range c.by {
		s += []string{" by ", ", "}[min(i, 1)]
		if d.each {
			s += d.field.Name + " (each " + record.Class(d.field.Type.Elem()) + ")"
		} else {
			s += property(d.field)
		}
	}
	if c.at != nil && len(c.counts.Per) > 0 {
		s += fmt.Sprintf(", per %v of %s", slices.Min(c.counts.Per), c.at.Name)
		if c.counts.Zone != "" && c.counts.Zone != "UTC" {
			s += " in " + c.counts.Zone
		}
	}
	return s
}

// laid are the tasks of a kind that have a fingerprint.
func (k *kind) laid() (out []*task) {
	for _, t := range k.tasks {
		if t.layout() != "" && !k.inRecord(t) {
			out = append(out, t)
		}
	}
	return out
}

// foreign reports whether a fingerprint is one that the task had, under this name
// or a former one, and has no more.
func (t *task) foreign(f fingerprint) bool {
	return f.task == t.name && f.text != t.layout() || f.task != t.name && slices.Contains(t.was, f.task)
}

// compareLayouts writes down the fingerprints of a kind that are not there, unless
// they were struck since this program last wrote, strikes those by which nothing is
// stored, and says what may be stored otherwise than it is declared.
func (l *Layer) compareLayouts(ctx context.Context, k *kind) (problems []string, err error) {
	laid := k.laid()
	if len(laid) == 0 {
		return nil, nil
	}
	found, err := l.readFingerprints(ctx, k)
	if err != nil {
		return nil, err
	}
	var errs []error
	var over []fingerprint
	for _, t := range laid {
		errs = append(errs, l.keepFingerprint(ctx, k, t, found))
		for _, f := range found {
			if !t.foreign(f) {
				continue
			}
			switch held, err := l.holds(ctx, k, t, f.task); {
			case err != nil:
				errs = append(errs, err)
			case held:
				problems = append(problems, k.changed(t, f))
			default:
				over = append(over, f)
			}
		}
	}
	if len(over) > 0 {
		errs = append(errs, l.strikeFingerprints(ctx, k, over))
	}
	return problems, errors.Join(errs...)
}

// keepFingerprint writes a task's fingerprint down if it is not among those that
// were found, and something was written since it was last there.
func (l *Layer) keepFingerprint(ctx context.Context, k *kind, t *task, found []fingerprint) error {
	before, now := t.noted.Load(), t.counter.done.Load()+1
	own := fingerprint{task: t.name, text: t.layout()}
	if !slices.ContainsFunc(found, func(f fingerprint) bool { return f.task == own.task && f.text == own.text }) {
		if before == now {
			return nil
		}
		if err := l.noteFingerprint(ctx, k, &own); err != nil {
			return err
		}
		t.own.Store(&own)
	}
	t.noted.CompareAndSwap(before, now)
	return nil
}

// holds reports whether a task holds anything, under its name or a former one.
func (l *Layer) holds(ctx context.Context, k *kind, t *task, name string) (found bool, err error) {
	if t.write == writeCount {
		counter, err := amorphous.NewCounter(l.cells, physical(k.table, name), &t.count.counts)
		if err == nil {
			err = l.cells.Prepare(ctx, counter.Tables()...)
		}
		var held []amorphous.Held
		for next := []byte(nil); err == nil && !found; {
			held, next, err = counter.Walk(ctx, next, 1)
			found = slices.ContainsFunc(held, func(h amorphous.Held) bool { return !h.Register })
			if next == nil {
				break
			}
		}
		return found, err
	}
	table := t.table()
	table.Name = physical(k.table, name)
	err = l.cells.Prepare(ctx, table)
	for r := (amorphous.Range{Limit: 1}); err == nil && !found; {
		var page amorphous.Page
		page, err = l.cells.Scan(ctx, table, r)
		found, r.After = len(page.Rows) > 0, page.Next
		if r.After == nil {
			break
		}
	}
	return found, err
}

// changed says what a task may hold otherwise than it is declared, and what mends
// that.
func (k *kind) changed(t *task, f fingerprint) string {
	whose := fmt.Sprintf("kind %q, task %q: ", k.name, t.name)
	switch {
	case len(k.record) == 0:
		return whose + fmt.Sprintf("it holds what was stored as %s, and is read as %s: the former is not found, and the kind has no record to mend it from: put the objects again under a task of another name", f.text, t.layout())
	case f.task != t.name:
		return whose + fmt.Sprintf("its former name is %q, under which it holds %s that are not found under this one: call Handle.Backfill for the task", f.task, f.text)
	}
	return whose + fmt.Sprintf("it holds what was stored as %s, and is read as %s: reads mix the two, or lack the former, until Handle.Repair has mended all that Handle.Verify finds, once no program stores the former way", f.text, t.layout())
}

// tellLayouts logs what compareLayouts says, when it is something new.
func (l *Layer) tellLayouts(ctx context.Context, k *kind) error {
	problems, err := l.compareLayouts(ctx, k)
	if err != nil {
		return err
	}
	p := &l.prints
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told == nil {
		p.told = map[string][]string{}
	}
	if !slices.Equal(p.told[k.name], problems) {
		for _, problem := range problems {
			l.log.Warn(problem)
		}
	}
	p.told[k.name] = problems
	return nil
}

// watchLayouts compares a kind that is being declared with what is stored, and
// from then on looks again and again whether its fingerprints are there.
func (l *Layer) watchLayouts(ctx context.Context, k *kind) {
	if len(k.laid()) == 0 {
		return
	}
	p := &l.prints
	if !p.away.Load() {
		ctx, cancel := context.WithTimeout(ctx, probeEvery)
		err := l.tellLayouts(ctx, k)
		cancel()
		p.away.Store(fault.Outage(err) || fault.Cancelled(err))
	}
	p.watching.Do(func() {
		l.spawn(func(ctx context.Context) {
			for pause(ctx, fingerprintEvery); ctx.Err() == nil; pause(ctx, fingerprintEvery) {
				l.lookAtLayouts(ctx)
			}
		})
	})
}

// leaveLayouts sees to it, before the stores are closed, that the fingerprints are
// there by which this program has written since it last looked, and that those are
// not which it wrote down and by which it has stored nothing: a plan that was taken
// back leaves no trace.
func (l *Layer) leaveLayouts() {
	ctx, cancel := context.WithTimeout(context.Background(), probeEvery)
	defer cancel()
	for _, k := range l.declared() {
		wrote, unused := false, []fingerprint(nil)
		for _, t := range k.laid() {
			noted, done := t.noted.Load(), t.counter.done.Load()
			if own := t.own.Load(); own != nil && noted == 1 && done == 0 {
				unused = append(unused, *own)
			}
			wrote = wrote || noted < 0 || done > 0 && noted <= done
		}
		var first, second error
		if wrote {
			_, first = l.compareLayouts(ctx, k)
		}
		if len(unused) > 0 {
			second = l.strikeFingerprints(ctx, k, unused)
		}
		if err := errors.Join(first, second); err != nil {
			l.log.Debug("fingerprints of layouts cannot be left", "kind", k.name, "error", err)
		}
	}
}

// lookAtLayouts compares all kinds with what is stored.
func (l *Layer) lookAtLayouts(ctx context.Context) {
	for _, k := range l.declared() {
		if err := l.tellLayouts(ctx, k); err != nil && ctx.Err() == nil {
			l.log.Debug("fingerprints of layouts cannot be compared", "kind", k.name, "error", err)
		}
	}
}

// layoutProblems is what Check has to say of all kinds. A store that cannot be
// read says so itself.
func (l *Layer) layoutProblems(ctx context.Context) (out []string) {
	for _, k := range l.declared() {
		problems, _ := l.compareLayouts(ctx, k)
		out = append(out, problems...)
	}
	return out
}
