package cql

import (
	"context"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// A Consistency says how many replicas must answer, by its code in the CQL
// protocol, which all clients share.
type Consistency uint16

// The consistencies that the store takes.
const (
	One         Consistency = 0x01
	Two         Consistency = 0x02
	Three       Consistency = 0x03
	Quorum      Consistency = 0x04
	All         Consistency = 0x05
	LocalQuorum Consistency = 0x06
	EachQuorum  Consistency = 0x07
	LocalOne    Consistency = 0x0a
)

// ParseConsistency returns the consistency of a name such as "local_quorum".
func ParseConsistency(name string) (Consistency, bool) {
	c, ok := map[string]Consistency{
		"one": One, "two": Two, "three": Three, "quorum": Quorum, "all": All,
		"local_quorum": LocalQuorum, "each_quorum": EachQuorum, "local_one": LocalOne,
	}[name]
	return c, ok
}

// reading is the consistency of a read: its context's, else the driver's.
func (d *Driver) reading(ctx context.Context) Consistency {
	if c, ok := ParseConsistency(amorphous.ConsistencyOf(ctx).String()); ok {
		return c
	}
	return d.opts.Read
}

// A Statement is a text with its values. All of ours are plain reads, or
// writes with a timestamp of their own, which may be repeated.
type Statement struct {
	Text string // with a ? for each of Args
	Args []any  // bound in order
}

// A Session is what the store needs of a client. Methods are safe for
// concurrent use and end with their context.
//
// Errors are Cassandra's own answers, as they are: anything with a method
// Code() int; or context errors; or wrapped by NotSent where the client knows
// that nothing left; everything else leaves the outcome of a write unknown.
type Session interface {
	// Exec executes a statement without rows.
	Exec(ctx context.Context, c Consistency, s Statement) error
	// Batch executes statements as one unlogged batch.
	Batch(ctx context.Context, c Consistency, s []Statement) error
	// Each executes a query and calls row once per row, until it returns an
	// error, which Each returns. Rows come in pages of pageSize, and no page
	// is fetched before it is needed.
	Each(ctx context.Context, c Consistency, s Statement, pageSize int, row func(scan func(dest ...any) error) error) error
	// Close frees the session. It may hang: some versions of some clients do.
	Close()
}
