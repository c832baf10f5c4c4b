package persistence

import (
	"context"
	"iter"
	"reflect"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
)

// A Derivation says which rows a T implies; Rows and RowsContext make one. Its
// type of rows, D, has a field tagged persistence:"key", unique in the
// partition, and the words PartitionBy, Newest, Bucket, TTL and Fields of the
// task name fields of D.
//
// The rows of an object are those of its newest version: a newer version
// removes what it no longer implies, and a delete removes all, whatever is late,
// repeated or cut off in between. Read them with Derived.
type Derivation[T any] interface {
	erase() *derivation
}

// Rows makes a Derivation of a function: one object becomes the rows that it
// yields, one after another, at most amorphous.MaxDerived. They are written as
// they come, so that they need not be in memory together; where they are more than
// one write takes, all are asked for before, so that of an object which implies too
// many, or one that cannot be written, nothing is. While a version after the first
// is written, the places at which the rows of both lie are in memory, as the
// register has them, and not the rows.
//
// The function must be pure: the same object yields the same rows, for it runs
// again when the task is repeated, when objects are filled in later, and when
// the stores are compared. It must not change the object.
func Rows[T, D any](derive func(T) iter.Seq[D]) Derivation[T] {
	return rowsOf(derive == nil, true, func(_ context.Context, object T) iter.Seq2[D, error] {
		return amorphous.Infallible(derive(object))
	})
}

// RowsContext is Rows for a function that asks others, such as who follows the
// user, and may fail. What it asks should be as of the object: if its answer
// changes between two runs for one version, the rows of both remain until the
// object's next version. An error of the sequence ends it; the task is tried
// again as one with a handler is, and Permanent makes it a dead letter.
func RowsContext[T, D any](derive func(ctx context.Context, object T) iter.Seq2[D, error]) Derivation[T] {
	return rowsOf(derive == nil, false, derive)
}

// A derivation is a Derivation with its type parameters erased.
type derivation struct {
	missing bool         // there is no function
	pure    bool         // the function needs nothing but the object
	rowType reflect.Type // D
	typ     *record.Type
	layout  amorphous.Layout

	// open makes the rows' store; it is a *amorphous.Derived[D].
	open func(store *amorphous.Store, name string, l *amorphous.Layout, opts *amorphous.RegisterOptions) (any, error)
	// imply says what an object implies. fails is where the function's own
	// error is kept.
	imply func(ctx context.Context, derived any, o amorphous.Origin, obj any, fails *error) amorphous.Implication

	derived any // *amorphous.Derived[D]
	rows    *amorphous.DerivedRows
}

func (d *derivation) erase() *derivation {
	fresh := *d // a plan may be declared on several layers
	return &fresh
}

// erasedTo gives a derivation the type of its objects.
type erasedTo[T any] struct{ *derivation }

func rowsOf[T, D any](missing, pure bool, derive func(context.Context, T) iter.Seq2[D, error]) Derivation[T] {
	return erasedTo[T]{&derivation{
		missing: missing, pure: pure, rowType: reflect.TypeFor[D](),
		open: func(store *amorphous.Store, name string, l *amorphous.Layout, opts *amorphous.RegisterOptions) (any, error) {
			return amorphous.NewDerived[D](store, name, l, opts)
		},
		imply: func(ctx context.Context, derived any, o amorphous.Origin, obj any, fails *error) amorphous.Implication {
			return derived.(*amorphous.Derived[D]).Imply(o, guarded(ctx, derive, *obj.(*T), fails))
		},
	}}
}
