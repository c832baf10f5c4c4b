package record

import (
	"encoding"
	"encoding/json"
	"reflect"
	"sync"
	"time"
)

// A codec encodes and decodes the values of one Go type. The values it is
// given are addressable, and settable where it decodes.
type codec interface {
	// append appends the value's JSON. Depth is the level of the value itself.
	append(b []byte, v reflect.Value, depth int) ([]byte, error)
	// decode replaces the value by what the decoder reads. null is its zero.
	decode(d *decoder, v reflect.Value) error
}

var (
	timeType          = reflect.TypeFor[time.Time]()
	durationType      = reflect.TypeFor[time.Duration]()
	rawType           = reflect.TypeFor[json.RawMessage]()
	stringType        = reflect.TypeFor[string]()
	anyType           = reflect.TypeFor[any]()
	documentType      = reflect.TypeFor[Document]()
	textMarshaler     = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler   = reflect.TypeFor[encoding.TextUnmarshaler]()
	wayOutOfInterface = "use a concrete type, or json.RawMessage, or a map[string]any with the option rest, or " + leaveOut
)

// codec returns the codec of a type, or nil after it has recorded the faults.
func (b *builder) codec(where string, t reflect.Type) codec {
	if c, ok := b.codecs[t]; ok {
		return c
	}
	switch {
	case t == timeType:
		return timeCodec{}
	case t == rawType:
		return rawCodec{}
	case isText(t):
		return b.text(where, t)
	}
	switch k := t.Kind(); k {
	case reflect.Bool:
		return boolCodec{}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return intCodec{}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return uintCodec{}
	case reflect.Float32, reflect.Float64:
		return floatCodec{bits: t.Bits()}
	case reflect.String:
		return stringCodec{}
	case reflect.Slice:
		return b.slice(where, t)
	case reflect.Array:
		return b.array(where, t)
	case reflect.Map:
		return b.mapping(where, t)
	case reflect.Pointer:
		return b.pointer(where, t)
	case reflect.Struct:
		return b.nested(where, t)
	case reflect.Interface:
		return b.fault(where, "an interface ("+typeName(t)+") does not say what would come back; "+wayOutOfInterface)
	}
	return b.fault(where, "a "+typeName(t)+" cannot be stored; "+unstorable(t)+leaveOut)
}

// unstorable names the way out for kinds that have one.
func unstorable(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Complex64, reflect.Complex128:
		return "keep its two parts in two float fields, or "
	case reflect.Uintptr:
		return "use uint64, or "
	}
	return ""
}

// text compiles a type with a text form of its own.
func (b *builder) text(where string, t reflect.Type) codec {
	if from, lost := inheritsText(t); lost {
		return b.fault(where, typeName(t)+" takes its text form from the embedded "+from+
			", which would lose its other fields; give the embedded field a name")
	}
	return textCodec{}
}

// inheritsText reports whether a struct with several fields embeds a type with
// a text form: its methods are promoted, and would speak for a part of it.
func inheritsText(t reflect.Type) (from string, lost bool) {
	if t.Kind() != reflect.Struct || t.NumField() < 2 {
		return "", false
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && (hasText(f.Type) || hasText(reflect.PointerTo(f.Type))) {
			return typeName(f.Type), true
		}
	}
	return "", false
}

// slice compiles a slice type.
func (b *builder) slice(where string, t reflect.Type) codec {
	if isBytes(t) {
		return bytesCodec{}
	}
	c := &sliceCodec{size: int(t.Elem().Size()), step: 1}
	if c.size <= 64 {
		c.step = 4
	}
	b.codecs[t] = c
	if c.elem = b.codec(where, t.Elem()); c.elem == nil {
		return nil
	}
	return c
}

// array compiles an array type.
func (b *builder) array(where string, t reflect.Type) codec {
	if isByteArray(t) {
		return byteArrayCodec{}
	}
	elem := b.codec(where, t.Elem())
	if elem == nil {
		return nil
	}
	return arrayCodec{elem: elem}
}

