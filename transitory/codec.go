package transitory

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A codec turns the values of one type into bodies and back.
type codec[T any] struct {
	encode func(v *T) ([]byte, error)
	decode func(body []byte, v *T) error
}

// newCodec compiles the codec of T: bytes as they are, a struct with a
// persistence key as its record, anything else as JSON.
func newCodec[T any]() (codec[T], error) {
	t := reflect.TypeFor[T]()
	if t == reflect.TypeFor[[]byte]() {
		return codec[T]{
			encode: func(v *T) ([]byte, error) { return *any(v).(*[]byte), nil },
			decode: func(body []byte, v *T) error { *any(v).(*[]byte) = body; return nil },
		}, nil
	}
	if keyed(t) {
		return recordCodec[T](t)
	}
	return codec[T]{
		encode: func(v *T) ([]byte, error) {
			body, err := json.Marshal(v)
			return body, fault.Wrap(fault.ErrInvalid, "transitory", "encode", err)
		},
		decode: func(body []byte, v *T) error {
			return fault.Wrap(fault.ErrCorrupt, "transitory", "decode", json.Unmarshal(body, v))
		},
	}, nil
}

func recordCodec[T any](t reflect.Type) (codec[T], error) {
	typ, faults := record.Compile(t)
	if len(faults) > 0 {
		return codec[T]{}, fault.Wrap(fault.ErrInvalid, "transitory", "tube", errors.Join(faults...))
	}
	set := typ.Set(carried(typ))
	return codec[T]{
		encode: func(v *T) ([]byte, error) {
			rv := reflect.ValueOf(v).Elem()
			if err := typ.Validate(rv); err != nil {
				return nil, err
			}
			return set.Append(nil, rv)
		},
		decode: func(body []byte, v *T) error { return set.Decode(body, reflect.ValueOf(v).Elem()) },
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

// carried are the fields that travel in a job: all but those that their tag
// keeps out of the queue. A handler sees the object, not only what one store
// keeps of it.
func carried(typ *record.Type) []*record.Field {
	var fields []*record.Field
	for i := range typ.Fields {
		f := typ.Fields[i]
		opts := f.Purposes[record.Transitory]
		if opts.Omit {
			continue
		}
		if opts.Name != "" {
			f.Name = opts.Name
		}
		fields = append(fields, &f)
	}
	return fields
}
