package amorphous

import (
	"bytes"
	"testing"
)

// FuzzEntry: what parses as a registration is written again as it was, and
// nothing else panics.
func FuzzEntry(f *testing.F) {
	rows := []Row{{Partition: "p", Order: []byte{1}, ID: "a"}, {Partition: "q", Order: []byte{1}, ID: "a"}, {Partition: "q", ID: "b"}}
	f.Add(appendPlaces(nil, rows, true))
	f.Add(appendPlaces(nil, nil, false))
	f.Add([]byte{1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := parseEntry(&Row{Order: chunkOrder(3), Body: body})
		if err != nil {
			return
		}
		again := make([]Row, len(e.places))
		for i, at := range e.places {
			again[i] = Row{Partition: at.Partition, Order: at.Order, ID: at.ID}
		}
		written := appendPlaces(nil, again, e.more)
		twice, err := parseEntry(&Row{Order: chunkOrder(3), Body: written})
		if err != nil || len(twice.places) != len(e.places) || twice.more != e.more || e.chunk != 3 {
			t.Fatalf("%x became %x: %v", body, written, err)
		}
		for i := range e.places {
			a, b := e.places[i], twice.places[i]
			if a.Partition != b.Partition || a.ID != b.ID || !bytes.Equal(a.Order, b.Order) {
				t.Fatalf("place %d: %v became %v", i, a, b)
			}
		}
	})
}

// A bucket's splits have names of their own, from which the bucket's is found.
func TestSplitNames(t *testing.T) {
	for _, name := range []string{"ann", "a/b", "a\x1f7", "a\x1f7/2", ""} {
		bucket := bucketName(partitionName(name), -12)
		for split := range uint32(64) {
			at := splitName(bucket, split)
			if whole(at) != bucket {
				t.Errorf("the bucket of %q is %q, want %q", at, whole(at), bucket)
			}
			if got, number, ok := cutBucket(whole(at)); !ok || number != -12 || got != partitionName(name) {
				t.Errorf("%q is bucket %d of %q", at, number, got)
			}
		}
	}
	if _, _, ok := cutBucket("plain/3"); ok || whole("plain/3") != "plain/3" {
		t.Error("a partition without buckets is none")
	}
}
