package amorphoustest

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/histories"
	"pgregory.net/rapid"
)

// testModel runs random operations on the driver and on the Model and compares
// every answer. Each run of the machine has partitions and IDs of its own in
// one table, told apart by a prefix.
func testModel(t *testing.T, h Harness) {
	for _, placed := range []bool{false, true} {
		name := map[bool]string{false: "Plain", true: "Placed"}[placed]
		t.Run(name, func(t *testing.T) {
			tb := h.table(t, placed)
			histories.Fewer(t, "40")
			var runs atomic.Int64
			rapid.Check(t, func(rt *rapid.T) {
				m := &machine{table: tb, model: Model{Placed: placed}, prefix: fmt.Sprintf("%d/", runs.Add(1))}
				rt.Repeat(map[string]func(*rapid.T){
					"write": m.write, "read": m.read, "scan": m.scan, "": m.check,
				})
			})
		})
	}
}

type machine struct {
	table  *table
	model  Model
	prefix string
}

// row draws a write. Stamps come from a small range so that they collide; all
// else of a write to one ID is a function of its stamp and shape, because one
// stamp is one content.
func (m *machine) row(t *rapid.T) amorphous.Row {
	r := amorphous.Row{
		ID:    m.prefix + rapid.SampledFrom([]string{"a", "A", "b", "é"}).Draw(t, "id"),
		Stamp: amorphous.Stamp{Version: rapid.Int64Range(1, 6).Draw(t, "version"), Tie: rapid.SampledFrom([]uint64{0, 1, 1 << 63}).Draw(t, "tie")},
	}
	at := (r.Stamp.Version*3 + int64(r.Stamp.Tie>>62)) % 4
	if !m.model.Placed {
		at = rapid.Int64Range(0, 3).Draw(t, "place")
	}
	r.Partition, r.Order = m.prefix+[]string{"p", "q"}[at%2], [][]byte{{}, {0}}[at/2]
	if rapid.IntRange(0, 4).Draw(t, "delete") == 0 {
		r.Deleted = true
		if m.model.Placed && r.Stamp.Tie == 0 {
			r.Partition, r.Order = "", nil
		}
		return r
	}
	r.Shape = rapid.SampledFrom([]uint64{1, 2, 1 << 63}).Draw(t, "shape")
	r.Body = bodyOf(r)
	switch r.Stamp.Version % 4 {
	case 0:
		r.Expires = time.UnixMicro(1_000_000_000_000_000) // 2001
	case 1:
		r.Expires = time.UnixMicro(4_000_000_000_000_001) // 2096
	}
	return r
}

func (m *machine) write(t *rapid.T) {
	rows := make([]amorphous.Row, rapid.IntRange(1, 5).Draw(t, "rows"))
	for i := range rows {
		rows[i] = m.row(t)
	}
	lost := m.model.WriteAll(rows)
	for i, err := range m.table.write(rows...) {
		if !m.table.store.Features().Superseded {
			lost[i] = false
		}
		if err != nil && !isSuperseded(err) {
			t.Fatalf("write: %v", err)
		}
		if (err != nil) != lost[i] {
			t.Fatalf("write %d of %s: got %v, the model says superseded = %v", i, show(rows), err, lost[i])
		}
	}
}

func (m *machine) read(t *rapid.T) {
	r := m.row(t)
	got, err := m.table.store.Read(m.table.Context(), m.table.table, amorphous.Address{Partition: m.prefix + "p", Order: r.Order, ID: r.ID})
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	var want []amorphous.Row
	for _, live := range m.model.Live() {
		if live.ID == r.ID && (m.model.Placed || live.Partition == m.prefix+"p" && string(live.Order) == string(r.Order)) {
			want = append(want, live)
		}
	}
	same(t, "read", got, want)
}

func (m *machine) scan(t *rapid.T) {
	r := amorphous.Range{Partition: m.prefix + "p", Limit: rapid.IntRange(1, 5).Draw(t, "limit"), Reverse: rapid.Bool().Draw(t, "reverse")}
	if rapid.Bool().Draw(t, "from") {
		r.From = []byte{0}
	}
	if rapid.Bool().Draw(t, "to") {
		r.To = []byte{0}
	}
	var want []amorphous.Row
	for _, live := range m.model.Live() {
		if live.Partition == r.Partition && (r.From == nil || len(live.Order) > 0) && (r.To == nil || len(live.Order) == 0) {
			want = append(want, live)
		}
	}
	if r.Reverse {
		slices.Reverse(want)
	}
	same(t, fmt.Sprintf("scan %+v", r), m.table.all(r), want)
}

// check compares both partitions of this run with the model.
func (m *machine) check(t *rapid.T) {
	var got []amorphous.Row
	for _, p := range []string{"p", "q"} {
		got = append(got, m.table.all(amorphous.Range{Partition: m.prefix + p})...)
	}
	same(t, "the table is what the set of writes implies", got, m.model.Live())
}
