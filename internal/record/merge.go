package record

import (
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Merge returns one JSON object with the properties of several, each from the
// body in which it is newest (bodies newest first). Properties stand in the
// order of their first appearance; of a name that one body has twice the last
// one counts, as in Decode. The result shares no memory with the bodies. A body that is not a JSON object is
// fault.ErrCorrupt.
func Merge(bodies ...[]byte) ([]byte, error) {
	type property struct {
		value []byte
		body  int
	}
	var order []string
	found := map[string]property{}
	size := 2
	for i, body := range bodies {
		size += len(body)
		err := Properties(body, func(name string, value []byte) error {
			old, there := found[name]
			if !there {
				order = append(order, name)
			}
			if !there || old.body == i {
				found[name] = property{value, i}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	out := append(make([]byte, 0, size), '{')
	for i, name := range order {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendString(out, name), ':')
		out = append(out, found[name].value...)
	}
	return append(out, '}'), nil
}

// Properties calls each for every top-level property of a JSON object, in
// order, with its raw value, which is a part of data, until each returns an
// error. Data is checked on the way: anything but one JSON object is
// fault.ErrCorrupt.
func Properties(data []byte, each func(name string, value []byte) error) error {
	d := newDecoder(data)
	if err := d.enter('{'); err != nil {
		return refused(fault.ErrCorrupt, "read", "object", err)
	}
	for first := true; ; first = false {
		name, more, err := d.name(first)
		if err != nil {
			return refused(fault.ErrCorrupt, "read", "object", err)
		}
		if !more {
			break
		}
		key := string(name)
		value, err := d.skip()
		if err != nil {
			return refused(fault.ErrCorrupt, "read", "object", within(err, printable(key)))
		}
		if err := each(key, value); err != nil {
			return err
		}
	}
	if err := d.end(); err != nil {
		return refused(fault.ErrCorrupt, "read", "object", err)
	}
	return nil
}

// Pick returns the properties of a JSON object that kept maps to names, under
// those names, and the names. Anything but one JSON object is fault.ErrCorrupt.
func Pick(body []byte, kept map[string]string) (picked []byte, names []string, err error) {
	picked = append(make([]byte, 0, len(body)), '{')
	err = Properties(body, func(name string, value []byte) error {
		to, ok := kept[name]
		if !ok {
			return nil
		}
		if len(names) > 0 {
			picked = append(picked, ',')
		}
		picked = append(append(appendString(picked, to), ':'), value...)
		names = append(names, to)
		return nil
	})
	return append(picked, '}'), names, err
}
