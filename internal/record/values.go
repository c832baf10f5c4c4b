package record

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Values turns the values of one type into bytes and back, for stores that
// keep nothing but bytes.
type Values[T any] struct {
	Encode func(v *T) ([]byte, error)    // v is left as it is
	Decode func(data []byte, v *T) error // on an error *v may have changed
	Shares bool                          // what is decoded shares memory with data
}

// ValuesOf compiles the Values of T: bytes as they are, a struct with a
// persistence key as its record of the fields that kept returns, anything else
// as JSON. Errors name the store of that purpose; op is what its caller does.
func ValuesOf[T any](purpose, op string, kept func(*Type) []*Field) (Values[T], error) {
	t := reflect.TypeFor[T]()
	if t == reflect.TypeFor[[]byte]() {
		return Values[T]{
			Encode: func(v *T) ([]byte, error) { return *any(v).(*[]byte), nil },
			Decode: func(data []byte, v *T) error { *any(v).(*[]byte) = data; return nil },
			Shares: true,
		}, nil
	}
	if keyed(t) {
		typ, faults := Compile(t)
		if len(faults) > 0 {
			return Values[T]{}, fault.Wrap(fault.ErrInvalid, purpose, op, errors.Join(faults...))
		}
		return recordsOf[T](typ, typ.Set(kept(typ))), nil
	}
	return Values[T]{
		Encode: func(v *T) ([]byte, error) {
			data, err := json.Marshal(v)
			return data, fault.Wrap(fault.ErrInvalid, purpose, "encode", err)
		},
		Decode: func(data []byte, v *T) error {
			return fault.Wrap(fault.ErrCorrupt, purpose, "decode", json.Unmarshal(data, v))
		},
	}, nil
}

func recordsOf[T any](typ *Type, set *Set) Values[T] {
	return Values[T]{
		Encode: func(v *T) ([]byte, error) {
			rv := reflect.ValueOf(v).Elem()
			if err := typ.Validate(rv); err != nil {
				return nil, err
			}
			return set.Append(nil, rv)
		},
		Decode: func(data []byte, v *T) error { return set.Decode(data, reflect.ValueOf(v).Elem()) },
	}
}

// keyed reports whether a type is a struct with a field tagged as the key.
func keyed(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for field := range t.Fields() {
		if tag, ok := field.Tag.Lookup(Persistence); ok && slices.Contains(strings.Split(tag, ","), "key") {
			return true
		}
		if field.Anonymous && keyed(field.Type) {
			return true
		}
	}
	return false
}
