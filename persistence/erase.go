package persistence

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// EraseOptions of Handle.Erase. Nil, and every zero value, is the default.
type EraseOptions struct {
	// Version is the version of the erasure, for a kind with a version field:
	// above all that the key ever had.
	Version int64
	// Everywhere goes over whole tables for rows of the key that no index
	// knows: what was written by hand, or by a program with another plan.
	Everywhere bool
}

// An Erasure says what was found of a key, and that a second look found
// nothing.
type Erasure struct {
	Kind, Key string   // as Erase was given them
	Version   int64    // all that is older stays away, however late it comes
	Found     []string // what was removed, and from where
	Left      []string // what the second look found; empty: nothing
	// Proved: the second look went through all that the layer keeps, and found
	// nothing. It is false while jobs lie in a queue that cannot be searched,
	// such as beanstalkd: Unsearched names them, and once they are gone, erasing
	// again proves it.
	Proved bool
	// Unsearched is what cannot be looked into, and what becomes of it.
	Unsearched []string
}

// String is a report of some lines.
func (e *Erasure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q erased at version %d\n", e.Kind, e.Key, e.Version)
	if !e.Proved {
		b.WriteString("\tNOT PROVED\n")
	}
	for _, part := range []struct {
		word  string
		lines []string
	}{{"removed", e.Found}, {"LEFT", e.Left}, {"not searched", e.Unsearched}} {
		for _, line := range part.lines {
			fmt.Fprintf(&b, "\t%s: %s\n", part.word, line)
		}
	}
	return b.String()
}

// Erase removes one key, and all that was derived from it, wherever this layer
// keeps it: record, layouts, second copies, derived rows, counts, cache, the
// envelopes that wait in the outbox or in a queue that can be searched, as the
// one in process can, dead letters. It is a Delete, which also runs OnDelete, and its
// version stands as a tombstone in every store, so that an envelope that comes
// late writes nothing. It is written down by itself too: what is older is not
// run any more, nor are its handlers, wherever it waits; other processes learn
// of that within a second. Then Erase looks a second time: what that finds is
// Erasure.Left, and the error is fault.ErrRefused.
//
// The Erasure is not nil once the key is deleted, and says in Proved whether
// everything could be looked into, and in Unsearched what could not: beanstalkd
// does not let jobs be looked into. A store that is away is an
// error; erasing again is harmless. What a worker has in hand is waited for, so a
// handler cannot erase the object that it runs for. Stores forget in their own time what was
// removed from their tables (free pages, Cassandra's gc_grace, backups); the
// marks of finished envelopes name the key for Options.Remember at most, and
// the list of a layout's buckets, that of a count's partitions, its sums of zero
// and the tombstones of rows name the places that there were; tombstones, and the
// register of places, name the key. The erasure itself is kept as a digest of it.
func (h *Handle[T]) Erase(ctx context.Context, key string, opts *EraseOptions) (*Erasure, error) {
	e := &erasing{layer: h.layer, kind: h.kind, key: key, known: map[*task][]trace{}}
	if opts != nil {
		e.opts = *opts
	}
	p := putOptions{delete: true, key: key, atVersion: e.opts.Version}
	if err := e.imply(ctx); err != nil {
		return nil, err
	}
	found, err := e.look(ctx, true)
	if err != nil {
		return nil, err
	}
	// Before the erasure's own envelope lies there too.
	blind, err := e.unsearchedJobs(ctx)
	if err != nil {
		return nil, err
	}
	receipt, err := h.layer.put(ctx, h.kind, nil, p)
	if err != nil && !fault.Accepted(err) {
		return nil, err
	}
	e.stamp = transactional.Stamp{Version: receipt.Version, Tie: ^uint64(0)}
	out := &Erasure{Kind: h.kind.name, Key: key, Version: receipt.Version, Found: found}
	if err := e.layer.noteErased(ctx, h.kind, key, receipt.Version); err != nil {
		return out, err
	}
	if err := e.remove(ctx); err != nil {
		return out, err
	}
	if out.Left, err = e.look(ctx, false); err != nil {
		return out, err
	}
	out.Unsearched = append(e.unsearched(), blind...)
	out.Proved = len(out.Left)+len(blind) == 0
	if len(out.Left) > 0 {
		err = &fault.Error{Op: "erase", Kind: h.kind.name, Key: key, Class: fault.ErrRefused, Err: fmt.Errorf("a second look found %s", strings.Join(out.Left, "; "))}
	}
	return out, err
}

// An erasing is one call of Erase.
type erasing struct {
	layer *Layer
	kind  *kind
	key   string
	opts  EraseOptions
	stamp transactional.Stamp
	known map[*task][]trace // where something is, or was
}

func (e *erasing) names() []string { return e.kind.names() }

// look lists what there is of the key, except the tombstones, and the erasure's
// own envelope.
func (e *erasing) look(ctx context.Context, first bool) (found []string, err error) {
	add := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if len(e.kind.record) > 0 {
		parts, err := e.layer.readParts(ctx, e.kind, []string{e.key})
		if err != nil {
			return nil, err
		}
		for i, p := range parts[e.key] {
			if p.there && !p.deleted {
				add("%s (%s): the record, version %d", e.kind.record[i].name, e.kind.record[i].purpose, p.stamp.Version)
			}
		}
	}
	for _, kp := range e.layer.keepers(e.kind) {
		there, err := e.traces(ctx, kp)
		if err != nil {
			return nil, err
		}
		for _, t := range there {
			if t.at != "" && !t.aside {
				add("%s (%s): %s, version %d", kp.task.name, kp.task.purpose, t.at, t.stamp.Version)
			}
		}
	}
	if err := e.lookCache(ctx, add); err != nil {
		return nil, err
	}
	return found, e.lookCustody(ctx, first, add)
}

