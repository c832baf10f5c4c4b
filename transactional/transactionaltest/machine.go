package transactionaltest

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fourfold-dev/fourfold/internal/histories"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// testModel runs random operations on the driver and on the model, and
// compares results and classes of errors.
func testModel(t *testing.T, h Harness) {
	h.run(t, "Machine", func(e *env) {
		histories.Fewer(e.T, "40")
		var runs atomic.Int64
		rapid.Check(e.T, func(t *rapid.T) {
			m := &machine{e: e, model: NewModel(), prefix: fmt.Sprintf("%06d/", runs.Add(1)), letters: map[string]bool{}}
			t.Repeat(map[string]func(*rapid.T){
				"Apply": m.apply, "Claim": m.claim, "Settle": m.settle, "Urgent": m.urgent, "": m.check,
			})
		})
	})
}

// A machine is one run of random operations, apart from the other runs by a
// prefix of all names.
type machine struct {
	e       *env
	model   *Model
	prefix  string
	added   []transactional.RecordID
	letters map[string]bool
}

func (m *machine) name(t *rapid.T, of string, names ...string) string {
	return m.prefix + rapid.SampledFrom(names).Draw(t, of)
}

func (m *machine) lanes() []string { return []string{m.prefix + "one", m.prefix + "two"} }

func (m *machine) write(t *rapid.T) transactional.Write {
	w := transactional.Write{
		Table: things, Mode: transactional.Mode(rapid.IntRange(0, 3).Draw(t, "mode")), Expect: rapid.Int64Range(0, 6).Draw(t, "expect"),
		Row: transactional.Row{
			ID:      m.name(t, "id", "a", "b", "c", "A"),
			Stamp:   transactional.Stamp{Version: rapid.Int64Range(1, 8).Draw(t, "version"), Tie: rapid.Uint64Range(1<<63-1, 1<<63+1).Draw(t, "tie")},
			Deleted: rapid.IntRange(0, 4).Draw(t, "deleted") == 0,
		},
	}
	if !w.Row.Deleted {
		w.Row.Values = []any{rapid.Int64().Draw(t, "n"), rapid.SampledFrom([]string{"", "x", "é\x00"}).Draw(t, "s")}
	}
	return w
}

func (m *machine) person(t *rapid.T) transactional.Write {
	w := m.write(t)
	w.Table = people
	if !w.Row.Deleted {
		w.Row.Values = []any{m.name(t, "email", "ann", "bob"), nil, nil}
		if rapid.Bool().Draw(t, "seated") {
			w.Row.Values = []any{nil, m.name(t, "team", "red", "blue"), rapid.Int64Range(1, 2).Draw(t, "seat")}
		}
	}
	return w
}

func (m *machine) record(t *rapid.T) transactional.Record {
	r := m.e.record(rapid.SampledFrom(m.lanes()).Draw(t, "lane"), rapid.Uint32Range(0, 2).Draw(t, "priority"))
	if len(m.added) > 0 && rapid.IntRange(0, 9).Draw(t, "again") == 0 {
		r.ID = rapid.SampledFrom(m.added).Draw(t, "id")
	}
	if rapid.Bool().Draw(t, "token") {
		r.Kind, r.Token, r.Digest = m.name(t, "kind", "k"), rapid.SampledFrom([]string{"t", "u"}).Draw(t, "tok"), rapid.Uint64Range(1, 2).Draw(t, "digest")
		r.Remember = time.Hour
	}
	if rapid.IntRange(0, 3).Draw(t, "later") == 0 {
		r.Due = time.Now().Add(time.Hour)
	}
	m.added = append(m.added, r.ID)
	return r
}

func (m *machine) apply(t *rapid.T) {
	var u transactional.Unit
	for range rapid.IntRange(0, 3).Draw(t, "writes") {
		u.Writes = append(u.Writes, m.write(t))
	}
	if rapid.IntRange(0, 2).Draw(t, "people") == 0 {
		u.Writes = append(u.Writes, m.person(t))
	}
	if rapid.Bool().Draw(t, "add") {
		u.Add = append(u.Add, m.record(t))
	}
	if rapid.IntRange(0, 3).Draw(t, "bury") == 0 {
		u.Bury = append(u.Bury, letter(m.name(t, "letter", "l", "m"), m.prefix, "t", "x"))
		m.letters[u.Bury[0].ID] = true
	}
	if rapid.IntRange(0, 5).Draw(t, "unbury") == 0 {
		u.Unbury = append(u.Unbury, m.name(t, "letter", "l", "m"))
	}
	m.compare(t, &u)
}

