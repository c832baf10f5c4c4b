package amorphous

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Layout says how a Collection lays out its rows: the way in which they are
// read. Fields are named by their Go names (in a Document by the property's).
// The zero Layout keeps each object for itself, to be read by its key.
type Layout struct {
	// PartitionBy names the field whose value rows that are read together
	// share. Empty: each key is a partition of its own.
	PartitionBy string
	// Newest names the field by which a partition is read largest first,
	// Oldest the one by which it is read smallest first; at most one of them.
	// With neither, a partition is read in order of the keys.
	Newest, Oldest string
	// Bucket bounds the size of partitions: rows whose Newest or Oldest field,
	// which must be a time.Time, falls into another Bucket of time lie in a
	// partition of their own, and reading goes from one to the next. Zero: no
	// bound; at least a minute.
	Bucket time.Duration
	// TTL is how long an object is kept after it was put. Zero: for good.
	TTL time.Duration
	// Expires names the field, a time.Time, that says until when this object
	// is kept; its zero value means for good. It excludes TTL.
	Expires string
	// Fields are the fields that are kept, beside the key and those named
	// above. Empty: what the tags say; without tags, all.
	Fields []string
	// Copies lets one key lie at several places at once, as a message lies in
	// the inbox of every reader. Without it a key is unique in the collection,
	// and an object whose partition or order changed moves; with it writing is
	// about twice as fast, objects are found by partition only, and Remove
	// takes the place of Delete.
	Copies bool
	// Convert says, by Go field name, how a value is read that was written
	// when the property had another type: old is what is stored, as a Document
	// has it, and the result has the field's type. Without it such a value is
	// fault.ErrCorrupt, which names the property.
	Convert map[string]func(old any) (any, error)
}

// A source is where a layout finds a value in an object.
type source struct {
	field    *record.Field // nil in a Document
	property string
}

// isTime reports whether the value is a time.Time.
func (s *source) isTime() bool {
	return s != nil && s.field != nil && s.field.Type == reflect.TypeFor[time.Time]()
}

// of returns the value in an object.
func (s *source) of(v reflect.Value) (reflect.Value, error) {
	if s.field != nil {
		for _, i := range s.field.Index {
			v = v.Field(i)
		}
		return v, nil
	}
	found := v.MapIndex(reflect.ValueOf(s.property))
	if !found.IsValid() || found.IsNil() {
		return found, invalid("the document has no property %q, which its place is made of", s.property)
	}
	return found.Elem(), nil
}

// A layout is a Layout, compiled for a type.
type layout struct {
	Layout
	typ        *record.Type
	set        *record.Set
	partition  *source // nil: the key
	order      *source // nil: no order
	expires    *source // nil: no row says when it ends
	descending bool
	patch      bool // a Set of some fields only
}

// compile checks a Layout against a type and lists all faults together.
func (l Layout) compile(t reflect.Type) (*layout, error) {
	typ, faults := record.Compile(t)
	if len(faults) == 0 {
		faults = typ.Convert(l.Convert)
	}
	if len(faults) > 0 {
		return nil, fault.New(fault.ErrInvalid, purpose, "declare", errors.Join(faults...).Error())
	}
	out := &layout{Layout: l, typ: typ, descending: l.Newest != ""}
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	out.partition = out.find("PartitionBy", l.PartitionBy, add)
	out.order = out.find("Newest", l.Newest, add)
	if l.Oldest != "" {
		out.order = out.find("Oldest", l.Oldest, add)
	}
	out.expires = out.find("Expires", l.Expires, add)
	switch {
	case typ.Key == nil && t != reflect.TypeFor[record.Document]():
		add(`%v has no key: tag a field persistence:"key"`, t)
	case l.Newest != "" && l.Oldest != "":
		add("Newest and Oldest exclude each other")
	case l.PartitionBy == "" && (out.order != nil || l.Copies):
		add("Newest, Oldest and Copies need PartitionBy: a partition that is a key has one row")
	case l.Bucket != 0 && !out.order.isTime():
		add("Bucket divides time: order by a field that is a time.Time")
	case l.Bucket != 0 && l.Bucket < time.Minute:
		add("Bucket is %v, which makes more partitions than rows: use a minute or more", l.Bucket)
	case l.TTL < 0:
		add("TTL is negative")
	case l.TTL > 0 && l.Expires != "":
		add("TTL and Expires exclude each other")
	case out.expires != nil && !out.expires.isTime():
		add("Expires says when an object ends: name a field that is a time.Time")
	}
	out.set = typ.Set(out.kept(add))
	if len(faults) > 0 {
		return nil, fault.New(fault.ErrInvalid, purpose, "declare", errors.Join(faults...).Error())
	}
	return out, nil
}