// mapping compiles a map type.
func (b *builder) mapping(where string, t reflect.Type) codec {
	k := t.Key().Kind()
	switch {
	case isDocument(t):
		return b.fault(where, "a map[string]any would give numbers back as other types; tag it as in amorphous:\",rest\", or use json.RawMessage, or "+leaveOut)
	case k != reflect.String && !isInteger(k):
		return b.fault(where, "the key of a map must be a string or an integer, not "+typeName(t.Key())+"; use its text as key, or "+leaveOut)
	}
	c := &mapCodec{size: int(t.Key().Size()+t.Elem().Size()) + 16}
	b.codecs[t] = c
	if c.elem = b.codec(where, t.Elem()); c.elem == nil {
		return nil
	}
	return c
}

// pointer compiles a pointer type. Nil is null, so what it points to must not
// be null itself.
func (b *builder) pointer(where string, t reflect.Type) codec {
	e := t.Elem()
	if !special(e) {
		switch e.Kind() {
		case reflect.Pointer:
			return b.fault(where, "a pointer to a pointer would come back with one of them lost; use one pointer, or "+leaveOut)
		case reflect.Slice, reflect.Map:
			return b.fault(where, "a pointer to "+typeName(e)+" would not tell its own nil from that of the value; use "+typeName(e)+
				", in which nil and empty are told apart, or "+leaveOut)
		}
	}
	if e == rawType {
		return b.fault(where, "a pointer to json.RawMessage would not tell nil from null; use json.RawMessage, or "+leaveOut)
	}
	c := &pointerCodec{size: int(e.Size())}
	b.codecs[t] = c
	if c.elem = b.codec(where, e); c.elem == nil {
		return nil
	}
	return c
}

// nested compiles a struct inside a field, which is kept as one property.
func (b *builder) nested(where string, t reflect.Type) codec {
	if opaque(t) {
		return b.fault(where, typeName(t)+" has only fields that are not exported, so all of it would be lost; "+
			"give it MarshalText and UnmarshalText, or "+leaveOut)
	}
	o := &object{name: typeName(t)}
	b.codecs[t] = o
	before := len(b.faults)
	var fields []Field
	for _, p := range b.parts(where, t) {
		f := Field{Go: p.goName, Name: p.tags.name, Type: p.field.Type, Index: p.index}
		if f.Name == "" {
			f.Name = b.defaultName(p)
		}
		if len(p.tags.purposes) > 0 {
			b.fault(p.where, "the field around it is kept as one property, so a purpose tag in here would be ignored; "+
				"tag the outer field, embed "+typeName(t)+", or use a type without purpose tags")
		}
		f.codec = b.codec(p.where, f.Type)
		fields = append(fields, f)
	}
	b.checkNames(where, fields)
	if len(b.faults) > before {
		return nil
	}
	o.compile(pointers(fields))
	return o
}

// opaque reports whether a struct has fields, and shows none of them.
func opaque(t reflect.Type) bool {
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() || f.Anonymous {
			return false
		}
	}
	return t.NumField() > 0
}

// special reports whether a type has a codec that does not follow its kind.
func special(t reflect.Type) bool { return t == timeType || t == rawType || isText(t) }

// isText reports whether a type has a text form of its own: both
// encoding.TextMarshaler and encoding.TextUnmarshaler.
func isText(t reflect.Type) bool {
	k := t.Kind()
	if t.PkgPath() == "" && k != reflect.Struct || t == timeType || k == reflect.Pointer || k == reflect.Interface {
		return false // without methods, or with a codec that goes before them
	}
	if known, ok := textTypes.Load(t); ok {
		return known.(bool)
	}
	is := hasText(reflect.PointerTo(t))
	textTypes.Store(t, is)
	return is
}

// hasText reports whether a type has both methods of a text form.
func hasText(t reflect.Type) bool {
	return t.Implements(textMarshaler) && t.Implements(textUnmarshaler)
}

// textTypes remembers isText by type, for Order and Text, which are given
// values of types that nothing compiled.
var textTypes sync.Map

// isBytes reports whether a type is a slice of bytes.
func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && !isText(t.Elem())
}

// isByteArray reports whether a type is an array of bytes.
func isByteArray(t reflect.Type) bool {
	return t.Kind() == reflect.Array && t.Elem().Kind() == reflect.Uint8 && !isText(t.Elem())
}

// isDocument reports whether a type is map[string]any or named after it.
func isDocument(t reflect.Type) bool {
	return t.Kind() == reflect.Map && t.Key() == stringType && t.Elem() == anyType
}

// isInteger reports whether a kind is an integer; uintptr is none.
func isInteger(k reflect.Kind) bool { return k >= reflect.Int && k <= reflect.Uint64 }