// compare applies a unit to both.
func (m *machine) compare(t *rapid.T, u *transactional.Unit) {
	got, err := m.e.store.Apply(background(), u)
	want, faults := m.model.Apply(u)
	switch class := fault.ClassOf(err); {
	case len(faults) == 0 && err == nil:
		if !slices.Equal(got.Superseded, want.Superseded) || !slices.Equal(got.Repeats, want.Repeats) {
			t.Fatalf("results differ:\n got %+v\nwant %+v\nunit %+v", got, want, u)
		}
	case !slices.Contains(faults, class):
		t.Fatalf("got %v, want one of %v\nunit %+v", err, faults, u)
	}
}

func (m *machine) claim(t *rapid.T) {
	owner, most := rapid.Uint64Range(1, 2).Draw(t, "owner"), rapid.IntRange(1, 4).Draw(t, "most")
	lanes := m.lanes()[rapid.IntRange(0, 1).Draw(t, "from"):]
	records, err := m.e.store.Claim(background(), transactional.ClaimRequest{Lanes: lanes, Max: most, Owner: owner, Lease: time.Hour})
	if want := m.model.Claim(owner, most, lanes...); err != nil || !slices.Equal(ids(records), want) {
		t.Fatalf("claimed %v, %v, want %v", ids(records), err, want)
	}
}

func (m *machine) urgent(t *rapid.T) {
	p, ok, err := m.e.store.Urgent(background(), m.lanes())
	if want, there := m.model.Urgent(m.lanes()...); err != nil || p != want || ok != there {
		t.Fatalf("urgent %d %v %v, want %d %v", p, ok, err, want, there)
	}
}

func (m *machine) settle(t *rapid.T) {
	if len(m.added) == 0 {
		return
	}
	id := rapid.SampledFrom(m.added).Draw(t, "id")
	r := m.model.records[id]
	s := transactional.Settlement{ID: id, Owner: max(r.Owner, 1), Seq: r.Seq, Lane: m.lanes()[0], Priority: r.Priority}
	if rapid.IntRange(0, 3).Draw(t, "stale") == 0 {
		s.Seq += rapid.Uint64Range(0, 1).Draw(t, "seq")
		s.Owner = rapid.Uint64Range(1, 2).Draw(t, "owner")
	}
	switch rapid.IntRange(0, 3).Draw(t, "how") {
	case 0:
		s.Done, s.Mark = true, []byte("done")
	case 1:
		s.Hold, s.Progress = true, []byte("more")
	case 2:
		s.Due = time.Now().Add(time.Hour)
	}
	u := &transactional.Unit{Settle: []transactional.Settlement{s}}
	if rapid.Bool().Draw(t, "writes") {
		u.Writes = []transactional.Write{m.write(t)}
	}
	m.compare(t, u)
}

// check compares everything that can be read.
func (m *machine) check(t *rapid.T) {
	for _, table := range []*transactional.Table{things, people} {
		rows, err := m.e.store.Read(background(), table, m.prefix+"a", m.prefix+"b", m.prefix+"c", m.prefix+"A")
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]transactional.Row{}
		for _, row := range rows {
			got[row.ID] = row
		}
		if want := m.model.rows[table.Name]; !maps.EqualFunc(got, want, equalRows) {
			t.Fatalf("rows of %s differ:\n got %+v\nwant %+v", table.Name, got, want)
		}
	}
	for _, id := range m.added {
		got, mark, err := m.e.store.Find(background(), id)
		want, there := m.model.records[id]
		done, marked := m.model.marks[id]
		switch {
		case there:
			if err != nil || mark != nil || got.Owner != want.Owner || got.Seq != want.Seq || got.Lane != want.Lane || string(got.Progress) != string(want.Progress) {
				t.Fatalf("record %v: got %+v, %v\nwant %+v", id, got, err, want)
			}
		case marked != (mark != nil) || string(done) != string(mark):
			t.Fatalf("mark of %v: got %q, %v, want %q", id, mark, err, done)
		}
	}
	letters, err := m.e.store.DeadLetters(background(), transactional.DeadFilter{Kind: m.prefix})
	if err != nil || len(letters) != len(m.model.dead) {
		t.Fatalf("dead letters: %v, %v, want %v", letters, err, m.model.dead)
	}
}

func equalRows(a, b transactional.Row) bool {
	return a.ID == b.ID && a.Stamp == b.Stamp && a.Deleted == b.Deleted && slices.Equal(a.Values, b.Values)
}
