package persistence

import (
	"cmp"
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A query is a Query on one kind, checked and resolved.
type query struct {
	kind    *kind
	task    *task
	where   []condition
	reverse bool
	limit   int     // zero: all
	at      *cursor // where to go on; nil: from the start
	shape   uint64  // of the query, which a cursor must fit

	partition string               // of a layout with PartitionBy
	from, to  []byte               // bounds of the stored order
	newest    *int64               // the newest bucket of the bounds; nil: open
	oldest    *int64               // the oldest
	filter    transactional.Filter // of a transactional record
}

// A condition is one entry of Where.
type condition struct {
	field *record.Field
	value reflect.Value
	text  string
}

// resolve checks a query and resolves its words. All faults are listed
// together.
func (k *kind) resolve(q Query) (*query, error) {
	r := &query{kind: k, limit: q.Limit}
	var faults faults
	if r.task = k.queried(q.Task, &faults); r.task == nil {
		return nil, k.badQuery(faults)
	}
	if q.Limit < 0 {
		faults.add("Limit is %d: use a positive number, or zero", q.Limit)
	}
	for _, name := range slices.Sorted(maps.Keys(q.Where)) {
		r.condition(name, q.Where[name], &faults)
	}
	switch {
	case r.task.partition != nil:
		r.inPartition(q, &faults)
	case r.task.write == writeRow:
		r.inRows(q, &faults)
	default:
		r.inCells(q, &faults)
	}
	if len(faults) > 0 {
		return nil, k.badQuery(faults)
	}
	return r, r.resume(q.After)
}

func (k *kind) badQuery(faults []string) error {
	return &fault.Error{Op: "find", Kind: k.name, Class: fault.ErrInvalid, Err: errors.New(strings.Join(faults, "; "))}
}

// queried returns the task that a query reads.
func (k *kind) queried(name string, faults *faults) *task {
	if name == "" {
		if len(k.record) == 0 {
			faults.add("the kind has no record: name a task with PartitionBy in Task")
			return nil
		}
		return k.record[0]
	}
	t := k.task(name)
	switch {
	case t == nil:
		var names []string
		for _, t := range k.tasks {
			names = append(names, t.name)
		}
		faults.add("Task %q is not in the plan, which has %s", name, strings.Join(names, ", "))
		return nil
	case slices.Contains(k.record, t):
		return k.record[0] // in parts or not, the record is read as a whole
	case t.write == writeDerived:
		faults.add("task %q derives rows of another type: read them with persistence.Derived[%s](handle, %q)", name, typeName(t.derive.rowType), name)
		return nil
	case t.write != writeCell && t.write != writeRow:
		faults.add("Task %q writes nothing that can be searched: name the record, or an amorphous default write", name)
		return nil
	}
	return t
}

// condition resolves one entry of Where.
func (r *query) condition(name string, given any, faults *faults) {
	f := r.kind.typ.Lookup(name)
	if f == nil {
		faults.add("Where names %q, which is no kept field: %s", name, suggest(r.kind.typ, name))
		return
	}
	v, err := coerce(f.Type, given)
	if err != nil {
		faults.add("Where %s: %v", name, err)
		return
	}
	text, err := record.Text(v)
	if err != nil {
		faults.add("Where %s: no rows can be selected by a %s", name, f.Type)
		return
	}
	r.where = append(r.where, condition{f, v, text})
}

// inPartition resolves a query on a layout with PartitionBy.
func (r *query) inPartition(q Query, faults *faults) {
	t := r.task
	if len(r.where) != 1 || r.where[0].field.Go != t.partition.Go {
		faults.add("task %q lies in partitions by %s: Where must name that field, and no other", t.name, t.partition.Go)
	} else {
		r.partition = partitionName(r.where[0].text)
	}
	r.reverse = q.Oldest
	if q.From == nil && q.To == nil {
		return
	}
	if t.newest == nil {
		faults.add("From and To bound the field that orders, and task %q has no Newest", t.name)
		return
	}
	// Rows lie in descending order: what the query calls the end comes first.
	// A zero byte behind an order is the next place after it.
	r.from, r.newest = r.bound("To", q.To, faults)
	r.to, r.oldest = r.bound("From", q.From, faults)
}

// bound returns the place just after a value of the Newest field, in
// descending order, and its bucket.
func (r *query) bound(word string, given any, faults *faults) (place []byte, bucket *int64) {
	if given == nil {
		return nil, nil
	}
	v, err := coerce(r.task.newest.Type, given)
	if err == nil {
		place, err = record.Order(v, true)
	}
	if err != nil {
		faults.add("%s: %v", word, err)
		return nil, nil
	}
	if r.task.bucket > 0 {
		n := r.task.bucketOf(v.Interface().(time.Time))
		bucket = &n
	}
	return append(place, 0), bucket
}

// inRows resolves a query on a transactional default write.
func (r *query) inRows(q Query, faults *faults) {
	r.filter = transactional.Filter{Reverse: q.Oldest, Equal: make(map[string]any, len(r.where))}
	for _, c := range r.where {
		f := r.column(c.field)
		if f == nil {
			faults.add("Where %s: only fields tagged index or unique can be searched, as in `transactional:\",index\"`", c.field.Go)
			continue
		}
		values, err := r.kind.columnValue(f, c.value)
		if err != nil {
			faults.add("Where %s: %v", c.field.Go, err)
			continue
		}
		r.filter.Equal[f.Name] = values
	}
	for _, b := range []struct {
		word  string
		given any
		to    *any
	}{{"From", q.From, &r.filter.From}, {"To", q.To, &r.filter.To}} {
		switch key := b.given.(type) {
		case nil:
		case string:
			*b.to = key
		default:
			faults.add("%s: a record is ordered by its key, so the bound is a string, not a %T", b.word, key)
		}
	}
}

// column returns the field under its column's name when an index has it.
func (r *query) column(f *record.Field) *record.Field {
	indexed := func(c string) bool {
		has := func(names []string) bool { return slices.Contains(names, c) }
		return slices.ContainsFunc(r.task.row.Unique, has) || slices.ContainsFunc(r.task.row.Index, has)
	}
	for _, c := range r.task.set.Fields {
		if c.Go == f.Go && indexed(c.Name) {
			return c
		}
	}
	return nil
}

// columnValue returns a value of a field as SQL has it.
func (k *kind) columnValue(f *record.Field, v reflect.Value) (any, error) {
	obj := value(k.make())
	obj.FieldByIndex(f.Index).Set(v)
	values, err := k.typ.Set([]*record.Field{f}).Values(obj)
	if err != nil {
		return nil, err
	}
	return values[0], nil
}

// inCells resolves a query on the whole table of an amorphous record.
func (r *query) inCells(q Query, faults *faults) {
	if q.From != nil || q.To != nil || q.Oldest {
		faults.add("a record in the amorphous store has no order, so From, To and Oldest mean nothing: name a task with Newest in Task")
	}
}

// matches reports whether an object fulfils Where.
func (r *query) matches(obj any) bool {
	for _, c := range r.where {
		text, err := record.Text(value(obj).FieldByIndex(c.field.Index))
		if err != nil || text != c.text {
			return false
		}
	}
	return true
}

// coerce converts what a caller gave to the type of a field: numbers that fit,
// strings of named types, text forms.
func coerce(to reflect.Type, given any) (reflect.Value, error) {
	v := reflect.ValueOf(given)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if !v.IsValid() || v.Kind() == reflect.Pointer {
		return v, errors.New("nil selects nothing: give a value")
	}
	if to.Kind() == reflect.Pointer {
		inner, err := coerce(to.Elem(), given)
		if err != nil {
			return inner, err
		}
		p := reflect.New(to.Elem())
		p.Elem().Set(inner)
		return p, nil
	}
	out := reflect.New(to).Elem()
	switch u, isText := out.Addr().Interface().(encoding.TextUnmarshaler); {
	case v.Type() == to:
		return v, nil
	case isText && v.Kind() == reflect.String && to != reflect.TypeFor[time.Time]():
		return out, u.UnmarshalText([]byte(v.String()))
	case convert(out, v):
		return out, nil
	}
	return out, fmt.Errorf("the value is of type %s, and the field of type %s", v.Type(), to)
}

// convert sets out to v where nothing is lost by it.
func convert(out, v reflect.Value) bool {
	switch {
	case out.CanInt() && v.CanInt() && !out.OverflowInt(v.Int()):
		out.SetInt(v.Int())
	case out.CanInt() && v.CanUint() && v.Uint() < 1<<63 && !out.OverflowInt(int64(v.Uint())):
		out.SetInt(int64(v.Uint()))
	case out.CanUint() && v.CanUint() && !out.OverflowUint(v.Uint()):
		out.SetUint(v.Uint())
	case out.CanUint() && v.CanInt() && v.Int() >= 0 && !out.OverflowUint(uint64(v.Int())):
		out.SetUint(uint64(v.Int()))
	case out.CanFloat() && v.CanFloat():
		out.SetFloat(v.Float())
	case out.CanFloat() && v.CanInt() && int64(float64(v.Int())) == v.Int():
		out.SetFloat(float64(v.Int()))
	case out.Kind() == reflect.String && v.Kind() == reflect.String:
		out.SetString(v.String())
	case out.Kind() == reflect.Bool && v.Kind() == reflect.Bool:
		out.SetBool(v.Bool())
	default:
		return false
	}
	return true
}

// resume reads the cursor that the query goes on from.
func (r *query) resume(after string) error {
	r.shape = r.digest()
	if after == "" {
		return nil
	}
	at, err := parseCursor(after)
	if err == nil && at.shape != r.shape {
		err = errors.New("the cursor in After belongs to another query: keep Task, Where, From, To and Oldest as they were")
	}
	if err != nil {
		return &fault.Error{Op: "find", Kind: r.kind.name, Class: fault.ErrInvalid, Err: err}
	}
	r.at = &at
	return nil
}

// digest is a digest of what the query selects, and in which order.
func (r *query) digest() uint64 {
	var b []byte
	add := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	add(r.kind.table)
	add(r.task.name)
	for _, c := range r.where {
		add(c.field.Go)
		add(c.text)
	}
	for _, s := range []string{string(r.from), string(r.to), fmt.Sprintf("%T %[1]v", r.filter.From), fmt.Sprintf("%T %[1]v", r.filter.To), fmt.Sprint(r.reverse || r.filter.Reverse)} {
		add(s)
	}
	return cmp.Or(record.Digest(b), 1)
}
