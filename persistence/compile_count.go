package persistence

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
)

// checkCount refuses a Count that does not go together with the other words.
func (c *compiler) checkCount(w *wording) {
	if w.counts == nil {
		return
	}
	if w.purpose != Amorphous && w.purpose != 0 {
		c.taskFault(w, "Count counts in the amorphous store, and its Purpose is %s: use the Purpose Amorphous", w.purpose)
	}
	if actions := w.actions(); len(actions) > 0 {
		c.taskFault(w, "it has Count and %s: one task does one thing, so make %d tasks of it", strings.Join(actions, " and "), len(actions)+1)
	}
	words := used(map[string]bool{
		"PartitionBy": w.partitionBy != "", "Newest": w.newestBy != "", "Bucket": w.bucket > 0, "TTL": w.ttl > 0, "Fields": len(w.fields) > 0,
	}, "PartitionBy", "Newest", "Bucket", "TTL", "Fields")
	if len(words) > 0 {
		c.taskFault(w, "%s rows of the object, and with Count it writes none: leave %s out, or write the object in a task of its own", verb(words, "lays out", "lay out"), it(words))
	}
	switch {
	case w.counts.At == "" && len(w.counts.Per) > 0:
		c.taskFault(w, "Per says in which buckets of time it counts, and there is no At: name a time.Time field in At, or leave out Per")
	case w.counts.At != "" && len(w.counts.Per) == 0:
		c.taskFault(w, "At says when an object counts, and there is no Per: say in which buckets, such as Per: []time.Duration{time.Minute, time.Hour, 24 * time.Hour}, or leave out At")
	}
	for _, problem := range w.counts.spec().Faults() {
		c.taskFault(w, "Count: %v", problem)
	}
}

// spec is what the amorphous store is told.
func (c *Counts) spec() *amorphous.Counts {
	return &amorphous.Counts{By: c.By, Per: c.Per, Zone: c.Zone, Shards: c.Shards}
}

// counting resolves the fields of a Count.
func (c *compiler) counting(w *wording) {
	w.count = &counting{counts: *w.counts.spec()}
	for _, name := range w.counts.By {
		if f := c.lookup(w, c.kind.typ, "Count.By", name); f != nil {
			w.count.by = append(w.count.by, c.dimension(w, f))
		}
	}
	if w.counts.At != "" {
		w.count.at = c.lookup(w, c.kind.typ, "Count.At", w.counts.At)
		if f := w.count.at; f != nil && f.Type != reflect.TypeFor[time.Time]() {
			c.taskFault(w, "Count.At is %s, a %s: name a field that is a time.Time", f.Go, f.Type)
		}
	}
	if w.counts.Sum != "" {
		w.count.sum = c.lookup(w, c.kind.typ, "Count.Sum", w.counts.Sum)
		if f := w.count.sum; f != nil && !integer(f.Type) {
			c.taskFault(w, "Count.Sum is %s, a %s: name a field that is an integer, whose sums are exact in any order", f.Go, f.Type)
		}
	}
}

func integer(t reflect.Type) bool {
	v := reflect.Zero(t)
	return v.CanInt() || v.CanUint() && t.Kind() != reflect.Uintptr
}

// dimension is a field that can name what is counted.
func (c *compiler) dimension(w *wording, f *record.Field) dimension {
	if text(reflect.New(f.Type).Elem()) == nil {
		return dimension{field: f}
	}
	if f.Type.Kind() == reflect.Slice && text(reflect.New(f.Type.Elem()).Elem()) == nil {
		return dimension{field: f, each: true}
	}
	c.taskFault(w, "Count.By has %s, a %s, which cannot name what is counted: use a string, a number, a bool, a time.Time, or a slice of them", f.Go, f.Type)
	return dimension{field: f}
}

// outline says what a task counts.
func (c *Counts) outline() string {
	s := "counts objects"
	if c.Sum != "" {
		s = "sums " + c.Sum
	}
	if len(c.By) > 0 {
		s += " by " + strings.Join(c.By, ", ")
	}
	for i, per := range c.Per {
		if i == 0 {
			s += ", per "
		} else {
			s += ", "
		}
		s += perWord(per)
	}
	if c.At != "" {
		s += " of " + c.At
	}
	if c.Zone != "" {
		s += " in " + c.Zone
	}
	return s
}

func perWord(per time.Duration) string {
	for word, d := range map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour} {
		if per == d {
			return word
		}
	}
	return per.String()
}

// explainCount is what an object would count as.
func (t *task) explainCount(obj any, key string) (string, error) {
	counted, err := t.count.of(obj, key, amorphous.Stamp{Version: 1})
	if err == nil && t.when != nil && !t.when(obj) {
		counted.Counts = nil
	}
	if err != nil {
		return "", err
	}
	name := t.count.counter.Tables()[0].Name
	if len(counted.Counts) == 0 {
		return fmt.Sprintf("count %q nowhere in %s", key, name), nil
	}
	var parts []string
	for i, one := range counted.Counts {
		if i == 3 {
			parts = append(parts, fmt.Sprintf("and %d more", len(counted.Counts)-i))
			break
		}
		part := fmt.Sprintf("%q", one.Of)
		if !one.At.IsZero() {
			part += " at " + one.At.UTC().Format(time.RFC3339)
		}
		if t.count.sum != nil {
			part += fmt.Sprintf(" with %d", one.N)
		}
		parts = append(parts, part)
	}
	return fmt.Sprintf("count %q in %s, once: %s", key, name, strings.Join(parts, ", ")), nil
}

// registerCounter makes the counter of a task.
func (l *Layer) registerCounter(k *kind, t *task) error {
	if t.write != writeCount {
		return nil
	}
	var err error
	t.count.counter, err = amorphous.NewCounter(l.cells, physical(k.table, t.name), &t.count.counts)
	return err
}
