package record

import "reflect"

// rawCodec is the codec of json.RawMessage: any JSON value, kept without white
// space. Nil and null are one value, and come back as nil.
type rawCodec struct{}

func (rawCodec) append(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if v.IsNil() {
		return append(b, "null"...), nil
	}
	d := &decoder{data: v.Bytes(), depth: depth - 1}
	raw, err := d.skip()
	if err == nil {
		err = d.end()
	}
	if err != nil {
		return b, within(err, "its JSON")
	}
	return compact(b, raw), nil
}

func (rawCodec) decode(d *decoder, v reflect.Value) error {
	v.SetZero()
	if d.null() {
		return nil
	}
	raw, err := d.skip()
	if err == nil {
		v.SetBytes(compact(make([]byte, 0, len(raw)), raw))
	}
	return err
}

// compact appends valid JSON without its white space.
func compact(b, raw []byte) []byte {
	inside := false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inside && c == '\\':
			b = append(b, c)
			i++
		case c == '"':
			inside = !inside
		case !inside && c <= ' ':
			continue
		}
		b = append(b, raw[i])
	}
	return b
}
