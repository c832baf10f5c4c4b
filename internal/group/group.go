// Package group forms groups without timers: while one group is under way,
// what arrives meanwhile forms the next. A lone item never waits; under load
// groups grow by themselves.
package group

import "context"

// Options of a Group; zero values are the defaults.
type Options struct {
	MaxItems int // items of one group; default 512
	MaxSize  int // sum of sizes of one group, in the caller's own unit; zero: no bound
	Parallel int // groups under way at once; default 1
	MaxQueue int // items that may wait; over it Do waits until its context ends; default 16384
}

// A Group runs items in groups.
type Group[T any] struct{}

// New returns a Group whose groups are run by run, in a goroutine that lives
// only while there is work. run gets a context that no caller can cancel (it
// sets its own deadline) and returns one error per item, or nil when all
// succeeded. size may be nil.
func New[T any](opts Options, size func(T) int, run func(ctx context.Context, items []T) []error) *Group[T] {
	panic("todo")
}

// Do adds an item and waits for its group. When ctx ends first: an item that
// no group has taken yet is withdrawn and the error is ctx's own; else the
// error is both ctx's and fault.ErrUnknown, and the group goes on.
func (g *Group[T]) Do(ctx context.Context, item T) error { panic("todo") }

// DoAll adds items that may share one group and waits for all of them; the
// result is aligned, nil when all succeeded.
func (g *Group[T]) DoAll(ctx context.Context, items []T) []error { panic("todo") }

// Close lets what is under way finish and refuses what comes later with
// fault.ErrClosed. Closing twice is fine.
func (g *Group[T]) Close() { panic("todo") }
