package envelope

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// -update writes the golden envelopes anew. It is for a new format only: those
// of a format that programs have written are never changed.
var update = flag.Bool("update", false, "write the golden envelopes anew")

// goldens are envelopes as programs of format 1 have written them.
var goldens = map[string]Envelope{
	"minimal": {Kind: "k", Key: "1", Accepted: time.UnixMicro(0).UTC(), Body: []byte{}, Tasks: []Task{}},
	"checkin": {
		ID: ID{0, 3, 93, 1, 59, 55, 227, 232, 1, 2, 3, 4, 5, 6, 7, 8}, Kind: "checkin", Key: "c1",
		Version: 1767225600000000, Tie: 0x0123456789abcdef, Token: "request-17", Shape: 0xfedcba9876543210,
		Accepted: time.Date(2026, 1, 1, 0, 0, 0, 123000, time.UTC), Trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		Body: []byte(`{"id":"c1","user":"ann","venue":"pier"}`),
		Tasks: []Task{
			{Name: "distribute", Class: 1},
			{Name: "badges", Attempts: 3, NotBefore: 1767225601000000, Parked: 3, Seen: SeenLate | SeenUnknown, Since: 1767225600500000},
			{Name: "object", Attempts: math.MaxInt32, NotBefore: -1, Parked: 4, Class: 1, Seen: SeenDead},
		},
	},
	"delete": {
		ID: ID{15: 255}, Kind: "user", Key: "käthe \U0001f600", Version: math.MaxInt64, Tie: math.MaxUint64, Delete: true,
		Accepted: time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC), Body: []byte{}, Tasks: []Task{{Name: "row"}},
	},
	"binary": {
		ID: ID{1}, Kind: "blob", Key: strings.Repeat("k", 255), Version: -1, Accepted: time.UnixMicro(1).UTC(),
		Body: bytes.Repeat([]byte{0, 255, '4', 'F', 1}, 100), Tasks: []Task{},
	},
	"replayed": {
		ID: ID{0, 3, 93, 1, 59, 55, 227, 232, 9}, Kind: "checkin", Key: "c1", Version: 1767225600000000, Tie: 7, Shape: 9,
		Accepted: time.Date(2026, 1, 7, 0, 0, 0, 0, time.UTC), First: time.Date(2026, 1, 1, 0, 0, 0, 123000, time.UTC),
		Body: []byte(`{"id":"c1"}`), Tasks: []Task{{Name: "object"}},
	},
}

func goldenPath(name string) string { return filepath.Join("testdata", "format1", name+".envelope") }

