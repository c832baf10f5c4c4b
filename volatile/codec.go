package volatile

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A codec turns the values of one type into bytes and back.
type codec[T any] struct {
	encode func(v *T) ([]byte, error)
	decode func(data []byte, v *T) error
	shares bool // what is decoded shares memory with data
}

// newCodec compiles the codec of T: bytes as they are, a struct with a
// persistence key as its record, anything else as JSON.
func newCodec[T any]() (codec[T], error) {
	t := reflect.TypeFor[T]()
	if t == reflect.TypeFor[[]byte]() {
		return codec[T]{
			encode: func(v *T) ([]byte, error) { return *any(v).(*[]byte), nil },
			decode: func(data []byte, v *T) error { *any(v).(*[]byte) = data; return nil },
			shares: true,
		}, nil
	}
	if keyed(t) {
		return recordCodec[T](t)
	}
	return codec[T]{
		encode: func(v *T) ([]byte, error) {
			data, err := json.Marshal(v)
			return data, fault.Wrap(fault.ErrInvalid, purpose, "encode", err)
		},
		decode: func(data []byte, v *T) error {
			return fault.Wrap(fault.ErrCorrupt, purpose, "decode", json.Unmarshal(data, v))
		},
	}, nil
}

func recordCodec[T any](t reflect.Type) (codec[T], error) {
	typ, faults := record.Compile(t)
	if len(faults) > 0 {
		return codec[T]{}, fault.Wrap(fault.ErrInvalid, purpose, "new", errors.Join(faults...))
	}
	set := typ.Set(volatileFields(typ))
	return codec[T]{
		encode: func(v *T) ([]byte, error) {
			rv := reflect.ValueOf(v).Elem()
			if err := typ.Validate(rv); err != nil {
				return nil, err
			}
			return set.Append(nil, rv)
		},
		decode: func(data []byte, v *T) error { return set.Decode(data, reflect.ValueOf(v).Elem()) },
	}, nil
}

// keyed reports whether a type is a struct with a field tagged as the key.
func keyed(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for field := range t.Fields() {
		if tag, ok := field.Tag.Lookup(record.Persistence); ok && slices.Contains(strings.Split(tag, ","), "key") {
			return true
		}
		if field.Anonymous && keyed(field.Type) {
			return true
		}
	}
	return false
}

// volatileFields are what a cache keeps of a type: the fields tagged volatile,
// else all that are not tagged for other purposes only; the key in any case.
func volatileFields(typ *record.Type) []*record.Field {
	tagged := false
	for i := range typ.Fields {
		if opts, ok := typ.Fields[i].Purposes[record.Volatile]; ok && !opts.Omit {
			tagged = true
		}
	}
	var fields []*record.Field
	for i := range typ.Fields {
		f := &typ.Fields[i]
		opts, here := f.Purposes[record.Volatile]
		keep := here && !opts.Omit || !here && !tagged && !elsewhere(f)
		if !keep && f != typ.Key {
			continue
		}
		if opts.Name != "" {
			renamed := *f
			renamed.Name = opts.Name
			f = &renamed
		}
		fields = append(fields, f)
	}
	return fields
}

// elsewhere reports whether a field is tagged for some purpose.
func elsewhere(f *record.Field) bool {
	for _, opts := range f.Purposes {
		if !opts.Omit {
			return true
		}
	}
	return false
}
