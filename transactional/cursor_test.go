package transactional

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// FuzzCursor: a cursor that is accepted stands for a position that makes the
// same cursor again, or one that means the same; all else is ErrInvalid.
func FuzzCursor(f *testing.F) {
	const tag = 0x01020304
	for _, p := range []position{
		{}, {id: "a\x00"}, {int64(-1), "a"}, {uint64(math.MaxUint64), ""}, {-0.5, "x"}, {true, "x"}, {"text", "id"},
		{[]byte{}, "id"}, {time.UnixMicro(-5).UTC(), "id"},
	} {
		f.Add(p.append(nil, tag))
	}
	f.Add([]byte{1, 2, 3, 4, posText, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseCursor(b, tag)
		if err != nil {
			if !errors.Is(err, fault.ErrInvalid) {
				t.Fatalf("class of %v", err)
			}
			return
		}
		again := p.append(nil, tag)
		q, err := parseCursor(again, tag)
		if f, ok := p.value.(float64); ok && math.IsNaN(f) {
			return
		}
		if err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%x means %+v, again %+v, %v", b, p, q, err)
		}
		if _, err := parseCursor(b, tag+1); err == nil {
			t.Fatal("a cursor of another scan is accepted")
		}
		if len(again) > len(b) || !bytes.HasPrefix(again, b[:5]) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}
