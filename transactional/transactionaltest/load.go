package transactionaltest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// testLoad runs everything at once, and counts.
func testLoad(t *testing.T, h Harness) {
	h.run(t, "Mixed", func(e *env) {
		const workers = 64
		each := max(5, h.Ops/workers)
		if h.Full {
			each = 1000
		}
		var (
			wg    sync.WaitGroup
			acked [workers]int
			ended atomic.Int64
		)
		other := e.again(nil)
		for w := range workers {
			wg.Go(func() {
				store, rng := e.store, rand.New(rand.NewPCG(uint64(w), 1))
				if w%2 == 1 {
					store = other
				}
				for i := range each {
					acked[w] += mixed(e, store, rng, w, i, &ended)
				}
			})
		}
		wg.Wait()
		total := 0
		for w := range workers {
			total += acked[w]
			row := e.row(things, fmt.Sprint("worker", w))
			if n := int64(acked[w]); (row == nil) != (n == 0) || row != nil && row.Values[0] != n {
				e.Errorf("worker %d had %d units acknowledged, its row says %+v", w, acked[w], row)
			}
		}
		left := 0
		e.nil("walk", e.store.Walk(e.Context(), func(transactional.Record) bool { left++; return true }))
		e.same("every record that was added is there or was ended once", left+int(ended.Load()), total)
	})
}

// mixed makes one random operation and returns how many records it added.
func mixed(e *env, store *transactional.Store, rng *rand.Rand, w, i int, ended *atomic.Int64) int {
	ctx := background()
	switch rng.IntN(6) {
	case 0:
		records, err := store.Claim(ctx, transactional.ClaimRequest{Lanes: []string{"a", "b"}, Max: 4, Owner: uint64(w + 1), Lease: time.Hour})
		if err != nil {
			e.Error(err)
		}
		for _, r := range records {
			if _, err := store.Apply(ctx, settles(held(r))); err != nil {
				e.Errorf("settling what one holds: %v", err)
				continue
			}
			ended.Add(1)
		}
		return 0
	case 1:
		if _, err := store.Read(ctx, things, fmt.Sprint("worker", rng.IntN(64)), "shared"); err != nil {
			e.Error(err)
		}
		return 0
	case 2:
		if _, err := store.Sweep(ctx); err != nil {
			e.Error(err)
		}
		return 0
	}
	own, done := fmt.Sprint("worker", w), 0
	err := store.Tx(ctx, func(ctx context.Context, tx *transactional.Tx) error {
		rows, err := tx.Read(ctx, things, own)
		if err != nil {
			return err
		}
		at := transactional.Row{Values: []any{int64(0)}}
		if len(rows) > 0 {
			at = rows[0]
		}
		_, err = tx.Apply(ctx, &transactional.Unit{
			Writes: []transactional.Write{thing(own, at.Stamp.Version+1, at.Values[0].(int64)+1, above)},
			Add:    []transactional.Record{e.record([]string{"a", "b"}[i%2], uint32(i%3))},
		})
		return err
	})
	if err == nil {
		done = 1
	} else if !errors.Is(err, fault.ErrBusy) {
		e.Error(err)
	}
	if _, err := store.Apply(ctx, writes(thing("shared", int64(i*64+w), 1, newest), thing(fmt.Sprint("w", w, ".", i), 1, 1, insert))); err != nil {
		e.Error(err)
	}
	return done
}
