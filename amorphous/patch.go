package amorphous

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Patch writes only the named fields of an object, in a Document the named
// properties, without reading the others: each property keeps its newest
// value, whoever wrote it. A property that a Document lacks becomes nil. Of the
// field with the option rest it writes the properties that are in it; a value
// that is made of others, such as a map, is one property.
//
// What says where the object lies, and until when, is written beside them, and
// must be as it was: key, partition, order and Layout.Expires. A patch that
// names one of those is fault.ErrUnsupported, as is one of a Layout with TTL,
// which would outlive the rest of its object: Put the object whole. A patch of
// what is not there makes an object of these properties alone.
func (c *Collection[T]) Patch(ctx context.Context, obj T, fields ...string) error {
	if c.layout.TTL > 0 {
		return c.fail("patch", "", unpatchable("with Layout.TTL a patch would outlive the rest of its object"))
	}
	if len(fields) == 0 {
		return c.fail("patch", "", invalid("Patch names the fields that it writes"))
	}
	if doc, ok := any(obj).(Document); ok {
		part, shape, err := c.layout.partOf(doc, fields)
		if err != nil {
			return c.fail("patch", "", err)
		}
		return c.putAs(ctx, "patch", c.layout.set, shape, Stamp{}, []T{any(part).(T)})
	}
	set, err := c.layout.patchSet(fields)
	if err != nil {
		return c.fail("patch", "", err)
	}
	return c.putAs(ctx, "patch", set, set.ShapeFor(reflect.ValueOf(&obj)), Stamp{}, []T{obj})
}

func unpatchable(why string) error {
	return fault.New(fault.ErrUnsupported, "", "", why+"; Put the object whole")
}

// patchSet is the set of some fields, beside those that place the object.
func (l *layout) patchSet(fields []string) (*record.Set, error) {
	narrow := *l
	narrow.Fields, narrow.patch = fields, true
	var faults []error
	kept := narrow.kept(func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) })
	if len(faults) > 0 {
		return nil, invalid("%v", errors.Join(faults...))
	}
	for _, name := range fields {
		if f := l.typ.Lookup(name); f == l.typ.Key || l.places(f) {
			return nil, unpatchable(name + " says where the object lies")
		}
	}
	return l.typ.Set(kept), nil
}

// partOf is a part of a Document, and its shape: the named properties, beside
// those that place it.
func (l *layout) partOf(doc Document, names []string) (part Document, shape uint64, err error) {
	part = Document{"id": doc["id"]}
	for _, s := range []*source{l.partition, l.order} {
		if s != nil {
			part[s.property] = doc[s.property]
		}
	}
	for _, name := range names {
		if _, places := part[name]; places {
			return nil, 0, unpatchable(name + " says where the object lies")
		}
	}
	for _, name := range names {
		part[name] = doc[name]
	}
	all := make([]string, 0, len(part))
	for name := range part {
		all = append(all, name)
	}
	slices.Sort(all)
	return part, record.ShapeOf(all...), nil
}

// end is when an object that is written now expires, zero for never.
func (l *layout) end(v reflect.Value) (time.Time, error) {
	switch {
	case l.TTL > 0:
		return time.Now().Add(l.TTL), nil
	case l.expires == nil:
		return time.Time{}, nil
	}
	field, err := l.expires.of(v)
	if err != nil {
		return time.Time{}, err
	}
	return *field.Addr().Interface().(*time.Time), nil
}
