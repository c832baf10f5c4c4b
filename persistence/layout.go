package persistence

import (
	"encoding"
	"encoding/binary"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// rowOf is the row of a transactional default write. obj is nil for a delete.
func (t *task) rowOf(obj any, stamp transactional.Stamp, deleted bool, key string) (transactional.Row, error) {
	row := transactional.Row{ID: key, Stamp: stamp, Deleted: deleted}
	if deleted {
		return row, nil
	}
	var err error
	row.Values, err = t.set.Values(value(obj))
	return row, err
}

// cellOf is the cell of an amorphous default write. body is the encoded object
// of the envelope, which serves as it is where the write stores all of it; obj
// is nil for a delete. Its order lies in room, as in place.
func (t *task) cellOf(obj any, body []byte, stamp amorphous.Stamp, deleted bool, key string, accepted time.Time, room []byte) (amorphous.Row, error) {
	cell := amorphous.Row{ID: key, Stamp: stamp, Deleted: deleted}
	if t.partition == nil {
		cell.Partition = key
	}
	if deleted {
		return cell, nil // a placed row is found by its ID
	}
	if t.partition != nil {
		var err error
		if cell.Partition, cell.Order, err = t.place(obj, room); err != nil {
			return cell, err
		}
	}
	cell.Expires = t.ends(obj, accepted)
	var err error
	cell.Shape = t.set.Shape
	cell.Body, err = t.encode(nil, obj, body)
	return cell, err
}

// ends is when the row of an object is over; zero: never.
func (t *task) ends(obj any, accepted time.Time) time.Time {
	switch {
	case t.ttl > 0:
		return accepted.Add(t.ttl)
	case t.expires != nil:
		return value(obj).FieldByIndex(t.expires.Index).Interface().(time.Time)
	}
	return time.Time{}
}

// encode appends what the task's default write stores of an object, whose
// whole encoding is body.
func (t *task) encode(buf []byte, obj any, body []byte) ([]byte, error) {
	if !t.whole {
		return t.set.Append(buf, value(obj))
	}
	if buf == nil {
		return body, nil
	}
	return append(buf, body...), nil
}

// shapeLen is the length of the shape in front of a cached body: a program
// that knows other properties must not take the entry for its own.
const shapeLen = 8

// cacheOf is the value of a cache entry: the shape, and the object.
func (t *task) cacheOf(obj any, body []byte) ([]byte, error) {
	buf := make([]byte, 0, shapeLen+len(body))
	return t.encode(binary.BigEndian.AppendUint64(buf, t.set.Shape), obj, body)
}

// uncache fills obj from the value of a cache entry; ok is false for an entry
// of another shape.
func (t *task) uncache(entry []byte, obj any) (ok bool, err error) {
	if len(entry) < shapeLen || binary.BigEndian.Uint64(entry) != t.set.Shape {
		return false, nil
	}
	err = t.set.Decode(entry[shapeLen:], value(obj))
	return err == nil, err
}

// cacheKey is the key of the cached object.
func (k *kind) cacheKey(key string) string { return k.cachePrefix + key }

// partKey is the key of the volatile part of an object that the task holds.
func (t *task) partKey(k *kind, key string) string { return k.table + "." + t.name + ":" + key }

// place returns where a row of the task's layout lies. It is fault.ErrTooLarge
// when a store could not name the place, so Put asks before it accepts. The order
// lies in room, if that is not nil.
func (t *task) place(obj any, room []byte) (partition string, order []byte, err error) {
	v := value(obj)
	if partition, err = record.Text(v.FieldByIndex(t.partition.Index)); err != nil {
		return "", nil, err
	}
	partition = partitionName(partition)
	if t.newest != nil {
		at := v.FieldByIndex(t.newest.Index)
		if room == nil {
			room = make([]byte, 0, 16)
		}
		if order, err = record.AppendOrder(room, at, true); err != nil {
			return "", nil, err
		}
		if t.bucket > 0 {
			partition = bucketName(partition, t.bucketOf(at.Interface().(time.Time)))
		}
	}
	switch {
	case len(partition) > amorphous.MaxKey:
		err = tooLong(t.partition, len(partition), amorphous.MaxKey)
	case strings.IndexByte(partition, 0) >= 0:
		err = fault.New(fault.ErrInvalid, "amorphous", "place", "the field "+t.partition.Go+" has a NUL byte, which no partition takes")
	case len(order) > amorphous.MaxOrder:
		err = tooLong(t.newest, len(order), amorphous.MaxOrder)
	}
	return partition, order, err
}

func tooLong(f *record.Field, size, most int) error {
	return fault.New(fault.ErrTooLarge, "amorphous", "place",
		fmt.Sprintf("the field %s is %d bytes long where it names a place, and %d is the most", f.Go, size, most))
}

// escaped begins the name of a partition that would be empty, or begin with
// this byte itself.
const escaped = "\x1e"

// partitionName makes a name of a text that may be empty, injectively.
func partitionName(text string) string {
	if text == "" || text[0] == escaped[0] {
		return escaped + text
	}
	return text
}

// between stands between the name of a partition and the number of a bucket.
const between = "\x1f"

func bucketName(partition string, bucket int64) string {
	return partition + between + strconv.FormatInt(bucket, 10)
}

// bucketOf returns the number of the bucket that a time falls into.
func (t *task) bucketOf(at time.Time) int64 {
	micros, width := at.UnixMicro(), t.bucket.Microseconds()
	number := micros / width
	if micros%width < 0 {
		number--
	}
	return number
}

// setKey fills the key field from the id of a row.
func (k *kind) setKey(obj any, id string) error {
	if isDocument(k.typ) {
		return nil // it stands in the document
	}
	v := value(obj).FieldByIndex(k.typ.Key.Index)
	var err error
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		err = u.UnmarshalText([]byte(id))
	} else {
		err = setText(v, id)
	}
	if err != nil {
		return &fault.Error{Op: "decode", Kind: k.name, Key: id, Class: fault.ErrCorrupt, Err: fmt.Errorf("the key does not fit %s: %w", k.typ.Key.Go, err)}
	}
	return nil
}

func setText(v reflect.Value, s string) error {
	switch {
	case v.CanInt():
		n, err := strconv.ParseInt(s, 10, v.Type().Bits())
		v.SetInt(n)
		return err
	case v.CanUint():
		n, err := strconv.ParseUint(s, 10, v.Type().Bits())
		v.SetUint(n)
		return err
	}
	v.SetString(s)
	return nil
}

// setVersion fills the version field from a stamp.
func (k *kind) setVersion(obj any, version int64) {
	if k.typ.Version != nil {
		value(obj).FieldByIndex(k.typ.Version.Index).SetInt(version)
	}
}
