package volatile

import (
	"bytes"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// An entry comes back as it was written, under its own key only.
func TestEntryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.StringN(1, 50, -1).Draw(t, "key")
		s := stored{
			Entry: Entry{
				Stamp:   Stamp{rapid.Int64().Draw(t, "version"), rapid.Uint64().Draw(t, "tie")},
				Written: time.UnixMilli(rapid.Int64Range(-1<<40, 1<<45).Draw(t, "written")).UTC(),
				Absent:  rapid.Bool().Draw(t, "absent"),
			},
			lease: rapid.Uint64().Draw(t, "lease"),
		}
		s.hollow = rapid.Bool().Draw(t, "hollow")
		if !s.hollow && !s.Absent {
			s.Value = rapid.SliceOf(rapid.Byte()).Draw(t, "value")
		}
		data := s.encode(key)
		if len(data) > len(s.Value)+entryOverhead {
			t.Fatalf("%d bytes for a value of %d", len(data), len(s.Value))
		}
		var got stored
		if !got.decode(key, data) || !bytes.Equal(got.Value, s.Value) || got.Stamp != s.Stamp || got.Absent != s.Absent ||
			got.hollow != s.hollow || got.lease != s.lease || !got.Written.Equal(s.Written) {
			t.Fatalf("%+v came back as %+v", s, got)
		}
		if new(stored).decode(key+"x", data) {
			t.Fatal("an entry was believed under another key")
		}
	})
}

// Damage of any single bit, and a cut at any byte, are seen.
func TestEntryDamage(t *testing.T) {
	s := stored{Entry: Entry{Value: []byte("value"), Stamp: Stamp{7, 8}, Written: time.UnixMilli(9)}, lease: 10}
	data := s.encode("key")
	for i := range data {
		if new(stored).decode("key", data[:i]) {
			t.Errorf("believed when cut to %d bytes", i)
		}
		for bit := range 8 {
			damaged := bytes.Clone(data)
			damaged[i] ^= 1 << bit
			if new(stored).decode("key", damaged) {
				t.Errorf("believed with bit %d of byte %d flipped", bit, i)
			}
		}
	}
}

// Golden bytes: processes of different releases share a cache.
func TestEntryGolden(t *testing.T) {
	s := stored{Entry: Entry{Value: []byte("v"), Stamp: Stamp{math.MaxInt64, 1}, Written: time.UnixMilli(1700000000000)}}
	want := []byte("\x01\x00\xc4Xd\xf7\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x01\x8b\xcf\xe5\x68\x00v")
	if got := s.encode("k"); !bytes.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestStampOrder(t *testing.T) {
	order := []Stamp{{math.MinInt64, 5}, {-1, 0}, {0, 0}, {0, math.MaxUint64}, {1, 0}, {1, 1}, {math.MaxInt64, 0}}
	for i, a := range order {
		for j, b := range order {
			if a.Less(b) != (i < j) || (a.Compare(b) == 0) != (i == j) {
				t.Errorf("%v and %v are out of order", a, b)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []stored{{}, {Entry: Entry{Value: []byte("v")}}, {Entry: Entry{Absent: true}}, {hollow: true, lease: 1}} {
		f.Add("k", s.encode("k"))
	}
	f.Add("k", []byte("42"))
	f.Fuzz(func(t *testing.T, key string, data []byte) {
		var s, again stored
		if !s.decode(key, data) {
			return
		}
		if !again.decode(key, s.encode(key)) || again.flags() != s.flags() || !bytes.Equal(again.Value, s.Value) {
			t.Errorf("what was decoded, %+v, does not survive encoding", s)
		}
	})
}
