package amorphous

import "context"

// A Consistency says how many replicas must answer a read. Zero is the store's
// own, which keeps every promise of this package; a weaker one answers sooner,
// and may answer with what was true a moment ago: an older version, or nothing
// yet. A store without replicas takes each of them.
type Consistency uint8

// The consistencies of reads, weakest first.
const (
	LocalOne    Consistency = iota + 1 // one replica of the nearest data centre
	One                                // one replica
	Two                                // two replicas
	Three                              // three replicas
	LocalQuorum                        // more than half of the nearest data centre
	Quorum                             // more than half of all
	EachQuorum                         // more than half of every data centre
	All                                // every replica
)

var consistencies = [...]string{"default", "local_one", "one", "two", "three", "local_quorum", "quorum", "each_quorum", "all"}

// String returns the name that a store's options have for it, such as
// "local_one".
func (c Consistency) String() string {
	if int(c) >= len(consistencies) {
		return "unknown consistency"
	}
	return consistencies[c]
}

type consistencyKey struct{}

// WithConsistency returns a context whose reads of an amorphous store have a
// consistency of their own. Writes keep the store's.
func WithConsistency(ctx context.Context, c Consistency) context.Context {
	return context.WithValue(ctx, consistencyKey{}, c)
}

// ConsistencyOf returns the consistency of a context's reads, zero for the
// store's own.
func ConsistencyOf(ctx context.Context) Consistency {
	c, _ := ctx.Value(consistencyKey{}).(Consistency)
	return c
}

// checkConsistency refuses what no store knows.
func checkConsistency(ctx context.Context) error {
	if c := ConsistencyOf(ctx); int(c) >= len(consistencies) {
		return invalid("the consistency %d is none: use LocalOne to All", c)
	}
	return nil
}
