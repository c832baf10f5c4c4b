package persistence

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Counts is what an amorphous task with Count counts objects by. Fields are
// named by their Go names. Counts are read through the handle, by Series, Total
// and Top.
//
// Counting is exact: an object counts once, as its newest version says,
// however often its task runs and whatever crashes in between. A newer version
// that belongs elsewhere moves it; a delete, or a newer version for which When
// is false, takes it out.
//
// What is there already counts as it did, beside the new, when By, At, Sum, Zone
// or the shortest Per change, which Layer.Check says, until Handle.Verify and Repair
// have counted it anew, or a task of another name is backfilled. The rest may change at any time.
type Counts struct {
	// By names the fields that objects are counted by: strings, numbers, bools,
	// times, and whatever else can name a partition. An object whose field is a
	// slice counts once for each different element, and with an empty slice not
	// at all. Empty: all objects are counted together.
	By []string
	// At names the time.Time field that says when an object counts. Empty:
	// time does not matter, and Per must be empty too.
	At string
	// Per are the lengths of the buckets of time in which counts can be read,
	// such as a minute, an hour and a day: a day, or what divides an hour evenly,
	// a second or more. The shortest must divide the others, which cost nothing.
	Per []time.Duration
	// Zone is the time zone whose hours and days are meant, such as
	// "Africa/Accra". A day that begins or ends summer time has 23 or 25 hours.
	// Empty: UTC.
	Zone string
	// Sum names an integer field that is added up. Empty: objects are counted.
	Sum string
	// Shards splits what one value holds at one time over so many partitions,
	// for values so hot that one server of many should not hold them alone. It
	// may change at any time. Default 1; at most amorphous.MaxShards.
	Shards int
}

// A CountQuery selects what a task with Count counted. The zero CountQuery is
// all that the kind's only such task counted.
type CountQuery struct {
	// Task names the task. Empty: the only one of the kind with Count.
	Task string
	// Of are values of the fields in Counts.By, in that order. Fewer of them
	// select whatever begins with these, and none selects everything. They have
	// the types of the fields, of the elements where a field is a slice.
	Of []any
	// Per is the length of the buckets of a Series: one of Counts.Per. Zero:
	// the shortest.
	Per time.Duration
	// From and To bound the time: buckets of the shortest Per that begin at
	// From or later, and before To. Zero is open.
	From, To time.Time
}

// A Count is a number of objects, or the sum of a field of theirs.
type Count struct {
	Of []string  // values of the fields in Counts.By, as text; in a Series those of the query
	At time.Time // when the bucket of a Series begins, in the zone of the counts
	N  int64     // objects, or the sum of the field that Counts.Sum names
}

// Series returns the counts per bucket of time, oldest first: of all values
// that the query selects, together. Buckets that hold zero are left out.
func (h *Handle[T]) Series(ctx context.Context, q CountQuery) ([]Count, error) {
	t, selected, err := h.layer.counts(h.kind, "series", q)
	if err != nil {
		return nil, err
	}
	counts, err := t.count.counter.Series(ctx, selected)
	return countsOf(counts), err
}

// Total returns the sum of everything that the query selects.
func (h *Handle[T]) Total(ctx context.Context, q CountQuery) (int64, error) {
	t, selected, err := h.layer.counts(h.kind, "total", q)
	if err != nil {
		return 0, err
	}
	return t.count.counter.Total(ctx, selected)
}

// Top returns the k largest sums among the values that the query selects,
// largest first, and at equal sums in the order of their values. K zero is all
// of them. What sums up to zero is left out.
func (h *Handle[T]) Top(ctx context.Context, q CountQuery, k int) ([]Count, error) {
	t, selected, err := h.layer.counts(h.kind, "top", q)
	if err != nil {
		return nil, err
	}
	counts, err := t.count.counter.Top(ctx, selected, k)
	return countsOf(counts), err
}

func countsOf(counts []amorphous.Count) []Count {
	out := make([]Count, len(counts))
	for i, c := range counts {
		out[i] = Count(c)
	}
	return out
}

// counts checks a query on a kind, and finds its task.
func (l *Layer) counts(k *kind, op string, q CountQuery) (*task, amorphous.CountQuery, error) {
	out := amorphous.CountQuery{Per: q.Per, From: q.From, To: q.To}
	if err := l.open(op); err != nil {
		return nil, out, err
	}
	t, err := k.counted(q.Task)
	if err == nil && len(q.Of) > len(t.count.by) {
		err = fmt.Errorf("Of has %d values, and task %q counts by %d fields", len(q.Of), t.name, len(t.count.by))
	}
	for i := 0; err == nil && i < len(q.Of); i++ {
		var text string
		text, err = t.count.by[i].text(q.Of[i])
		out.Of = append(out.Of, text)
	}
	if err != nil {
		return nil, out, &fault.Error{Op: op, Kind: k.name, Class: fault.ErrInvalid, Err: err}
	}
	return t, out, nil
}

