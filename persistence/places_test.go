package persistence

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// registeredLog is a layout whose places are registered.
func registeredLog(t *testing.T) (*Layer, *kind, *task) {
	l := readers(t)
	l.engine = &engine{layer: l}
	k := mustCompile(t, Plan[moment]{{Purpose: Transactional}, {Name: "log", Purpose: Amorphous, Priority: 1, PartitionBy: "User", Newest: "At"}})
	log := k.task("log")
	log.book.Store(int32(registeredBook))
	return l, k, log
}

// A mover is one version on its way: what every process that writes it goes
// through, a step at a time.
type mover struct {
	version
	accepted bool
	runs     [][]version // each is one attempt, that may stay behind at any step
	step     []int
}

// moves makes some versions of one object, at two places and nowhere.
func moves(t *rapid.T, k *kind, key string, at time.Time) []*mover {
	n := rapid.IntRange(2, 4).Draw(t, "versions")
	out := make([]*mover, n)
	for i := range out {
		m := moment{ID: key, User: rapid.SampledFrom([]string{"ann", "bob", ""}).Draw(t, "user"), At: at}
		v := version{key: key, stamp: transactional.Stamp{Version: int64(100 + i/2), Tie: uint64(1 + i%2)}, shape: k.all.Shape}
		if v.deleted = m.User == ""; !v.deleted {
			v.obj = &m
			v.body, _ = k.all.Append(nil, value(&m))
		}
		out[i] = &mover{version: v}
	}
	return out
}

// versionFor is a version of an object that was put.
func versionFor(k *kind, obj *moment, number int64) version {
	body, _ := k.all.Append(nil, value(obj))
	return version{key: obj.ID, obj: obj, body: body, stamp: transactional.Stamp{Version: number}, shape: k.all.Shape}
}

// accept registers a version as its acceptance does.
func (m *mover) accept(ctx context.Context, l *Layer, log *task) error {
	p, err := log.placement(&m.version)
	if err != nil {
		return err
	}
	res, err := l.rows.Apply(ctx, &transactional.Unit{Place: []transactional.Placement{p}})
	if m.accepted = true; err == nil {
		m.known = &res.Placed[0]
	}
	return err
}

// advance takes the next step of an attempt.
func (m *mover) advance(ctx context.Context, l *Layer, k *kind, log *task, run int) error {
	vs := m.runs[run]
	m.step[run]++
	switch m.step[run] {
	case 1:
		l.engine.register(ctx, log, vs)
		vs[0].stale = vs[0].err == nil && vs[0].known.Stamp.Newer(vs[0].stamp)
	case 2:
		if v := &vs[0]; v.err == nil && !v.stale {
			rows, err := log.placedRows(k, v)
			if err != nil {
				return err
			}
			for _, err := range l.cells.Write(ctx, log.table(), rows...) {
				if err != nil && err != amorphous.ErrSuperseded {
					return err
				}
			}
		}
	case 3:
		l.engine.leavePlaces(ctx, log, vs)
	}
	return vs[0].err
}

func (m *mover) begin(first bool) int {
	v := m.version
	if !first {
		v.known = nil // another process does not know
	}
	m.runs, m.step = append(m.runs, []version{v}), append(m.step, 0)
	return len(m.runs) - 1
}

