package amorphous

import (
	"iter"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// An Origin is one version of an object from which rows are derived.
type Origin struct {
	Key   string // the object's; 1 to MaxKey bytes
	Stamp Stamp  // the object's version, which its rows carry: the newest wins
	// Expires ends the rows. Zero: they are kept for good, or as long as
	// Layout.TTL says.
	Expires time.Time
}

// An Implication is an origin, and the rows that it implies: all of them, and
// no others. Of each row it gives the Partition, the Order, the ID, the Shape
// and the Body; stamp and life are the origin's. Rows are asked for one after
// another, and again where they do not fit into one write, which is checked as a
// whole first: each time must give the same places. No rows, or a nil Rows, is an origin that implies nothing, such as one that was
// deleted. An error ends the rows and refuses the origin.
type Implication struct {
	Origin
	Rows iter.Seq2[Row, error] // MaxDerived at most
}

// A Registration is what the register knows of one version of an origin: the
// places at which it wrote, or is about to write.
type Registration struct {
	Stamp  Stamp     // of that version
	Places []Address // with Layout.Bucket, the partition of a bucket is the one before it was split
}

// MaxDerived is how many rows one origin may imply. A version that implies more is
// fault.ErrTooLarge, and nothing of it is written.
const MaxDerived = 100_000

// RegisterOptions of DerivedRows and Derived; zero values are the defaults.
type RegisterOptions struct {
	// Horizon is how late a write of an older version may still come, by a
	// retry or a replay. That an origin was deleted, or implies nothing any
	// more, is remembered that long. Default 8 days.
	Horizon time.Duration
	// SplitAt is how many rows one program writes into one bucket of a
	// partition before it splits the bucket, and again each time that they
	// doubled, into up to 64 partitions, which are read as one. Default
	// 50,000; negative: never.
	SplitAt int
}

func (o *RegisterOptions) withDefaults() (RegisterOptions, error) {
	var opts RegisterOptions
	if o != nil {
		opts = *o
	}
	if opts.Horizon < 0 {
		return opts, fault.New(fault.ErrInvalid, purpose, "declare", "Horizon is negative")
	}
	if opts.Horizon == 0 {
		opts.Horizon = 8 * 24 * time.Hour
	}
	if opts.SplitAt == 0 {
		opts.SplitAt = 50_000
	}
	return opts, nil
}
