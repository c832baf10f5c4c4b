package persistence

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"
)

// Outline prints the plan for people and for tests: one line per task in start
// order, with its priority, lane, name, purpose, what it does, and the words
// that are set. It is stable: the same plan has the same outline, whatever the
// order in which its tasks stand. It does not validate.
//
// A nil plan prints the tasks that the field tags make.
func (p Plan[T]) Outline() string {
	words := erase(p)
	if p == nil {
		words = compilerOf(p).words
	}
	byTask := map[*task]*wording{}
	tasks := make([]*task, len(words))
	for i, w := range words {
		tasks[i], byTask[w.task] = w.task, w
	}
	sortTasks(tasks)
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, t := range tasks {
		w := byTask[t]
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", t.priority, t.laneWord(), cmp.Or(t.name, "-"), t.purpose, w.sentence())
	}
	table.Flush()
	return b.String()
}

// laneWord says when and by whom a task is started.
func (t *task) laneWord() string {
	switch {
	case t.priority == 0:
		return "before Put returns"
	case t.realTime:
		return "real time"
	}
	return "background"
}

// sentence is what a task does, and the words that are set.
func (w *wording) sentence() string {
	parts := []string{w.action()}
	add := func(used bool, format string, args ...any) {
		if used {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(len(w.fields) > 0, "only %s", strings.Join(w.fields, " "))
	add(w.bucket != 0, "in buckets of %v", w.bucket)
	add(w.ttl != 0, "for %v", w.ttl)
	add(w.expiresBy != "", "until %s", w.expiresBy)
	add(w.stale != 0, "stale for %v", w.stale)
	add(w.ahead != 0, "read again %v ahead", w.ahead)
	add(w.parts, "in parts if it is large")
	add(w.when != nil, "when its condition holds")
	add(w.within != 0 && w.late == RunLate, "within %v, else late", w.within)
	add(w.within != 0 && w.late != RunLate, "within %v, else expired", w.within)
	add(w.delay != 0, "after %v", w.delay)
	add(w.timeout != 0, "at most %v", w.timeout)
	add(w.maxAttempts != DefaultMaxAttempts, "%d attempts", w.maxAttempts)
	add(w.concurrency != 0, "%d at a time", w.concurrency)
	add(w.perKey != 0, "%d at a time per key", w.perKey)
	add(w.orderingKey != "" && !w.blocks, "in order per %s", w.orderingKey)
	add(w.orderingKey != "" && w.blocks, "in order per %s, which a dead letter blocks", w.orderingKey)
	add(w.rebuild != nil, "what it keeps is rebuilt")
	add(w.onDelete != nil, "runs OnDelete on a delete")
	add(len(w.was) > 0, "formerly %s", strings.Join(w.was, " "))
	return strings.Join(parts, "; ")
}

// action is the verb of a task.
func (w *wording) action() string {
	switch {
	case w.do != nil:
		return "runs Do"
	case w.tx != nil:
		return "runs Tx in a transaction"
	case w.external:
		return "is served by another program"
	}
	switch w.write {
	case writeCount:
		return w.counts.outline()
	case writeJob:
		return "puts a job"
	case writeCache:
		return "writes a cache entry"
	case writeRow:
		return "writes a row"
	case writeCell:
		return "writes the object" + w.place()
	case writeDerived:
		return "derives rows of " + typeName(w.derive.rowType) + w.place()
	}
	return "does nothing"
}

// place says where an amorphous write lies.
func (w *wording) place() string {
	switch {
	case w.partitionBy == "":
		return " by key"
	case w.newestBy == "":
		return " by " + w.partitionBy
	}
	return fmt.Sprintf(" by %s, newest %s first", w.partitionBy, w.newestBy)
}
