package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A bulletin implies a copy for each of its readers.
type (
	bulletin struct {
		ID      string `persistence:"key"`
		Edition int
		Readers []string
	}
	bulletinCopy struct {
		ID      string `persistence:"key"`
		Reader  string
		Edition int
		At      time.Time
	}
)

func copiesOf(b bulletin) iter.Seq[bulletinCopy] {
	return func(yield func(bulletinCopy) bool) {
		for i, reader := range b.Readers {
			if !yield(bulletinCopy{b.ID, reader, b.Edition, epoch.Add(time.Duration(i) * time.Minute)}) {
				return
			}
		}
	}
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A press is the program that is killed.
type press struct {
	bulletins *persistence.Handle[bulletin]
	copies    *persistence.DerivedHandle[bulletinCopy]
}

func (p *press) open(ctx context.Context, dir string) (*persistence.Layer, error) {
	layer, err := persistence.Open(ctx, embedded.Stores(dir), nil)
	if err != nil {
		return nil, err
	}
	p.bulletins = persistence.Declare(layer, "bulletin", persistence.Plan[bulletin]{
		{Name: "object", Purpose: persistence.Amorphous},
		{Priority: 1, Name: "copies", Purpose: persistence.Amorphous, Derive: persistence.Rows(copiesOf), PartitionBy: "Reader", Newest: "At", Bucket: time.Hour},
	})
	p.copies = persistence.Derived[bulletinCopy](p.bulletins, "copies")
	return layer, nil
}

// edition is what a bulletin is in each edition: its readers change, one in
// three is deleted at the end, and one is larger than what is written at a time.
func edition(round, i, n int) bulletin {
	b := bulletin{ID: fmt.Sprintf("r%d.b%d", round, i), Edition: n}
	readers := 3 + i
	if i == 0 {
		readers = 700
	}
	for r := range readers {
		b.Readers = append(b.Readers, fmt.Sprintf("reader%d", r+n*readers/2))
	}
	return b
}

// load puts three editions of each bulletin, all at once, so that their tasks
// overtake one another.
func (p *press) load(ctx context.Context, _ *persistence.Layer, r *persistencetest.Recorder) error {
	for i := range 5 {
		for n := range 3 {
			b := edition(r.Round, i, n)
			err := r.Try(fmt.Sprintf("%s.%d", b.ID, n), func() error {
				_, err := p.bulletins.Put(ctx, b)
				return err
			})
			if err != nil && !fault.Accepted(err) {
				return err
			}
		}
		if i%3 == 2 {
			id := edition(r.Round, i, 0).ID
			err := r.Try(id+".gone", func() error { _, err := p.bulletins.Delete(ctx, id); return err })
			if err != nil && !fault.Accepted(err) {
				return err
			}
		}
	}
	return nil
}

// check compares the copies with the bulletins: exactly those that the newest
// editions imply.
func (p *press) check(ctx context.Context, _ *persistence.Layer, h *persistencetest.History) error {
	rows := map[string][]bulletinCopy{}
	for row, err := range p.copies.Find(ctx, persistence.Query{}) {
		if err != nil {
			return err
		}
		rows[row.ID] = append(rows[row.ID], row)
	}
	var bad []string
	for _, id := range slices.Concat(h.Acked, h.Open) {
		key := id[:strings.LastIndexByte(id, '.')]
		newest, err := p.bulletins.Get(ctx, key)
		if err != nil && !errors.Is(err, fault.ErrNotFound) {
			return err
		}
		if slices.Contains(h.Acked, id) && strings.HasSuffix(id, ".gone") && err == nil {
			bad = append(bad, key+" was deleted and is there")
		}
		of, failed := p.copies.Of(ctx, key)
		if failed != nil {
			return failed
		}
		want := slices.Collect(copiesOf(newest))
		for how, got := range map[string][]bulletinCopy{"rows": rows[key], "rows that it knows of": of} {
			if !sameCopies(got, want) {
				bad = append(bad, fmt.Sprintf("%s in edition %d has %d %s, and implies %d", key, newest.Edition, len(got), how, len(want)))
			}
		}
	}
	if len(bad) > 0 {
		return errors.New(strings.Join(bad, "\n"))
	}
	return nil
}

func sameCopies(a, b []bulletinCopy) bool {
	order := func(a, b bulletinCopy) int { return strings.Compare(a.Reader, b.Reader) }
	a, b = slices.SortedFunc(slices.Values(a), order), slices.SortedFunc(slices.Values(b), order)
	return slices.Equal(a, b)
}

// Derived rows follow their object through kills between the register, the
// rows and the removal of older ones.
func TestCrashOfDerivedRows(t *testing.T) {
	p := &press{}
	runs := 8
	if testing.Short() {
		runs = 4
	}
	persistencetest.Crash(t, persistencetest.Scenario{Open: p.open, Load: p.load, Check: p.check, Runs: runs})
}