func readGolden(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(goldenPath(name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// "An old program and a new one understand each other during a deploy": what
// was written once is read for ever, and written as it was.
func TestGoldenEnvelopes_A27(t *testing.T) {
	for name, want := range goldens {
		t.Run(name, func(t *testing.T) {
			if *update {
				if err := os.MkdirAll(filepath.Dir(goldenPath(name)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(goldenPath(name), want.Append(nil), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			data := readGolden(t, name)
			got, err := Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*got, want) {
				t.Errorf("read as\n%+v, want\n%+v", *got, want)
			}
			if !bytes.Equal(want.Append(nil), data) {
				t.Errorf("written otherwise than the golden envelope:\n%x\n%x", want.Append(nil), data)
			}
		})
	}
	names, err := filepath.Glob(filepath.Join("testdata", "format1", "*.envelope"))
	if err != nil || len(names) != len(goldens) {
		t.Errorf("%d golden envelopes lie in testdata, %d are known: %v", len(names), len(goldens), err)
	}
}

// sealed gives bytes their checksum.
func sealed(data []byte) []byte {
	sum := crc32.Update(crc32.Checksum(data[headLen:], castagnoli), castagnoli, data[:4])
	binary.BigEndian.PutUint32(data[4:], sum)
	return data
}

// "Fields that a later format appends after the tasks are skipped."
func TestFieldsOfALaterProgramAreSkipped(t *testing.T) {
	want := goldens["checkin"]
	got, err := Decode(sealed(append(want.Append(nil), "and more that is not known yet"...)))
	if err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("read as %+v, %v", got, err)
	}
}

// "Unknown formats are refused with fault.ErrUnsupported, never guessed at."
func TestALaterFormatIsRefused_A27(t *testing.T) {
	want := goldens["checkin"]
	for format := 0; format < 256; format++ {
		data := want.Append(nil)
		data[2] = byte(format)
		_, err := Decode(sealed(data))
		if format == Format && err != nil || format != Format && !errors.Is(err, fault.ErrUnsupported) {
			t.Fatalf("format %d: %v", format, err)
		}
	}
}

// A torn envelope is never taken for a whole one: every length is tried.
func TestTornEnvelopesAreDetected_A8(t *testing.T) {
	for name := range goldens {
		data := readGolden(t, name)
		for n := range data {
			if _, err := Decode(data[:n]); !errors.Is(err, fault.ErrCorrupt) {
				t.Fatalf("%s: %d of %d bytes: %v, want corrupt", name, n, len(data), err)
			}
			torn := append(append([]byte(nil), data[:n]...), make([]byte, len(data)-n)...) // as after a power cut
			if _, err := Decode(torn); err == nil && !bytes.Equal(torn, data) {
				t.Fatalf("%s: zeros from byte %d on were not detected", name, n)
			}
		}
	}
}

// A flipped bit is always detected: every one is tried, and every two next to
// each other.
func TestFlippedBitsAreDetected_A9(t *testing.T) {
	for name := range goldens {
		data := readGolden(t, name)
		for bit := range 8 * len(data) {
			for _, width := range []int{1, 2, 9} {
				flipped := append([]byte(nil), data...)
				for b := bit; b < min(bit+width, 8*len(data)); b++ {
					flipped[b/8] ^= 1 << (b % 8)
				}
				_, err := Decode(flipped)
				if !errors.Is(err, fault.ErrCorrupt) && !errors.Is(err, fault.ErrUnsupported) {
					t.Fatalf("%s: %d bits from bit %d on: %v, want an error", name, width, bit, err)
				}
			}
		}
	}
}

// The result shares no memory with what it was read from.
func TestDecodeCopies(t *testing.T) {
	want := goldens["checkin"]
	data := want.Append(nil)
	got, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("changed with its source: %+v", got)
	}
}

// Append appends, and what stood before stays.
func TestAppendAppends(t *testing.T) {
	want := goldens["checkin"]
	data := want.Append([]byte("before"))
	got, err := Decode(bytes.TrimPrefix(data, []byte("before")))
	if err != nil || !bytes.HasPrefix(data, []byte("before")) || !reflect.DeepEqual(*got, want) {
		t.Errorf("read as %+v, %v", got, err)
	}
}

// hostile are envelopes with an intact checksum whose lengths lie.
func hostile() map[string][]byte {
	e := goldens["checkin"]
	at := func(field string) (int, []byte) {
		data := e.Append(nil)
		return bytes.Index(data, []byte(field)) - 1, data
	}
	out := map[string][]byte{}
	for name, length := range map[string]uint64{"a little": 200, "a lot": 1 << 40, "everything": math.MaxUint64, "negative": 1 << 63} {
		for _, field := range []string{"checkin", "c1", "request-17", "distribute"} {
			i, data := at(field)
			lie := binary.AppendUvarint(append([]byte(nil), data[:i]...), length)
			out[field+" claims "+name] = sealed(append(lie, data[i+1:]...))
		}
		// 39 zeros: the id, the version and the digests, and nothing of the rest.
		head := []byte(magic + "\x01\x00\x00\x00\x00\x00")
		tasks := append(append(head, make([]byte, 39)...), binary.AppendUvarint(nil, length)...)
		out["tasks claim "+name] = sealed(tasks)
	}
	i, data := at("checkin")
	endless := append(append([]byte(nil), data[:i]...), bytes.Repeat([]byte{0x80}, 100)...)
	out["a number without an end"] = sealed(endless)
	return out
}

// A forged envelope costs bounded memory: lengths that lie allocate nothing.
func TestLyingLengthsCostNothing(t *testing.T) {
	for name, data := range hostile() {
		if e, err := Decode(data); !errors.Is(err, fault.ErrCorrupt) {
			t.Errorf("%s: %+v, %v; want corrupt", name, e, err)
		}
		bytesPer := testing.AllocsPerRun(10, func() { _, _ = Decode(data) })
		if bytesPer > 40 {
			t.Errorf("%s: %v allocations", name, bytesPer)
		}
	}
	many := binary.AppendUvarint(nil, 1<<40)
	if _, err := DecodeTasks(many); !errors.Is(err, fault.ErrCorrupt) {
		t.Errorf("progress with 1<<40 tasks: %v", err)
	}
}

// Every envelope comes back as it was.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := draw(t)
		got, err := Decode(want.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(*got, want) {
			t.Fatalf("read as\n%+v, want\n%+v", *got, want)
		}
		tasks, err := DecodeTasks(AppendTasks(nil, want.Tasks))
		if err != nil || !reflect.DeepEqual(tasks, want.Tasks) {
			t.Fatalf("progress read as %+v, %v", tasks, err)
		}
	})
}

func draw(t *rapid.T) Envelope {
	text := rapid.StringN(0, 200, 400)
	e := Envelope{
		Kind: text.Draw(t, "kind"), Key: text.Draw(t, "key"), Token: text.Draw(t, "token"), Trace: text.Draw(t, "trace"),
		Version: rapid.Int64().Draw(t, "version"), Tie: rapid.Uint64().Draw(t, "tie"), Shape: rapid.Uint64().Draw(t, "shape"),
		Accepted: time.UnixMicro(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "accepted")).UTC(),
		Delete:   rapid.Bool().Draw(t, "delete"), Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body"), Tasks: []Task{},
	}
	if rapid.Bool().Draw(t, "replayed") {
		e.First = time.UnixMicro(rapid.Int64Range(-1<<50, 1<<50).Draw(t, "first")).UTC()
	}
	copy(e.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	for range rapid.IntRange(0, 8).Draw(t, "tasks") {
		e.Tasks = append(e.Tasks, Task{
			Name: text.Draw(t, "task"), Attempts: rapid.IntRange(0, math.MaxInt32).Draw(t, "attempts"),
			NotBefore: rapid.Int64().Draw(t, "not before"), Parked: rapid.Byte().Draw(t, "parked"),
			Class: rapid.Byte().Draw(t, "class"), Seen: rapid.Byte().Draw(t, "seen"), Since: rapid.Int64().Draw(t, "since"),
		})
	}
	return e
}

func TestIDs(t *testing.T) {
	id := goldens["checkin"].ID
	back, ok := ParseID(id.String())
	if !ok || back != id || len(id.String()) != 32 {
		t.Errorf("%v came back as %v, %v", id, back, ok)
	}
	for _, bad := range []string{"", "zz", id.String() + "00", strings.Repeat("g", 32), id.String()[:31]} {
		if _, ok := ParseID(bad); ok {
			t.Errorf("%q was taken for an id", bad)
		}
	}
}

// FuzzDecode: whatever bytes come from a queue, Decode does not panic, gives an
// error of its two classes or an envelope that it reads the same again, and
// makes no more of them than they are.
func FuzzDecode(f *testing.F) {
	for name := range goldens {
		f.Add(readGolden(f, name))
	}
	for _, data := range hostile() {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, input := range [][]byte{data, reseal(data)} {
			e, err := Decode(input)
			if err != nil {
				if !errors.Is(err, fault.ErrCorrupt) && !errors.Is(err, fault.ErrUnsupported) || e != nil {
					t.Fatalf("%v, %v", e, err)
				}
				continue
			}
			if len(e.Body)+len(e.Kind)+len(e.Key)+len(e.Token)+len(e.Trace) > len(input) || len(e.Tasks) > len(input) {
				t.Fatalf("%d bytes became more: %+v", len(input), e)
			}
			again, err := Decode(e.Append(nil))
			if err != nil || !reflect.DeepEqual(e, again) {
				t.Fatalf("written and read again: %+v, %v; was %+v", again, err, e)
			}
		}
	})
}

// reseal gives damaged bytes a checksum that fits, so that the fuzzer comes
// behind it.
func reseal(data []byte) []byte {
	if len(data) < headLen {
		return data
	}
	out := append([]byte(nil), data...)
	copy(out, magic)
	out[2] = Format
	return sealed(out)
}

// FuzzDecodeTasks: the same for the progress of an outbox row.
func FuzzDecodeTasks(f *testing.F) {
	for name := range goldens {
		f.Add(AppendTasks(nil, goldens[name].Tasks))
	}
	f.Add(binary.AppendUvarint(nil, 1<<40))
	f.Fuzz(func(t *testing.T, data []byte) {
		tasks, err := DecodeTasks(data)
		if err != nil {
			if !errors.Is(err, fault.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again, err := DecodeTasks(AppendTasks(nil, tasks))
		if err != nil || !reflect.DeepEqual(tasks, again) || len(tasks) > len(data) {
			t.Fatalf("written and read again: %+v, %v; was %+v", again, err, tasks)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	e := goldens["checkin"]
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = e.Append(buf[:0])
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecode(b *testing.B) {
	e := goldens["checkin"]
	data := e.Append(nil)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
