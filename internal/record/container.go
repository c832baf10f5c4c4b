package record

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
)

type (
	sliceCodec struct {
		elem codec
		size int // bytes of an element
		step int // elements to make room for at least
	}
	arrayCodec   struct{ elem codec }
	pointerCodec struct {
		elem codec
		size int // bytes of what it points to
	}
	mapCodec struct {
		elem codec
		size int // bytes of an entry
	}
)

func (c *sliceCodec) append(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if v.IsNil() {
		return append(b, "null"...), nil
	}
	return appendElements(b, v, c.elem, depth)
}

// appendElements appends the elements of a slice or an array.
func appendElements(b []byte, v reflect.Value, elem codec, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return b, tooDeep()
	}
	var err error
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = elem.append(b, v.Index(i), depth+1); err != nil {
			return b, within(err, element(i))
		}
	}
	return append(b, ']'), nil
}

// decode makes a slice of its own, so that nothing that shares the old one
// changes.
func (c *sliceCodec) decode(d *decoder, v reflect.Value) error {
	v.SetZero()
	if d.null() {
		return nil
	}
	if err := d.enter('['); err != nil {
		return err
	}
	for n := 0; ; n++ {
		more, err := d.more(']', n == 0)
		if err != nil {
			return err
		}
		if !more {
			if n == 0 {
				v.Set(reflect.MakeSlice(v.Type(), 0, 0))
			}
			return nil
		}
		if err := d.charge(c.size); err != nil {
			return err
		}
		if n == v.Cap() {
			v.Grow(c.step)
		}
		v.SetLen(n + 1)
		if err := c.elem.decode(d, v.Index(n)); err != nil {
			return within(err, element(n))
		}
	}
}

func (c arrayCodec) append(b []byte, v reflect.Value, depth int) ([]byte, error) {
	return appendElements(b, v, c.elem, depth)
}

func (c arrayCodec) decode(d *decoder, v reflect.Value) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	if err := d.enter('['); err != nil {
		return err
	}
	for n := 0; ; n++ {
		more, err := d.more(']', n == 0)
		if err != nil {
			return err
		}
		if more == (n == v.Len()) {
			return d.fail("the array does not have " + strconv.Itoa(v.Len()) + " elements")
		}
		if !more {
			return nil
		}
		if err := c.elem.decode(d, v.Index(n)); err != nil {
			return within(err, element(n))
		}
	}
}

func (c *pointerCodec) append(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if v.IsNil() {
		return append(b, "null"...), nil
	}
	return c.elem.append(b, v.Elem(), depth)
}

func (c *pointerCodec) decode(d *decoder, v reflect.Value) error {
	if d.null() {
		v.SetZero()
		return nil
	}
	if err := d.charge(c.size); err != nil {
		return err
	}
	p := reflect.New(v.Type().Elem())
	v.Set(p)
	return c.elem.decode(d, p.Elem())
}

// An entry is a key of a map and its text in the JSON object.
type entry struct {
	text string
	key  reflect.Value
}

func (c *mapCodec) append(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if v.IsNil() {
		return append(b, "null"...), nil
	}
	if depth > MaxDepth {
		return b, tooDeep()
	}
	var err error
	value := reflect.New(v.Type().Elem()).Elem()
	b = append(b, '{')
	for i, e := range sortedEntries(v) {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendValidString(b, e.text); err != nil {
			return b, within(err, "[key]")
		}
		b = append(b, ':')
		value.Set(v.MapIndex(e.key))
		if b, err = c.elem.append(b, value, depth+1); err != nil {
			return b, within(err, "[…]")
		}
	}
	return append(b, '}'), nil
}

// sortedEntries lists the keys of a map in the order of their text, so that
// the same map has the same bytes.
func sortedEntries(v reflect.Value) []entry {
	entries := make([]entry, 0, v.Len())
	for _, key := range v.MapKeys() {
		entries = append(entries, entry{keyText(key), key})
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.text, b.text) })
	return entries
}

// keyText is the text of a map's key, a string or an integer.
func keyText(key reflect.Value) string {
	switch {
	case key.Kind() == reflect.String:
		return key.String()
	case key.CanInt():
		return strconv.FormatInt(key.Int(), 10)
	}
	return strconv.FormatUint(key.Uint(), 10)
}

func (c *mapCodec) decode(d *decoder, v reflect.Value) error {
	v.SetZero()
	if d.null() {
		return nil
	}
	if err := d.enter('{'); err != nil {
		return err
	}
	t := v.Type()
	v.Set(reflect.MakeMap(t))
	key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
	for first := true; ; first = false {
		name, more, err := d.name(first)
		if err != nil || !more {
			return err
		}
		if !setKey(key, string(name)) {
			return within(d.fail("the property name is not a key that "+t.Key().String()+" holds"), "[key]")
		}
		if err := d.charge(c.size); err != nil {
			return err
		}
		value.SetZero()
		if err := c.elem.decode(d, value); err != nil {
			return within(err, "[…]")
		}
		v.SetMapIndex(key, value)
	}
}

// setKey is the inverse of keyText; any other spelling of a number is refused,
// so that two properties never are one key.
func setKey(key reflect.Value, text string) bool {
	switch {
	case key.Kind() == reflect.String:
		key.SetString(text)
		return true
	case key.CanInt():
		x, err := strconv.ParseInt(text, 10, key.Type().Bits())
		key.SetInt(x)
		return err == nil && strconv.FormatInt(x, 10) == text
	}
	x, err := strconv.ParseUint(text, 10, key.Type().Bits())
	key.SetUint(x)
	return err == nil && strconv.FormatUint(x, 10) == text
}
