package transactionaltest

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// WeirdStrings are valid UTF-8 that stores have stumbled over.
var WeirdStrings = []string{
	"", " ", "  two  ", "trailing ", "\t", "a\nb", "a\r\nb", "a\x00b", "\x00", "\x7f", "\x01\x1b[31m", "'", `"`, "`", `\`, `\'`, "%", "_",
	"; DROP TABLE ff_outbox; --", "' OR '1'='1", "?", "$1", ":name", "Abc", "abc", "Abc ", "ABC", "é", "e\u0301", "ß", "SS",
	"\u202eabc\u202c", "שלום", "日本語", "😀", "👩‍👩‍👧", "\ufeffbom", "\ufffd", "\U0010ffff", "null", "NULL", "0", "00", "1e3", "true",
	strings.Repeat("x", 250), strings.Repeat("é", 127), strings.Repeat("z", transactional.MaxKey),
}

// object makes a row of everything.
func object(id string, version int64, values ...any) transactional.Write {
	return transactional.Write{Table: everything, Row: transactional.Row{ID: id, Stamp: transactional.Stamp{Version: version}, Values: values}}
}

func testValues(t *testing.T, h Harness) {
	h.run(t, "Extremes", testExtremes)
	h.run(t, "Strings", func(e *env) {
		for i, s := range WeirdStrings {
			id := fmt.Sprint(i)
			e.must(writes(object(id, 1, nil, nil, nil, nil, s, []byte(s), nil, s)))
			e.same(fmt.Sprintf("a text comes back byte for byte: %q", s), e.row(everything, id).Values,
				[]any{nil, nil, nil, nil, s, []byte(s), nil, []byte(s)})
		}
	})
	h.run(t, "Property", func(e *env) {
		n := 0
		rapid.Check(e.T, func(t *rapid.T) {
			n++
			values := []any{
				rapid.Int64().Draw(t, "i"), rapid.Uint64().Draw(t, "u"),
				rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64).Draw(t, "f"),
				rapid.Bool().Draw(t, "b"), rapid.String().Draw(t, "s"), rapid.SliceOf(rapid.Byte()).Draw(t, "y"),
				time.UnixMicro(rapid.Int64Range(-62135596800000000, 253402300799999999).Draw(t, "t")).UTC(),
				[]byte(rapid.String().Draw(t, "j")),
			}
			if rapid.Bool().Draw(t, "null") {
				values[rapid.IntRange(0, len(values)-1).Draw(t, "which")] = nil
			}
			id := fmt.Sprint("row", n)
			if _, err := e.store.Apply(background(), writes(object(id, 1, values...))); err != nil {
				t.Fatal(err)
			}
			rows, err := e.store.Read(background(), everything, id)
			if err != nil || len(rows) != 1 || !equalValues(rows[0].Values, values) {
				t.Fatalf("values come back exactly: %v\n got %#v\nwant %#v", err, rows, values)
			}
		})
	})
	h.run(t, "Aliasing", func(e *env) {
		body, progress, bytes := []byte("body"), []byte("progress"), []byte("bytes")
		r := e.record("lane", 1)
		r.Body, r.Progress = body, progress
		e.must(&transactional.Unit{Writes: []transactional.Write{object("a", 1, nil, nil, nil, nil, nil, bytes, nil, nil)}, Add: []transactional.Record{r}})
		for _, b := range [][]byte{body, progress, bytes} {
			b[0] = 'X'
		}
		got, _, err := e.store.Find(e.Context(), r.ID)
		e.nil("find", err)
		got.Body[0] = 'Y'
		again, _, err := e.store.Find(e.Context(), r.ID)
		e.nil("find", err)
		e.same("the store keeps no slice of its caller's, and gives none away", string(again.Body)+string(again.Progress), "bodyprogress")
		e.same("the store keeps no slice of its caller's", e.row(everything, "a").Values[5], any([]byte("bytes")))
	})
}

func equalValues(got, want []any) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if b, ok := want[i].([]byte); ok {
			g, ok := got[i].([]byte)
			if b == nil {
				if got[i] != nil {
					return false
				}
			} else if !ok || !bytes.Equal(b, g) {
				return false
			}
			continue
		}
		if f, ok := want[i].(float64); ok && math.Float64bits(f+0) != math.Float64bits(got[i].(float64)) {
			return false // a negative zero comes back as zero
		}
		if !reflect.DeepEqual(got[i], want[i]) {
			return false
		}
	}
	return true
}