// find resolves one name of a Layout.
func (l *layout) find(word, name string, add func(string, ...any)) *source {
	switch {
	case name == "":
		return nil
	case l.typ.Key == nil:
		return &source{property: name}
	}
	f := l.typ.Lookup(name)
	if f == nil {
		add("%s names %q, which is no kept field of %v", word, name, l.typ.Go)
		return nil
	}
	return &source{field: f, property: f.Name}
}

// kept returns the fields that a row holds: what places it and its key always,
// and else Fields, or what the tags say.
func (l *layout) kept(add func(string, ...any)) []*record.Field {
	var named []*record.Field
	for _, name := range l.Fields {
		if f := l.find("Fields", name, add); f != nil && f.field != nil {
			named = append(named, f.field)
		}
	}
	var out []*record.Field
	for i := range l.typ.Fields {
		f := &l.typ.Fields[i]
		keep := l.stores(f)
		if len(l.Fields) > 0 {
			keep = slices.Contains(named, f)
		}
		if keep || l.places(f) || f == l.typ.Key || f == l.typ.Version || f == l.typ.Rest && !l.patch {
			out = append(out, renamed(f))
		}
	}
	return out
}

// places reports whether a field says where and until when a row lies.
func (l *layout) places(f *record.Field) bool {
	for _, s := range []*source{l.partition, l.order, l.expires} {
		if s != nil && s.field == f {
			return true
		}
	}
	return false
}

// stores reports what the tags say: the fields tagged for this purpose; when
// there are none, all but those tagged for other purposes only.
func (l *layout) stores(f *record.Field) bool {
	if own, tagged := f.Purposes[record.Amorphous]; tagged {
		return !own.Omit
	}
	for i := range l.typ.Fields {
		if own, tagged := l.typ.Fields[i].Purposes[record.Amorphous]; tagged && !own.Omit && !own.Rest {
			return false
		}
	}
	for _, other := range f.Purposes {
		if !other.Omit {
			return false
		}
	}
	return true
}

// renamed gives a field the name that it has under this purpose.
func renamed(f *record.Field) *record.Field {
	name := f.Purposes[record.Amorphous].Name
	if name == "" {
		return f
	}
	out := *f
	out.Name = name
	return &out
}

// Separators of names of partitions: both are control bytes that hardly occur
// in keys, and the names are injective also when they do.
const (
	escaped = "\x1e" // begins the name of a partition that would be empty, or begin with it
	between = "\x1f" // stands between the name of a partition and the number of a bucket
)

func partitionName(text string) string {
	if text == "" || text[0] == escaped[0] {
		return escaped + text
	}
	return text
}

// bucketName is the partition of one bucket. It is injective because the
// number after the last separator has none in it.
func bucketName(name string, bucket int64) string {
	return name + between + strconv.FormatInt(bucket, 10)
}

// bucketIn returns the number of the bucket in a partition's name.
func bucketIn(partition, name string) (bucket int64, ok bool) {
	number, ok := strings.CutPrefix(partition, name+between)
	if !ok {
		return 0, false
	}
	bucket, err := strconv.ParseInt(number, 10, 64)
	return bucket, err == nil
}

// bucketOf returns the number of the bucket that a time falls into.
func (l *layout) bucketOf(at time.Time) int64 {
	micros, width := at.UnixMicro(), l.Bucket.Microseconds()
	number := micros / width
	if micros%width < 0 {
		number--
	}
	return number
}

// place returns where an object lies; name is its partition without a bucket.
func (l *layout) place(v reflect.Value, key string) (at Address, name string, err error) {
	at = Address{Partition: key, ID: key}
	if l.partition == nil {
		return at, key, nil
	}
	field, err := l.partition.of(v)
	if err != nil {
		return at, "", err
	}
	text, err := record.Text(field)
	if err != nil {
		return at, "", err
	}
	name = partitionName(text)
	at.Partition = name
	if l.order == nil {
		return at, name, nil
	}
	if field, err = l.order.of(v); err != nil {
		return at, "", err
	}
	if at.Order, err = record.Order(field, l.descending); err != nil {
		return at, "", err
	}
	if l.Bucket > 0 {
		moment := field.Addr().Interface().(*time.Time)
		at.Partition = bucketName(name, l.bucketOf(*moment))
	}
	return at, name, nil
}