// Versions of one object are accepted, written and written again in any order,
// by several processes that stay behind at any step: in the end one row is
// left, where the newest version put it, or none.
func TestRegisteredPlacesInAnyOrder(t *testing.T) {
	l, k, log := registeredLog(t)
	ctx, n := t.Context(), 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		key := fmt.Sprint("m", n)
		all := moves(rt, k, key, time.Unix(int64(n), 0))
		must := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		for range rapid.IntRange(0, 30).Draw(rt, "steps") {
			m := rapid.SampledFrom(all).Draw(rt, "version")
			switch run := rapid.IntRange(-1, len(m.runs)-1).Draw(rt, "run"); {
			case !m.accepted:
				must(m.accept(ctx, l, log))
			case run < 0:
				m.begin(rapid.Bool().Draw(rt, "knows"))
			default:
				must(m.advance(ctx, l, k, log, run))
			}
		}
		for _, i := range rapid.Permutation([]int{0, 1, 2, 3}[:len(all)]).Draw(rt, "order") {
			m := all[i]
			if !m.accepted {
				must(m.accept(ctx, l, log))
			}
			for run := m.begin(true); m.step[run] < 3; {
				must(m.advance(ctx, l, k, log, run))
			}
		}
		for _, m := range all { // those who stayed behind wake up
			for run := range m.runs {
				for m.step[run] < 3 {
					must(m.advance(ctx, l, k, log, run))
				}
			}
		}
		var want, got []string
		if newest := all[len(all)-1]; !newest.deleted {
			want = append(want, newest.obj.(*moment).User+string(newest.body))
		}
		for _, partition := range []string{"ann", "bob"} {
			page, err := l.cells.Scan(ctx, log.table(), amorphous.Range{Partition: partition})
			must(err)
			for _, r := range page.Rows {
				if r.ID == key {
					got = append(got, partition+string(r.Body))
				}
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			rt.Fatalf("%d versions left %q, want %q", len(all), got, want)
		}
		known, err := l.rows.Placed(ctx, log.cell.Name, key)
		must(err)
		if len(known) != 1 || len(known[0].Former) > 0 {
			rt.Errorf("the register still knows of %+v", known)
		}
	})
}

// A version that was the newest when it was registered is written, however many
// come after it: a key that never rests is not left as it was. At one stamp, as
// when a dead letter was edited, the later place is the row's.
func TestRegisteredPlacesOfAKeyThatNeverRests(t *testing.T) {
	l, k, log := registeredLog(t)
	ctx, at := t.Context(), time.Unix(1, 0)
	accept := func(user string, version int64) *mover {
		obj := &moment{ID: "m", User: user, At: at}
		m := &mover{version: versionFor(k, obj, version)}
		if err := m.accept(ctx, l, log); err != nil {
			t.Fatal(err)
		}
		return m
	}
	write := func(m *mover) {
		for run := m.begin(true); m.step[run] < 3; {
			if err := m.advance(ctx, l, k, log, run); err != nil {
				t.Fatal(err)
			}
		}
	}
	lies := func(want string) {
		t.Helper()
		got := ""
		for _, partition := range []string{"ann", "bob", "cat", "dan"} {
			page, err := l.cells.Scan(ctx, log.table(), amorphous.Range{Partition: partition})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Rows {
				got += fmt.Sprint(partition, r.Stamp.Version, " ")
			}
		}
		if got != want {
			t.Errorf("it lies at %q, want %q", got, want)
		}
	}
	last := accept("ann", 1)
	for i := range 6 {
		next := accept([]string{"bob", "cat", "ann"}[i%3], int64(i+2))
		write(last)
		lies(fmt.Sprint(last.obj.(*moment).User, i+1, " "))
		last = next
	}
	write(last)
	lies("ann7 ")
	write(accept("dan", 7))
	lies("dan7 ")
	write(accept("cat", 8))
	lies("cat8 ")
	known, err := l.rows.Placed(ctx, log.cell.Name, "m")
	if err != nil || len(known) != 1 || len(known[0].Former) > 0 {
		t.Errorf("the register still knows of %+v, %v", known, err)
	}
}

// FuzzPlaces states that places are read as they were written, and that what
// nobody wrote is an error or has no more places than bytes.
func FuzzPlaces(f *testing.F) {
	f.Add("ann", []byte{1, 2}, []byte{0xff})
	f.Add("", []byte(nil), []byte{1, 'a', 0, 0, 0})
	f.Fuzz(func(t *testing.T, partition string, order, junk []byte) {
		buf := appendPlace(appendPlace(nil, partition, order), "b", nil)
		at, err := places(buf, "id")
		if err != nil || len(at) != 2 || at[0].Partition != partition || !bytes.Equal(at[0].Order, order) || at[1].Partition != "b" || at[1].ID != "id" {
			t.Errorf("%q, %x is read as %+v, %v", partition, order, at, err)
		}
		if at, err := places(junk, "id"); err != nil && fault.ClassOf(err) != fault.ErrCorrupt || len(at) > len(junk) {
			t.Errorf("%x is read as %+v, %v", junk, at, err)
		}
	})
}
