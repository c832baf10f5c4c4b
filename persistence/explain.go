package persistence

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
)

// An Explanation tells what one Put of an object would do. Print it, or look
// at its parts in a test.
type Explanation struct {
	Kind, Key  string            // of the object
	Custody    Custody           // where the envelope would be recorded
	Durability fault.Durability  // of that
	Object     int               // bytes of the encoded object
	Envelope   int               // bytes of the envelope; zero when none is needed
	Lane       string            // where it would wait: a lane of the outbox, or a tube of the queue; empty when none is needed
	Tasks      []TaskExplanation // in start order; also those that are Skipped
	Warnings   []string          // what would not go as one might expect, each a sentence
}

// A TaskExplanation tells what one task of a Put would do.
type TaskExplanation struct {
	Name     string        // as in the plan
	Priority int           // 0 runs before Put returns; smaller first
	Lane     string        // "before Put returns", "real time" or "background"
	Purpose  Purpose       // whose store it needs
	Does     string        // the statement, the key, the tube, or the handler
	TTL      time.Duration // of what is written; zero: none
	Bytes    int           // of what is written; zero for a handler
	Skipped  bool          // When is false for this object
	// Sends are the statements or commands of a default write in the words of the
	// driver, in their order, where it can say them: SQL and CQL with placeholders,
	// commands with the key or the tube. No value of the object is in them, and
	// neither are those that follow from what is found in the store. Nil for a
	// handler, a count and rows that are derived, and for a store in process that
	// has no such thing.
	Sends []string
}

// explain tells what one Put would do.
func (l *Layer) explain(k *kind, obj any) (*Explanation, error) {
	if err := l.open("explain"); err != nil {
		return nil, err
	}
	v := value(obj)
	key, err := k.typ.KeyOf(v)
	if err == nil {
		err = k.typ.Validate(v)
	}
	if err != nil {
		return nil, opError("put", k, key, err)
	}
	body, err := k.all.Append(nil, v)
	if err != nil {
		return nil, opError("put", k, key, err)
	}
	e := &Explanation{Kind: k.name, Key: key, Custody: k.custody, Durability: l.custodyDurability(k), Object: len(body)}
	for _, t := range k.tasks {
		x, err := t.explain(l, k, obj, body, key)
		if err != nil {
			return nil, opError("put", k, key, err)
		}
		e.Tasks = append(e.Tasks, x)
	}
	if k.envelopes() {
		e.Envelope = k.envelopeSize(key, body, e.Tasks)
		e.Lane = l.firstLane(k, e.Tasks)
	}
	e.Warnings = l.warnings(k, e)
	return e, nil
}

func (l *Layer) custodyDurability(k *kind) fault.Durability {
	if k.custody == TransitoryCustody {
		return l.queue.Features().Durability
	}
	return l.rows.Features().Durability
}

// envelopeSize is what custody would hold.
func (k *kind) envelopeSize(key string, body []byte, tasks []TaskExplanation) int {
	env := envelope.Envelope{Kind: k.name, Key: key, Body: body, Version: time.Now().UnixMicro(), Accepted: time.Now()}
	for _, x := range tasks {
		if !x.Skipped {
			env.Tasks = append(env.Tasks, envelope.Task{Name: x.Name})
		}
	}
	return len(env.Append(nil))
}

// firstLane is where an envelope with these tasks waits for its first worker.
func (l *Layer) firstLane(k *kind, tasks []TaskExplanation) string {
	for i, x := range tasks {
		if k.tasks[i].realTime && !x.Skipped {
			return l.lanesOf(k.name).realTime
		}
	}
	return l.lanesOf(k.name).background
}

// warnings says what would not go as one might expect.
func (l *Layer) warnings(k *kind, e *Explanation) []string {
	var out []string
	later := slices.ContainsFunc(e.Tasks, func(x TaskExplanation) bool { return x.Priority > 0 && !x.Skipped })
	if later && !l.working() {
		out = append(out, "nobody works on this layer: tasks above priority 0 wait until some program calls Work")
	}
	if k.custody == TransitoryCustody && e.Envelope > MaxTransitory {
		out = append(out, fmt.Sprintf("the envelope has %d bytes, and transitory custody takes %d: Put would refuse it", e.Envelope, MaxTransitory))
	}
	if k.limit > 0 && e.Object > k.limit {
		out = append(out, fmt.Sprintf("the object has %d bytes, and a store of its plan takes %d: Put would refuse it", e.Object, k.limit))
	}
	out = append(out, l.cacheWarnings(k, e)...)
	if len(k.record) == 0 && k.cache == nil {
		out = append(out, "the kind has no record, so Get returns an error")
	}
	if k.cache != nil && !k.oneLook {
		out = append(out, "the cache does not hold every field, so Get reads the record as well")
	}
	return out
}

// cacheWarnings names the entries that are larger than what the cache takes.
func (l *Layer) cacheWarnings(k *kind, e *Explanation) []string {
	var out []string
	for i := range e.Tasks {
		x, t := &e.Tasks[i], k.tasks[i]
		if t.write != writeCache || x.Bytes <= l.cacheTakes(t) {
			continue
		}
		follows := "the entry is left out, and Get reads the record"
		switch {
		case slices.Contains(k.alone, t):
			follows = "Put would refuse it"
		case len(k.record) == 0:
			follows = "the entry is left out, and Get finds nothing"
		}
		out = append(out, fmt.Sprintf("the entry of task %q has %d bytes, and the volatile store takes %d: %s", t.name, x.Bytes, l.cacheTakes(t), follows))
	}
	return out
}