func testExtremes(e *env) {
	day := time.Date(2026, 2, 28, 23, 59, 59, 999999000, time.UTC)
	for i, values := range [][]any{
		{nil, nil, nil, nil, nil, nil, nil, nil},
		{int64(0), uint64(0), 0.0, false, "", []byte{}, time.Time{}, []byte("")},
		{int64(math.MaxInt64), uint64(math.MaxUint64), math.MaxFloat64, true, "x", []byte{0, 255}, day, []byte(`{"a": 1.0,"a":2}`)},
		{int64(math.MinInt64), uint64(1 << 63), -math.MaxFloat64, true, "\x00", []byte{0}, day.AddDate(-3000, 0, 0), []byte("null")},
		{int64(-1), uint64(1<<63 - 1), math.SmallestNonzeroFloat64, false, "\U0010ffff", []byte(nil), time.UnixMicro(-1).UTC(), []byte("not json at all")},
		{int64(1<<53 + 1), uint64(1<<53 + 1), math.Copysign(0, -1), true, "ä", []byte("ä"), day.Add(-day.Sub(time.UnixMicro(1))), []byte("[]")},
		{int64(1), uint64(10_000_000_000_000_000_000), 0.1, true, strings.Repeat("long ", 20_000), bytes.Repeat([]byte{7}, 200_000), day, bytes.Repeat([]byte("9"), 100_000)},
	} {
		id := fmt.Sprint(i)
		e.must(writes(object(id, 1, values...)))
		if got := e.row(everything, id).Values; !equalValues(got, values) {
			e.Errorf("values come back exactly:\n got %#v\nwant %#v", got, values)
		}
	}
	e.must(writes(object("text", 1, nil, nil, nil, nil, nil, nil, nil, `{"s":1}`)))
	e.same("JSON may be written as a string, and is read as bytes", e.row(everything, "text").Values[7], any([]byte(`{"s":1}`)))
	at := time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.FixedZone("CET", 3600))
	e.must(writes(object("time", 1, nil, nil, nil, nil, nil, nil, at, nil)))
	e.same("times are UTC in microseconds", e.row(everything, "time").Values[6], any(at.UTC().Truncate(time.Microsecond)))
}

func testIdentity(t *testing.T, h Harness) {
	names := append([]string{"Abc  ", "abc\x00", "a", "A", "ａ", "\xff\xfe", "\x80", "a\xffb"}, WeirdStrings...)
	h.run(t, "Rows", func(e *env) {
		var u transactional.Unit
		for i, id := range names {
			if id != "" {
				u.Writes = append(u.Writes, thing(id, 1, int64(i), newest))
			}
		}
		e.must(&u)
		for i, id := range names {
			if id == "" {
				continue
			}
			row := e.row(things, id)
			if row == nil || row.ID != id || row.Values[0] != int64(i) {
				e.Errorf("ids are any bytes, and equal only when their bytes are: %q is %+v, want n=%d", id, row, i)
			}
		}
	})
	h.run(t, "Letters", func(e *env) {
		for _, id := range names {
			if id != "" {
				e.must(&transactional.Unit{Bury: []transactional.DeadLetter{{ID: id, Kind: "k", Task: id, Key: id, Reason: id, Detail: id}}})
			}
		}
		counts, err := e.store.CountDead(e.Context())
		e.nil("count", err)
		e.same("dead letters are told apart bytewise", len(counts), len(names)-1)
	})
	h.run(t, "Lanes", func(e *env) {
		lanes := []string{"lane", "Lane", "lane ", "läne", "lane\x00"}
		want := map[string]transactional.RecordID{}
		for _, lane := range lanes {
			r := e.record(lane, 1)
			r.Token, r.Remember = lane, time.Hour
			r.Key, r.Kind = lane, lane
			e.must(adds(r))
			want[lane] = r.ID
		}
		for _, lane := range lanes {
			got := e.claim(1, 10, lane)
			e.same(fmt.Sprintf("lanes, kinds, keys and tokens are told apart bytewise: %q", lane), ids(got), []transactional.RecordID{want[lane]})
			if len(got) == 1 {
				e.same("a record's names come back byte for byte", [4]string{got[0].Lane, got[0].Key, got[0].Kind, got[0].Token}, [4]string{lane, lane, lane, lane})
			}
		}
	})
}

const early = "faulty input is refused before anything is sent"

func testRefusals(t *testing.T, h Harness) {
	h.run(t, "Rows", testRefusalsRows)
	h.run(t, "Records", testRefusalsRecords)
	h.run(t, "Tables", testRefusalsTables)
}

