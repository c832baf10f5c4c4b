package amorphoustest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// WeirdStrings are valid partitions and identifiers that stores are known to
// fold, trim, cut or refuse.
var WeirdStrings = []string{
	" ", "a ", " a", "a", "A", "ä", "a\u0308", "ß", "SS", "İ", "ı", "日本語", "🙂", "👩‍👩‍👧", "\u202eright to left",
	"\r\n", "\t", "\x01", "\x1b[31m", "\x7f", "'", "\"", "`", "\\", "%", "_", "?", ";", "--", "/*", "$1", ":x", "{}", "[]",
	"null", "NULL", "true", "0", "00", "1e3", "0x10", "-1", "../..", "/", "a/b", "a\\b", "a:b", "a b", "a\u00a0b", "\ufeff", "\ufffd",
	"' OR '1'='1", "x'; DROP TABLE t; --", strings.Repeat("k", 250), strings.Repeat("k", 251), strings.Repeat("k", 255), strings.Repeat("é", 127),
}

func testValues(t *testing.T, h Harness) {
	for _, placed := range []bool{false, true} {
		name := map[bool]string{false: "Plain", true: "Placed"}[placed]
		tb := h.table(t, placed)
		t.Run(name+"/WeirdKeys", func(t *testing.T) { testWeirdKeys(tb.on(t, tb.store)) })
		t.Run(name+"/WeirdBytes", func(t *testing.T) { testWeirdBytes(tb.on(t, tb.store)) })
		t.Run(name+"/NoAliasing", func(t *testing.T) { testNoAliasing(tb.on(t, tb.store)) })
	}
	t.Run("WeirdPartitions", func(t *testing.T) { testWeirdPartitions(h.table(t, false)) })
	t.Run("OrderSortsBytewise", func(t *testing.T) { testOrderSorts(h.table(t, false)) })
	t.Run("ReadMany", func(t *testing.T) { testReadMany(h.table(t, false)) })
}

func testWeirdKeys(tb *table) {
	var rows []amorphous.Row
	for i, key := range WeirdStrings {
		rows = append(rows, row("keys", "o", key, int64(i+1)))
	}
	tb.must(rows...)
	for _, r := range rows {
		tb.holds(fmt.Sprintf("the ID %q is kept byte for byte and is no other", r.ID), r)
	}
	if got := tb.all(amorphous.Range{Partition: "keys"}); len(got) != len(rows) {
		tb.Errorf("%d rows for %d IDs: some IDs are taken for one another", len(got), len(rows))
	}
}

func testWeirdPartitions(tb *table) {
	var rows []amorphous.Row
	for i, key := range WeirdStrings {
		rows = append(rows, row(key, "o", "id", int64(i+1)))
	}
	tb.must(rows...)
	for _, r := range rows {
		same(tb, fmt.Sprintf("the partition %q is kept byte for byte and is no other", r.Partition),
			tb.all(amorphous.Range{Partition: r.Partition}), []amorphous.Row{r})
	}
	if got := tb.all(amorphous.Range{Limit: 5}); len(got) != len(rows) {
		tb.Errorf("%d rows for %d partitions", len(got), len(rows))
	}
}

// testWeirdBytes writes every byte value into orders and bodies.
func testWeirdBytes(tb *table) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	orders := [][]byte{{}, {0}, {0, 0}, {0xff}, {0xff, 0}, every[:255], every[1:], []byte("'\"\\")}
	bodies := [][]byte{{}, {0}, every, bytes.Repeat([]byte{0xff}, 1000)}
	n := 0
	for _, order := range orders {
		for _, body := range bodies {
			n++
			r := row("bytes", string(order), fmt.Sprintf("b%d", n), 1)
			r.Body = body
			tb.must(r)
			tb.holds("what is returned is what was stored, byte for byte", r)
		}
	}
}

// testNoAliasing changes what was passed in and what was returned.
func testNoAliasing(tb *table) {
	want := row("alias", "order", "alias", 1)
	given := row("alias", "order", "alias", 1)
	rows := []amorphous.Row{given}
	tb.must(rows...)
	clear(given.Body)
	clear(given.Order)
	rows[0] = amorphous.Row{}
	tb.holds("a driver copies what it keeps", want)
	first := tb.read(want.Address())
	clear(first[0].Body)
	clear(first[0].Order)
	tb.holds("a driver copies what it returns", want)
	page, err := tb.store.Scan(tb.Context(), tb.table, amorphous.Range{Partition: "alias"})
	if err != nil {
		tb.Fatal(err)
	}
	clear(page.Rows[0].Body)
	tb.holds("a driver copies what it returns", want)
}

func testOrderSorts(tb *table) {
	orders := []string{"", "\x00", "\x00\x00", "\x00\x01", "\x01", "0", "A", "a", "a\x00", "aa", "b", "\x7f", "\x80", "\xfe\xff", "\xff", "\xff\xff"}
	var want []amorphous.Row
	for i := range orders {
		want = append(want, row("sorted", orders[i], "id", 1))
	}
	for i := range want {
		tb.must(want[(i*7)%len(want)])
	}
	same(tb, "Order sorts bytewise", tb.all(amorphous.Range{Partition: "sorted", Limit: 4}), want)
}

func testReadMany(tb *table) {
	var at []amorphous.Address
	var want []amorphous.Row
	for i := range 200 {
		r := row(fmt.Sprintf("p%d", i%7), "o", fmt.Sprintf("m%03d", i), 1)
		if i%3 != 0 {
			want = append(want, r)
		}
		at = append(at, r.Address())
	}
	tb.must(want...)
	same(tb, "rows come in the order of the addresses; what is not there is left out", tb.read(at...), want)
	if got := tb.read(); len(got) != 0 {
		tb.Errorf("no address, no row: %s", show(got))
	}
}

