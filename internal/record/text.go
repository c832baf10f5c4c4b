package record

import (
	"encoding/base64"
	"reflect"
	"strconv"
	"strings"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// microsecondLayout has a fixed width, so that the texts of times sort as the
// times do.
const microsecondLayout = "2006-01-02T15:04:05.000000Z"

// Text returns a field's value as the string that stands for it in a partition
// or a key, injective per type: strings as they are, integers and durations in
// decimal, floats in their shortest exact form, bools as true and false, times
// as RFC 3339 in UTC with six digits of microseconds, []byte and byte arrays
// in base64url without padding, types with a text form as that. A nil pointer,
// a NaN, a string that is not UTF-8 and every other type is fault.ErrInvalid.
func Text(v reflect.Value) (string, error) {
	s, err := text(v)
	if err != nil {
		return "", refused(fault.ErrInvalid, "text", nameOf(v), err)
	}
	return s, nil
}

func text(v reflect.Value) (string, error) {
	v, err := plain(v)
	if err != nil {
		return "", err
	}
	t := v.Type()
	switch k := t.Kind(); {
	case t == timeType:
		at, err := normal(timeOf(v))
		return at.Format(microsecondLayout), err
	case isText(t):
		return textOf(addressable(v))
	case k == reflect.String:
		return v.String(), valid(v.String())
	case k == reflect.Bool:
		return strconv.FormatBool(v.Bool()), nil
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10), nil
	case v.CanUint() && k != reflect.Uintptr:
		return strconv.FormatUint(v.Uint(), 10), nil
	case v.CanFloat():
		return strconv.FormatFloat(v.Float()+0, 'g', -1, t.Bits()), finite(v.Float())
	case isBytes(t), isByteArray(t):
		return base64.RawURLEncoding.EncodeToString(addressable(v).Bytes()), nil
	}
	return "", bad("it has no text; use a string, an integer, a time or a bool")
}

// KeyOf returns the key as a string: Text of the key field, or of a Document's
// property "id". An empty key, one with a NUL and one longer than MaxKey is
// fault.ErrInvalid, because not every store takes it.
func (t *Type) KeyOf(v reflect.Value) (string, error) {
	key, where, err := t.key(v)
	if err == nil {
		switch {
		case key == "":
			err = bad("the key is empty")
		case len(key) > MaxKey:
			err = bad("the key has " + strconv.Itoa(len(key)) + " bytes, and " + strconv.Itoa(MaxKey) + " is the most")
		case strings.IndexByte(key, 0) >= 0:
			err = bad("the key has a NUL in it")
		}
	}
	if err != nil {
		return "", refused(fault.ErrInvalid, "key", t.name, within(err, where))
	}
	return key, nil
}

// key returns the text of the key and where it stands.
func (t *Type) key(v reflect.Value) (key, where string, err error) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if !v.IsValid() || v.Type() != t.Go {
		return "", "", bad("the value is not a " + t.name)
	}
	if !t.document() {
		key, err = text(at(v, t.Key.Index))
		return key, t.Key.Go, err
	}
	id, there := asDocument(v)["id"]
	x := reflect.ValueOf(id)
	if !there || !x.IsValid() || x.Kind() != reflect.String && !isInteger(x.Kind()) {
		return "", "id", bad("a Document needs a property \"id\" that is a string or an integer")
	}
	key, err = text(x)
	return key, "id", err
}