// explain tells what one task would do.
func (t *task) explain(l *Layer, k *kind, obj any, body []byte, key string) (TaskExplanation, error) {
	x := TaskExplanation{Name: t.name, Priority: t.priority, Lane: t.laneWord(), Purpose: t.purpose, TTL: t.ttl,
		Skipped: t.when != nil && !t.when(obj)}
	if t.write != writeNone && t.write != writeRow && t.write != writeCount && t.write != writeDerived {
		stored, err := t.encode(nil, obj, body)
		if err != nil {
			return x, err
		}
		x.Bytes = len(stored)
	}
	var err error
	switch t.write {
	case writeNone:
		x.Does = t.handler()
	case writeJob:
		job := transitory.Job{Tube: k.name + "." + t.name, Priority: uint32(t.priority), Body: make([]byte, x.Bytes)}
		x.Does, x.Sends = "job in tube "+job.Tube, l.queue.Explain(job)
	case writeCache:
		x.Bytes += shapeLen
		entry := k.cacheKey(key)
		if t != k.cache {
			entry = t.partKey(k, key)
		}
		x.Does, x.Sends = "set "+entry, l.cache.Explain(entry, t.ttl+t.stale, x.Bytes)
	case writeRow:
		if x.Does, x.Bytes, err = t.explainRow(obj, key); err == nil {
			var text string
			text, err = l.rows.Explain(t.row)
			x.Sends = []string{text}
		}
	case writeCell:
		if x.Does, err = t.explainCell(obj, key); err == nil {
			x.Sends = l.cells.Explain(t.table(), amorphous.Row{ID: key, Expires: t.ends(obj, time.Now())})
		}
	case writeCount:
		x.Does, err = t.explainCount(obj, key)
	case writeDerived:
		x.Does, x.Bytes, err = t.explainDerived(&version{obj: obj, key: key, stamp: transactional.Stamp{Version: 1}, accepted: time.Now()})
	}
	return x, err
}

// handler is what a task without a default write does.
func (t *task) handler() string {
	switch {
	case t.rebuild != nil:
		return "Do; the view " + t.rebuild.name + " is rebuilt by its function"
	case t.do != nil:
		return "Do"
	case t.tx != nil:
		return "Tx, in a transaction"
	}
	return "external: served by another program"
}

// explainRow is the logical statement of a row: the store adds the guard that
// lets the newest version win.
func (t *task) explainRow(obj any, key string) (does string, bytes int, err error) {
	values, err := t.set.Values(value(obj))
	if err != nil {
		return "", 0, err
	}
	columns := []string{"id"}
	for _, c := range t.row.Columns {
		columns = append(columns, c.Name)
	}
	bytes = len(key)
	for _, v := range values {
		bytes += sizeOf(v)
	}
	return fmt.Sprintf("upsert into %s (%s), id %q, if newer", t.row.Name, strings.Join(columns, ", "), key), bytes, nil
}

// sizeOf is roughly what a value takes in a row.
func sizeOf(v any) int {
	switch v := v.(type) {
	case nil:
		return 0
	case string:
		return len(v)
	case []byte:
		return len(v)
	case bool:
		return 1
	}
	return 8
}

// explainCell is where a cell would lie.
func (t *task) explainCell(obj any, key string) (string, error) {
	if t.partition == nil {
		return fmt.Sprintf("upsert into %s, id %q, if newer", t.cell.Name, key), nil
	}
	partition, order, err := t.place(obj, nil)
	if err != nil {
		return "", err
	}
	does := fmt.Sprintf("upsert into %s, partition %q", t.cell.Name, partition)
	if t.newest != nil {
		does += fmt.Sprintf(", %s newest first (order %x)", t.newest.Go, order)
	}
	return does + fmt.Sprintf(", id %q, if newer; the older place is removed", key), nil
}

// String is the explanation as a person wants to read it.
func (e *Explanation) String() string {
	var b strings.Builder
	if e.Envelope > 0 {
		fmt.Fprintf(&b, "Put %s %q: %d bytes, in %s custody (%s) as an envelope of %d bytes, lane %s\n", e.Kind, e.Key, e.Object, e.Custody, e.Durability, e.Envelope, e.Lane)
	} else {
		fmt.Fprintf(&b, "Put %s %q: %d bytes, without an envelope\n", e.Kind, e.Key, e.Object)
	}
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, x := range e.Tasks {
		fmt.Fprintf(table, "  %d\t%s\t%s\t%s\t%s\n", x.Priority, x.Lane, x.Name, x.Purpose, x.line())
	}
	table.Flush()
	for _, x := range e.Tasks {
		for i, text := range x.Sends {
			if i == 0 {
				fmt.Fprintf(&b, "  %s sends\n", x.Name)
			}
			b.WriteString("    " + text + "\n")
		}
	}
	for _, w := range e.Warnings {
		b.WriteString("  ! " + w + "\n")
	}
	return b.String()
}

// line is what a task does, with its size and its life.
func (x *TaskExplanation) line() string {
	s := x.Does
	if x.Bytes > 0 {
		s += fmt.Sprintf(", %d bytes", x.Bytes)
	}
	if x.TTL > 0 {
		s += fmt.Sprintf(", for %v", x.TTL)
	}
	if x.Skipped {
		s += " (not for this object: When is false)"
	}
	return s
}
