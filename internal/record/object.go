package record

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// An object is the codec of a struct, or of some of its fields.
type object struct {
	name     string // of the Go type
	members  []member
	byName   map[string]int
	rest     *member             // its properties lie inline; nil: none
	unknown  []int               // where unknown properties go; nil: nowhere
	declared map[string]struct{} // names that are never unknown
}

// A member is one field of an object.
type member struct {
	name   string // of the property
	goName string
	lead   string // `"name":`
	index  []int
	codec  codec
}

// newObject returns the codec of some fields of a declared type.
func newObject(name string, fields []*Field) *object {
	o := &object{name: name}
	o.compile(fields)
	return o
}

// compile fills the object, which other codecs may point to already.
func (o *object) compile(fields []*Field) {
	o.byName = make(map[string]int, len(fields))
	for _, f := range fields {
		m := member{name: f.Name, goName: f.Go, index: f.Index, codec: f.codec}
		if f.rest {
			o.rest, o.unknown = &m, m.index
			if m.index == nil {
				o.unknown = []int{}
			}
			continue
		}
		m.lead = string(appendString(nil, f.Name)) + ":"
		o.byName[f.Name] = len(o.members)
		o.members = append(o.members, m)
	}
}

// shape is the digest of the property names, whatever their order.
func shape(fields []*Field) uint64 {
	var names []string
	for _, f := range fields {
		if f.rest {
			names = append(names, "*") // no property has this name
			continue
		}
		names = append(names, f.Name)
	}
	return shapeOf(names)
}

func shapeOf(names []string) uint64 {
	slices.Sort(names)
	if sum := Digest([]byte(strings.Join(names, ","))); sum != 0 {
		return sum
	}
	return 1
}

func (o *object) append(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return b, tooDeep()
	}
	var err error
	b = append(b, '{')
	for i := range o.members {
		m := &o.members[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, m.lead...)
		if b, err = m.codec.append(b, at(v, m.index), depth+1); err != nil {
			return b, within(err, m.goName)
		}
	}
	if o.rest != nil {
		rest := asDocument(at(v, o.rest.index))
		if b, err = o.appendRest(b, rest, depth); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

// appendRest appends unknown properties beside the declared ones.
func (o *object) appendRest(b []byte, rest map[string]any, depth int) ([]byte, error) {
	var err error
	for i, name := range sortedKeys(rest) {
		if _, clash := o.declared[name]; clash {
			return b, within(bad("the property "+shown(name)+" is a declared field; set the field instead"), o.rest.goName)
		}
		if i > 0 || len(o.members) > 0 {
			b = append(b, ',')
		}
		if b, err = appendProperty(b, name, rest[name], depth); err != nil {
			return b, within(err, o.rest.goName)
		}
	}
	return b, nil
}

// decode replaces a nested struct.
func (o *object) decode(d *decoder, v reflect.Value) error {
	v.SetZero()
	if d.null() {
		return nil
	}
	return o.fill(d, v)
}

// fill sets the fields of v that the object has, and leaves the others alone.
func (o *object) fill(d *decoder, v reflect.Value) error {
	if err := d.enter('{'); err != nil {
		return err
	}
	next := 0
	for first := true; ; first = false {
		name, more, err := d.name(first)
		if err != nil || !more {
			return err
		}
		i, known := o.find(name, next)
		if !known {
			if err := o.keep(d, v, name); err != nil {
				return err
			}
			continue
		}
		m := &o.members[i]
		if err := m.codec.decode(d, at(v, m.index)); err != nil {
			return within(err, m.name)
		}
		next = i + 1
	}
}

// find looks a property up, first where our own encoder would have put it.
func (o *object) find(name []byte, next int) (int, bool) {
	if next < len(o.members) && o.members[next].name == string(name) {
		return next, true
	}
	i, ok := o.byName[string(name)]
	return i, ok
}

// keep puts an unknown property where the type keeps them, or skips it.
func (o *object) keep(d *decoder, v reflect.Value, name []byte) error {
	key := string(name) // the name's bytes may be the decoder's own
	if _, declared := o.declared[key]; declared || o.unknown == nil {
		if _, err := d.skip(); err != nil {
			return within(err, printable(key))
		}
		return nil
	}
	x, err := d.any()
	if err != nil {
		return within(err, printable(key))
	}
	rest := at(v, o.unknown)
	if rest.IsNil() {
		rest.Set(reflect.MakeMap(rest.Type()))
	}
	asDocument(rest)[key] = x
	return nil
}

// printable is a property name as a step of a path.
func printable(name string) string {
	if ValidName(name) {
		return name
	}
	return shown(name)
}

func tooDeep() error {
	return bad("it is nested deeper than " + strconv.Itoa(MaxDepth) + " levels")
}