func testRefusalsRows(e *env) {
	good := []any{nil, nil, nil, nil, nil, nil, nil, nil}
	with := func(i int, v any) []any {
		values := append([]any{}, good...)
		values[i] = v
		return values
	}
	for _, w := range []transactional.Write{
		object("", 1, good...), object(strings.Repeat("x", transactional.MaxKey+1), 1, good...),
		object("a", 1, good[1:]...), object("a", 1, append(good, nil)...),
		object("a", 1, with(0, "1")...), object("a", 1, with(0, 1)...), object("a", 1, with(1, int64(1))...),
		object("a", 1, with(2, math.NaN())...), object("a", 1, with(2, math.Inf(1))...), object("a", 1, with(3, int64(1))...),
		object("a", 1, with(4, "\xff")...), object("a", 1, with(4, []byte("x"))...), object("a", 1, with(5, "x")...),
		object("a", 1, with(6, int64(1))...), object("a", 1, with(7, "\xff")...), object("a", 1, with(7, struct{}{})...),
		{Table: everything, Mode: 9, Row: transactional.Row{ID: "a", Values: good}}, {Row: transactional.Row{ID: "a"}},
	} {
		e.fails(early, writes(thing("other", 1, 1, newest), w), fault.ErrInvalid)
	}
	e.lacks("a unit with one faulty write writes nothing", "other")
	f := e.store.Features()
	if f.MaxRow > 0 && f.MaxRow <= 128<<20 {
		e.fails("a row over MaxRow is ErrTooLarge", writes(object("a", 1, with(5, make([]byte, f.MaxRow+1))...)), fault.ErrTooLarge)
	}
}

func testRefusalsRecords(e *env) {
	long := strings.Repeat("x", transactional.MaxKey+1)
	for _, change := range []func(*transactional.Record){
		func(r *transactional.Record) { r.ID = transactional.RecordID{} }, func(r *transactional.Record) { r.Kind = "" },
		func(r *transactional.Record) { r.Kind = long }, func(r *transactional.Record) { r.Key = long },
		func(r *transactional.Record) { r.Lane = "" }, func(r *transactional.Record) { r.Lane = long },
		func(r *transactional.Record) { r.Token = long }, func(r *transactional.Record) { r.Owner = 1 },
		func(r *transactional.Record) { r.Orders = []transactional.Order{{Task: long}} },
		func(r *transactional.Record) { r.Orders = []transactional.Order{{Key: long}} },
	} {
		r := e.record("lane", 1)
		change(&r)
		e.fails(early, adds(r), fault.ErrInvalid)
	}
	e.fails(early, settles(transactional.Settlement{ID: e.id(), Done: true}), fault.ErrInvalid)
	e.fails(early, settles(transactional.Settlement{ID: e.id(), Owner: 1}), fault.ErrInvalid)
	e.fails(early, &transactional.Unit{Bury: []transactional.DeadLetter{{ID: ""}}}, fault.ErrInvalid)
	for _, r := range []transactional.ClaimRequest{
		{Lanes: []string{"l"}, Max: 1, Lease: 1}, {Lanes: []string{"l"}, Max: 1, Owner: 1}, {Lanes: []string{""}, Max: 1, Owner: 1, Lease: 1},
	} {
		_, err := e.store.Claim(e.Context(), r)
		e.class(early, err, fault.ErrInvalid)
	}
}

func testRefusalsTables(e *env) {
	column := transactional.Column{Name: "c", Type: transactional.Int}
	for _, table := range []*transactional.Table{
		{Name: "", Columns: []transactional.Column{column}}, {Name: "a b"}, {Name: "a`b"}, {Name: `a"b`}, {Name: "1a"}, {Name: strings.Repeat("x", 47)},
		{Name: "t", Columns: []transactional.Column{{Name: "c`", Type: transactional.Int}}}, {Name: "t", Columns: []transactional.Column{column, {Name: "C", Type: transactional.Int}}},
		{Name: "t", Columns: []transactional.Column{{Name: "c"}}}, {Name: "t", Index: [][]string{{"c"}}}, {Name: "t", Unique: [][]string{{}}}, nil,
	} {
		e.class(early, e.store.Prepare(e.Context(), table), fault.ErrInvalid)
		if table != nil {
			e.same("a faulty declaration has no schema", e.store.Schema(table), []string(nil))
		}
	}
}
