package amorphous

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// A CountQuery selects what a Counter counted. The zero CountQuery is all of
// it.
type CountQuery struct {
	// Of are values of the dimensions, in the order of Counts.By. Fewer of them
	// select whatever begins with these, and none selects everything.
	Of []string
	// Per is the length of the buckets of a Series: one of Counts.Per. Zero:
	// the shortest.
	Per time.Duration
	// From and To bound the time: buckets of the shortest Per that begin at
	// From or later, and before To. A longer bucket that a bound cuts holds
	// what lies within. Zero is open.
	From, To time.Time
}

// Series returns the counts per bucket of time, oldest first: of all values
// that the query selects, together. Buckets that hold zero are left out.
func (c *Counter) Series(ctx context.Context, q CountQuery) ([]Count, error) {
	per, err := c.perOf(q)
	if err != nil {
		return nil, locate(err, "series", c.name, "")
	}
	sums := map[int64]int64{}
	err = c.each(ctx, q, func(_ part, at, n int64) error {
		if len(c.per) > 0 && per != c.per[0] {
			at = c.calendar.start(time.Unix(at, 0), per).Unix()
		}
		return addTo(sums, at, n)
	})
	if err != nil {
		return nil, locate(err, "series", c.name, "")
	}
	out := make([]Count, 0, len(sums))
	for at, n := range sums {
		if n != 0 {
			out = append(out, Count{Of: q.Of, At: time.Unix(at, 0).In(c.calendar.zone), N: n})
		}
	}
	slices.SortFunc(out, func(a, b Count) int { return a.At.Compare(b.At) })
	return out, nil
}

// Total returns the sum of everything that the query selects.
func (c *Counter) Total(ctx context.Context, q CountQuery) (int64, error) {
	sums := map[struct{}]int64{}
	err := c.each(ctx, q, func(_ part, _, n int64) error { return addTo(sums, struct{}{}, n) })
	if err != nil {
		return 0, locate(err, "total", c.name, "")
	}
	return sums[struct{}{}], nil
}

// Top returns the k largest sums among the values that the query selects,
// largest first, and at equal sums in the order of their values. K zero is all
// of them. What sums up to zero is left out.
func (c *Counter) Top(ctx context.Context, q CountQuery, k int) ([]Count, error) {
	sums := map[string]int64{}
	err := c.each(ctx, q, func(p part, _, n int64) error { return addTo(sums, p.of, n) })
	if err == nil && k < 0 {
		err = invalid("the number of largest sums is %d; zero is all", k)
	}
	if err != nil {
		return nil, locate(err, "top", c.name, "")
	}
	out := make([]Count, 0, len(sums))
	for of, n := range sums {
		if n != 0 {
			out = append(out, Count{Of: splitOf(of, c.by), N: n})
		}
	}
	slices.SortFunc(out, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.N, a.N), slices.Compare(a.Of, b.Of))
	})
	if k > 0 && len(out) > k {
		out = out[:k:k]
	}
	return out, nil
}

func addTo[K comparable](sums map[K]int64, key K, n int64) error {
	sum, ok := plus(sums[key], n)
	if !ok {
		return overflow()
	}
	sums[key] = sum
	return nil
}

// perOf is the length of the buckets that a query asks for.
func (c *Counter) perOf(q CountQuery) (time.Duration, error) {
	switch {
	case q.Per == 0 && len(c.per) == 0:
		return 0, nil
	case q.Per == 0:
		return c.per[0], nil
	case slices.Contains(c.per, q.Per):
		return q.Per, nil
	}
	return 0, invalid("Per is %v, and the counter has %v", q.Per, c.per)
}

// each calls do for every sum that a query selects, with the seconds of its
// bucket of the shortest Per.
func (c *Counter) each(ctx context.Context, q CountQuery, do func(p part, at, n int64) error) error {
	if len(q.Of) > c.by {
		return invalid("the query has %d values, and there are %d dimensions", len(q.Of), c.by)
	}
	if len(c.per) == 0 && (!q.From.IsZero() || !q.To.IsZero()) {
		return invalid("the counter has no Per, so its counts have no time")
	}
	parts, err := c.parts(ctx, q)
	if err != nil {
		return err
	}
	ranges := make([]Range, len(parts))
	byName := make(map[string]part, len(parts))
	from, to := orderFrom(q.From), orderFrom(q.To)
	for i, p := range parts {
		name := p.name()
		ranges[i] = Range{Partition: name, From: from, To: to}
		byName[name] = p
	}
	if len(ranges) == 0 {
		return nil
	}
	tallies, err := c.ledger.sums(ctx, ranges)
	if err != nil {
		return err
	}
	for i := range tallies {
		at, err := secondsOf(tallies[i].Order)
		if err != nil {
			return err
		}
		if err := do(byName[tallies[i].Partition], at, tallies[i].N); err != nil {
			return err
		}
	}
	return nil
}

// orderFrom is the first Order that lies at a time or later.
func orderFrom(at time.Time) []byte {
	if at.IsZero() {
		return nil
	}
	seconds := at.Unix()
	if at.Nanosecond() > 0 {
		seconds++
	}
	return secondsOrder(seconds)
}

// parts are the partitions that a query can touch.
func (c *Counter) parts(ctx context.Context, q CountQuery) ([]part, error) {
	var low, high *int64
	if !q.From.IsZero() {
		seconds := c.window(q.From).Unix()
		low = &seconds
	}
	if !q.To.IsZero() {
		seconds := q.To.Unix()
		high = &seconds
	}
	of := joinOf(q.Of)
	if len(q.Of) == c.by {
		return c.index.of(ctx, of, low, high)
	}
	return c.index.in(ctx, low, high, func(value string) bool {
		return len(q.Of) == 0 || strings.HasPrefix(value, of+between)
	})
}