// traces are what a keeper has of the key, also where something was when it was
// looked for before; with Everywhere, also what it does not know it has.
func (e *erasing) traces(ctx context.Context, kp kept) ([]trace, error) {
	there, err := kp.find(ctx, []sought{{e.key, e.known[kp.task]}})
	out := there[e.key]
	for after := []byte(nil); err == nil && e.opts.Everywhere; {
		var w walked
		w, err = kp.walk(ctx, after, readPage)
		for i, key := range w.keys {
			if key == e.key && !slices.ContainsFunc(out, func(t trace) bool { return t.at == w.traces[i].at }) {
				out = append(out, w.traces[i])
			}
		}
		if after = w.next; after == nil {
			break
		}
	}
	for _, t := range out {
		if !t.aside && !slices.ContainsFunc(e.known[kp.task], func(k trace) bool { return k.at == t.at }) {
			e.known[kp.task] = append(e.known[kp.task], t)
		}
	}
	return out, err
}

// imply remembers where the object's traces ought to be, whatever a register
// says. An object that cannot be read implies nothing.
func (e *erasing) imply(ctx context.Context) error {
	if len(e.kind.record) == 0 {
		return nil
	}
	subjects, err := e.layer.subjects(ctx, e.kind, []string{e.key})
	if err != nil {
		return err
	}
	for _, kp := range e.layer.keepers(e.kind) {
		expected, err := kp.expect(ctx, &subjects[0])
		if fault.Outage(err) || fault.Cancelled(err) {
			return err
		}
		e.known[kp.task] = slices.DeleteFunc(expected, func(t trace) bool { return t.aside })
	}
	return nil
}

// lookCache looks for entries that no keeper has: of a kind without a record,
// and of single fields.
func (e *erasing) lookCache(ctx context.Context, add func(string, ...any)) error {
	names := e.cacheNames()
	if len(names) == 0 {
		return nil
	}
	entries, err := e.layer.cache.GetAll(ctx, names)
	for name, entry := range entries {
		if !entry.Absent {
			add("the cache: %s, version %d", name, entry.Stamp.Version)
		}
	}
	return err
}

func (e *erasing) cacheNames() (names []string) {
	for _, t := range e.kind.tasks {
		switch {
		case t.write != writeCache:
		case t != e.kind.cache:
			names = append(names, t.partKey(e.kind, e.key))
		case len(e.kind.record) == 0:
			names = append(names, e.kind.cacheKey(e.key))
		}
	}
	return names
}

// lookCustody looks through the outbox, a queue that lets it, and the dead
// letters.
func (e *erasing) lookCustody(ctx context.Context, first bool, add func(string, ...any)) error {
	e.layer.engine.settleAll() // what is done does not wait there
	waiting, err := e.waiting(ctx)
	if err != nil {
		return err
	}
	for _, w := range waiting {
		if first || w.env.Version < e.stamp.Version {
			add("the outbox: an envelope of version %d", w.env.Version)
		}
	}
	if err := e.lookQueue(ctx, first, add); err != nil {
		return err
	}
	letters, err := e.letters(ctx)
	for _, d := range letters {
		add("dead letters: %s of version %d", d.Task, d.Version)
	}
	return err
}

// A waitingEnvelope is an envelope of the key in the outbox.
type waitingEnvelope struct {
	rec transactional.Record
	env *envelope.Envelope
}

// waiting lists the envelopes of the key that hold an object. One that cannot
// be read holds one too, as far as anybody knows.
func (e *erasing) waiting(ctx context.Context) (out []waitingEnvelope, err error) {
	if e.layer.rows == nil {
		return nil, nil
	}
	var ids []transactional.RecordID
	err = e.layer.rows.Walk(ctx, func(rec transactional.Record) bool {
		if rec.Key == e.key && slices.Contains(e.names(), rec.Kind) {
			ids = append(ids, rec.ID)
		}
		return true
	})
	for _, id := range ids {
		rec, mark, ferr := e.layer.rows.Find(ctx, id)
		if fault.ClassOf(ferr) == fault.ErrNotFound || ferr == nil && mark != nil {
			continue // it is done
		}
		if ferr != nil {
			return nil, ferr
		}
		env, derr := envelope.Decode(rec.Body)
		if derr != nil {
			env = &envelope.Envelope{Kind: rec.Kind, Key: rec.Key}
		}
		if !env.Delete {
			out = append(out, waitingEnvelope{rec, env})
		}
	}
	return out, err
}

// letters lists the dead letters of the key that hold an object.
func (e *erasing) letters(ctx context.Context) (out []DeadLetter, err error) {
	for _, kind := range e.names() {
		for after := ""; ; {
			page, err := e.layer.DeadLetters().List(ctx, DeadFilter{Kind: kind, Key: e.key, After: after})
			if err != nil || len(page) == 0 {
				if err != nil {
					return nil, err
				}
				break
			}
			for _, d := range page {
				if after = d.ID; d.Object != nil {
					out = append(out, d)
				}
			}
		}
	}
	return out, nil
}

// unsearched says what lies outside of the layer.
func (e *erasing) unsearched() (out []string) {
	for _, t := range e.kind.tasks {
		if t.handles() && t.onDelete == nil {
			out = append(out, fmt.Sprintf("task %q has a handler and no OnDelete: what it wrote is not known here", t.name))
		}
		if t.external {
			out = append(out, fmt.Sprintf("task %q is served by another program", t.name))
		}
	}
	return out
}