func testLimits(t *testing.T, h Harness) {
	for _, placed := range []bool{false, true} {
		tb := h.table(t, placed)
		name := map[bool]string{false: "Plain", true: "Placed"}[placed]
		t.Run(name+"/Largest", func(t *testing.T) {
			tb := tb.on(t, tb.store)
			r := row(strings.Repeat("p", amorphous.MaxKey), strings.Repeat("\xff", amorphous.MaxOrder), strings.Repeat("i", amorphous.MaxKey), 1<<62)
			r.Shape, r.Stamp.Tie = 1<<64-1, 1<<64-1
			r.Body = bytes.Repeat([]byte("x"), tb.store.Features().MaxBody)
			tb.must(r)
			tb.holds("the largest row is kept", r)
		})
		t.Run(name+"/OneMore", func(t *testing.T) { testOneMore(tb.on(t, tb.store)) })
	}
	t.Run("Ranges", func(t *testing.T) { testBadRanges(h.table(t, false)) })
	t.Run("Tables", func(t *testing.T) {
		store := h.open(t)
		for _, name := range []string{"", "A", "1a", "a-b", "a b", `a"b`, "a;b", strings.Repeat("a", 41), "é"} {
			bad := amorphous.Table{Name: name}
			class(t, fmt.Sprintf("the table name %q is refused", name), store.Write(t.Context(), bad, row("p", "o", "a", 1))[0], fault.ErrInvalid)
			class(t, fmt.Sprintf("the table name %q is refused", name), store.Prepare(t.Context(), bad), fault.ErrInvalid)
		}
	})
}

// testOneMore checks every limit from beyond: a clear class, nothing written,
// and the good row beside it is written.
func testOneMore(tb *table) {
	cases := []struct {
		name string
		bend func(*amorphous.Row)
		want error
	}{
		{"partition too long", func(r *amorphous.Row) { r.Partition = strings.Repeat("p", amorphous.MaxKey+1) }, fault.ErrTooLarge},
		{"no partition", func(r *amorphous.Row) { r.Partition = "" }, fault.ErrInvalid},
		{"partition with NUL", func(r *amorphous.Row) { r.Partition = "a\x00b" }, fault.ErrInvalid},
		{"partition not UTF-8", func(r *amorphous.Row) { r.Partition = "a\xff" }, fault.ErrInvalid},
		{"ID too long", func(r *amorphous.Row) { r.ID = strings.Repeat("i", amorphous.MaxKey+1) }, fault.ErrTooLarge},
		{"no ID", func(r *amorphous.Row) { r.ID = "" }, fault.ErrInvalid},
		{"ID with NUL", func(r *amorphous.Row) { r.ID = "\x00" }, fault.ErrInvalid},
		{"ID not UTF-8", func(r *amorphous.Row) { r.ID = "\xc3\x28" }, fault.ErrInvalid},
		{"order too long", func(r *amorphous.Row) { r.Order = make([]byte, amorphous.MaxOrder+1) }, fault.ErrTooLarge},
		{"body too large", func(r *amorphous.Row) { r.Body = make([]byte, tb.store.Features().MaxBody+1) }, fault.ErrTooLarge},
		{"version zero", func(r *amorphous.Row) { r.Stamp.Version = 0 }, fault.ErrInvalid},
		{"version negative", func(r *amorphous.Row) { r.Stamp.Version = -1 }, fault.ErrInvalid},
		{"no shape", func(r *amorphous.Row) { r.Shape = 0 }, fault.ErrInvalid},
		{"tombstone with a body", func(r *amorphous.Row) { r.Deleted, r.Shape = true, 0 }, fault.ErrInvalid},
		{"tombstone with a shape", func(r *amorphous.Row) { r.Deleted, r.Body = true, nil }, fault.ErrInvalid},
		{"tombstone that expires", func(r *amorphous.Row) {
			r.Deleted, r.Shape, r.Body, r.Expires = true, 0, nil, time.Now()
		}, fault.ErrInvalid},
	}
	for i, c := range cases {
		bad := row("limits", "o", fmt.Sprintf("bad%d", i), 1)
		good := row("limits", "o", fmt.Sprintf("good%d", i), 1)
		c.bend(&bad)
		errs := tb.write(good, bad)
		if errs[0] != nil {
			tb.Errorf("%s: the good row beside it got %v", c.name, errs[0])
		}
		class(tb, c.name, errs[1], c.want)
		tb.holds("a bad row does not harm its neighbour", good)
		tb.lacks("a refused row is not written", row("limits", "o", fmt.Sprintf("bad%d", i), 1))
	}
}

func testBadRanges(tb *table) {
	bad := []amorphous.Range{
		{Partition: "p", Limit: -1}, {Partition: "p", Limit: amorphous.MaxLimit + 1}, {Partition: "a\x00"}, {Partition: "\xff"},
		{Reverse: true}, {From: []byte("a")}, {To: []byte("a")},
	}
	for _, r := range bad {
		_, err := tb.store.Scan(tb.Context(), tb.table, r)
		class(tb, fmt.Sprintf("the range %+v is refused", r), err, fault.ErrInvalid)
	}
	_, err := tb.store.Read(tb.Context(), tb.table, amorphous.Address{ID: "a"})
	class(tb, "an address in a plain table needs its partition", err, fault.ErrInvalid)
}
