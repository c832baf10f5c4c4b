package record

import (
	"maps"
	"reflect"
	"slices"
)

// A Conversion makes the value of a field of what was stored when its property
// had another type. It gets the stored value as a Document has it: a bool,
// string, int64, uint64, float64, map[string]any or []any, never nil.
type Conversion = func(old any) (any, error)

// Convert gives fields, by their Go names, conversions for values that do not
// decode as the field's type. It comes before the sets of the type are made,
// and returns the faults, each a sentence.
func (t *Type) Convert(conversions map[string]Conversion) (faults []error) {
	for _, name := range slices.Sorted(maps.Keys(conversions)) {
		switch f := t.Lookup(name); {
		case f == nil || f.rest:
			faults = append(faults, &declarationFault{t.name, "Convert names " + shown(name) + ", which is no field that can change its type"})
		case conversions[name] == nil:
			faults = append(faults, &declarationFault{t.name, "Convert has no function for " + shown(name)})
		default:
			f.codec = convertCodec{f.codec, conversions[name]}
		}
	}
	if len(conversions) > 0 && t.Key != nil {
		t.all = t.Set(pointers(t.Fields))
	}
	return faults
}

// convertCodec decodes what its codec takes, and converts what it does not.
type convertCodec struct {
	codec
	convert Conversion
}

func (c convertCodec) decode(d *decoder, v reflect.Value) error {
	start := *d
	first := c.codec.decode(d, v)
	if first == nil {
		return nil
	}
	*d = start
	old, err := d.any()
	if err != nil {
		return first // it is not JSON at all
	}
	converted, err := c.convert(old)
	if err != nil {
		return &problem{text: "its conversion fails", cause: err}
	}
	x := reflect.ValueOf(converted)
	switch {
	case !x.IsValid():
		v.SetZero()
	case x.Type().AssignableTo(v.Type()):
		v.Set(x)
	default:
		return bad("its conversion returned a " + x.Type().String() + ", and the field is a " + v.Type().String())
	}
	return nil
}

// ShapeOf is the Shape of a set of properties.
func ShapeOf(names ...string) uint64 {
	return shapeOf(slices.Clone(names))
}

// ShapeFor is the Shape of what the set writes of a value when that is a part of an
// object: unlike the set's own, it tells apart which unknown properties there are,
// so that a part beside it that has others does not take its place.
func (s *Set) ShapeFor(v reflect.Value) uint64 {
	if s.object.rest == nil {
		return s.Shape
	}
	var names []string
	for _, f := range s.Fields {
		if !f.rest {
			names = append(names, f.Name)
		}
	}
	v, err := s.typ.value(v, "shape")
	if err != nil {
		return s.Shape
	}
	for name := range asDocument(at(v, s.object.rest.index)) {
		names = append(names, name)
	}
	return shapeOf(names)
}

// DocumentShape is the Shape of every Document: what a whole Document does not
// hold it has not, so it stands for all properties.
var DocumentShape = ShapeOf("*")
