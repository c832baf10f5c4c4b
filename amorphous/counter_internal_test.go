package amorphous

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Values of dimensions may hold anything, and still name partitions that can
// be told apart and taken apart.
func TestPartsAreInjective(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		of := rapid.SliceOfN(rapid.StringMatching("[a0\x1e\x1f/]{0,5}"), 0, 3).Draw(t, "of")
		p := part{of: joinOf(of), window: rapid.Int64().Draw(t, "window"), shard: rapid.IntRange(0, MaxShards).Draw(t, "shard")}
		parsed, err := parsePart(p.name())
		if err != nil || parsed != p {
			t.Fatalf("%q is %+v, want %+v: %v", p.name(), parsed, p, err)
		}
		if got := splitOf(parsed.of, len(of)); !slices.Equal(got, of) && len(of) > 0 {
			t.Fatalf("%q is %q, want %q", parsed.of, got, of)
		}
	})
}

// FuzzParseTallies: an error, or counts that are written as they were read.
func FuzzParseTallies(f *testing.F) {
	f.Add(AppendTallies(nil, []Tally{{"p", timeOrder(time.Unix(60, 0)), 1}, {"q", nil, -5}}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		tallies, err := ParseTallies(data)
		if err != nil {
			return
		}
		again, err := ParseTallies(AppendTallies(nil, tallies))
		if err != nil || !slices.EqualFunc(tallies, again, func(a, b Tally) bool { return comparePlaces(a, b) == 0 && a.N == b.N }) {
			t.Fatalf("%v became %v: %v", tallies, again, err)
		}
	})
}

// FuzzParseSum: an error, or a sum that is written as it was read.
func FuzzParseSum(f *testing.F) {
	from := timeOrder(time.Unix(3600, 0))
	whole := sealed{from: from, to: timeOrder(time.Unix(7200, 0)), tallies: []Tally{{"p", from, 3}, {"p", timeOrder(time.Unix(3660, 0)), -1}}}
	f.Add(whole.append([]byte{sealSum}))
	f.Add([]byte("s"))
	f.Fuzz(func(t *testing.T, body []byte) {
		sum, err := parseSum(&Row{Partition: "p", Order: from, Body: body})
		if err != nil {
			return
		}
		again, err := parseSum(&Row{Partition: "p", Order: from, Body: sum.append([]byte{sealSum})})
		if err != nil || !bytes.Equal(again.to, sum.to) || !slices.EqualFunc(sum.tallies, again.tallies, func(a, b Tally) bool { return comparePlaces(a, b) == 0 && a.N == b.N }) {
			t.Fatalf("%v became %v: %v", sum, again, err)
		}
	})
}

// What leaves 64 bits is an error, and never another number.
func TestPlus(t *testing.T) {
	const most, least = 1<<63 - 1, -1 << 63
	for _, c := range []struct {
		a, b int64
		ok   bool
	}{{1, 2, true}, {most, 0, true}, {most, 1, false}, {least, 0, true}, {least, -1, false}, {most, least, true}, {least, least, false}} {
		if sum, ok := plus(c.a, c.b); ok != c.ok || ok && sum != c.a+c.b {
			t.Errorf("%d + %d is %d, %v", c.a, c.b, sum, ok)
		}
	}
	if _, err := merged([]Tally{{"p", nil, most}, {"p", nil, 1}}); err == nil || !strings.Contains(err.Error(), "64 bits") {
		t.Errorf("a sum that is too large: %v", err)
	}
}
