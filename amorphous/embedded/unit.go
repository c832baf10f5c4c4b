package embedded

import (
	"context"
	"errors"
	"iter"

	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A unit is what a group writes together, and how to do without what the file
// refuses of it.
type unit[T any] struct {
	file   *sqlitefile.File
	write  func(conn sqlitefile.Conn, some []T) error
	halves func(some []T) (first, second []T) // second is nil when there is only one item
	failed func(one T, err error)             // told of each that is not written
}

// run writes all in one transaction, or says what became of each. One that was
// refused is split until the one bad item stands alone.
//
// Hardly any group fails, so it goes first without a savepoint, which costs a
// third of the whole write; what is written again has one.
func (u *unit[T]) run(ctx context.Context, all []T) {
	err := u.try(ctx, sqlitefile.Terms{Again: true}, all)
	if errors.Is(err, fault.ErrBusy) && !fault.Unknown(err) {
		u.apart(ctx, all) // another unit failed, and took this one with it
		return
	}
	u.settle(ctx, all, err)
}

func (u *unit[T]) apart(ctx context.Context, all []T) {
	u.settle(ctx, all, u.try(ctx, sqlitefile.Terms{}, all))
}

func (u *unit[T]) try(ctx context.Context, terms sqlitefile.Terms, all []T) error {
	return u.file.WriteAs(ctx, terms, func(conn sqlitefile.Conn) error { return u.write(conn, all) })
}

// settle ends what was tried.
func (u *unit[T]) settle(ctx context.Context, all []T, err error) {
	if err == nil {
		return
	}
	if first, second := u.halves(all); second != nil && refused(err) {
		u.apart(ctx, first)
		u.apart(ctx, second)
		return
	}
	for _, one := range all {
		u.failed(one, err)
	}
}

// refused reports whether a smaller unit might fare better: the file is well
// and said no to something in this one.
func refused(err error) bool {
	return fault.Permanent(err) && !fault.Cancelled(err)
}

// inHalves is unit.halves where each is an item.
func inHalves[T any](some []T) (first, second []T) {
	if len(some) < 2 {
		return some, nil
	}
	half := len(some) / 2
	return some[:half], some[half:]
}

// runsOf yields the longest parts of neighbours that are the same.
func runsOf[T any](all []T, same func(a, b T) bool) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		for len(all) > 0 {
			n := 1
			for n < len(all) && same(all[0], all[n]) {
				n++
			}
			if !yield(all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}