// counted returns the task with Count of a name, or the only one.
func (k *kind) counted(name string) (*task, error) {
	var found []*task
	for _, t := range k.tasks {
		if t.write == writeCount && (name == "" || k.task(name) == t) {
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case name != "":
		return nil, fmt.Errorf("Task %q is none that counts: name a task with Count", name)
	case len(found) == 0:
		return nil, errors.New("the kind has no task with Count")
	}
	return nil, fmt.Errorf("the kind has %d tasks with Count: name one in Task", len(found))
}

// A counting is the Counts of a task, resolved.
type counting struct {
	by      []dimension
	at, sum *record.Field // nil: there is none
	counts  amorphous.Counts
	counter *amorphous.Counter // nil before the kind is registered
}

// A dimension is a field that objects are counted by.
type dimension struct {
	field *record.Field
	each  bool // it is a slice, and every element counts
}

// text is a value of the dimension in a query.
func (d dimension) text(given any) (string, error) {
	typ := d.field.Type
	if d.each {
		typ = typ.Elem()
	}
	v, err := coerce(typ, given)
	if err != nil {
		return "", fmt.Errorf("Of, %s: %w", d.field.Go, err)
	}
	return record.Text(v)
}

// values are the texts of an object's values in the dimension.
func (d dimension) values(obj reflect.Value) ([]string, error) {
	field := obj.FieldByIndex(d.field.Index)
	if !d.each {
		text, err := record.Text(field)
		return []string{text}, err
	}
	var out []string
	for i := range field.Len() {
		text, err := record.Text(field.Index(i))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out, nil
}

// of is what an object counts as: nothing when it is nil.
func (c *counting) of(obj any, key string, stamp amorphous.Stamp) (amorphous.Counted, error) {
	out := amorphous.Counted{Key: key, Stamp: stamp}
	if obj == nil {
		return out, nil
	}
	v := value(obj)
	one := amorphous.Count{N: 1}
	if c.at != nil {
		one.At = v.FieldByIndex(c.at.Index).Interface().(time.Time)
	}
	if c.sum != nil {
		field := v.FieldByIndex(c.sum.Index)
		if field.CanInt() {
			one.N = field.Int()
		} else if one.N = int64(field.Uint()); one.N < 0 {
			return out, invalid("%s is %d, and a sum takes 64 bits with a sign", c.sum.Go, field.Uint())
		}
	}
	out.Counts = []amorphous.Count{one}
	for _, d := range c.by {
		values, err := d.values(v)
		if err != nil {
			return out, err
		}
		if len(values)*len(out.Counts) > amorphous.MaxCounts {
			return out, &fault.Error{Class: fault.ErrTooLarge,
				Err: fmt.Errorf("the object counts as more than %d combinations of values", amorphous.MaxCounts)}
		}
		out.Counts = crossed(out.Counts, values)
	}
	return out, nil
}

// crossed appends each value to each of the counts.
func crossed(counts []amorphous.Count, values []string) []amorphous.Count {
	out := make([]amorphous.Count, 0, len(counts)*len(values))
	for _, count := range counts {
		for _, value := range values {
			one := count
			one.Of = append(slices.Clip(count.Of), value)
			out = append(out, one)
		}
	}
	return out
}

// implied is what a version of an object counts as: nothing when it is a
// delete, or when the task leaves it out.
func (t *task) implied(v *version) (amorphous.Counted, error) {
	obj := v.obj
	if v.deleted || t.when != nil && !t.when(obj) {
		obj = nil
	}
	return t.count.of(obj, v.key, amorphous.Stamp(v.stamp))
}

// checkCounted refuses an object that could not be counted, before it is
// accepted.
func (t *task) checkCounted(obj any, key string) error {
	counted, err := t.count.of(obj, key, amorphous.Stamp{Version: 1})
	if err != nil {
		return err
	}
	return t.count.counter.Check(counted)
}

// writeCounts counts versions of objects.
func (e *engine) writeCounts(ctx context.Context, t *task, vs []version) {
	counted := make([]amorphous.Counted, 0, len(vs))
	for i := range vs {
		v := &vs[i]
		if v.err != nil {
			continue
		}
		c, err := t.implied(v)
		if err != nil {
			v.err = Permanent(err)
			continue
		}
		counted = append(counted, c)
	}
	if len(counted) == 0 {
		return
	}
	crash.Point("write.count.before")
	errs := t.count.counter.Write(ctx, counted...)
	crash.Point("write.count.after")
	answer(vs, errs, func(v *version, _ int) { v.superseded() })
}
