package amorphous

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
)

// readers is how many partitions one call reads at a time.
const readers = 16

// sums reads ranges of single partitions, side by side, in their order.
func (l *rowLedger) sums(ctx context.Context, ranges []Range) ([]Tally, error) {
	found := make([][]Tally, len(ranges))
	errs := make([]error, len(ranges))
	var budget atomic.Int64 // of chunks to seal
	budget.Store(sealsPerRead)
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; i < int64(len(ranges)); i = next.Add(1) - 1 {
			found[i], errs[i] = l.sum(ctx, ranges[i], &budget)
		}
	}
	if len(ranges) == 1 {
		work()
		return found[0], errs[0]
	}
	var wg sync.WaitGroup
	for range min(len(ranges), readers) {
		wg.Go(work)
	}
	wg.Wait()
	var out []Tally
	for i := range ranges {
		if errs[i] != nil {
			return nil, errs[i]
		}
		out = append(out, found[i]...)
	}
	return out, nil
}

// sum reads one range: the sums of chunks that are sealed, and the members
// between them. Large chunks whose time is over it seals for the next reader;
// that this fails is not this one's trouble.
func (l *rowLedger) sum(ctx context.Context, r Range, budget *atomic.Int64) (out []Tally, err error) {
	chunks, err := l.seals.in(ctx, r)
	if err != nil {
		return nil, err
	}
	var worth [][]byte
	between := func(from, to []byte) error {
		if from != nil && to != nil && bytes.Compare(from, to) >= 0 {
			return nil
		}
		sums, large, err := l.seals.count(ctx, Range{Partition: r.Partition, From: from, To: to})
		out, worth = append(out, sums...), append(worth, large...)
		return err
	}
	from := r.From
	for _, chunk := range chunks {
		if err := between(from, chunk.from); err != nil {
			return nil, err
		}
		for _, t := range chunk.tallies {
			if (r.From == nil || bytes.Compare(t.Order, r.From) >= 0) && (r.To == nil || bytes.Compare(t.Order, r.To) < 0) {
				out = append(out, t)
			}
		}
		from = chunk.to
	}
	if err := between(from, r.To); err != nil {
		return nil, err
	}
	for _, order := range worth {
		if budget.Add(-1) < 0 || l.seals.seal(ctx, r.Partition, order) != nil {
			break
		}
	}
	return out, nil
}
