package persistence

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Declare makes a kind of object known to a layer, under a durable name, and
// returns the handle that puts and gets its objects. A nil plan goes by the
// field tags alone: each field is stored where its tag says, before Put
// returns.
//
// Declare is program text: it panics, with an error that lists all faults of
// the kind together, also for a second kind of one name. At most one
// KindOptions may be given.
func Declare[T any](l *Layer, name string, plan Plan[T], opts ...KindOptions) *Handle[T] {
	var o KindOptions
	var found []string
	switch {
	case len(opts) == 1:
		o = opts[0]
	case len(opts) > 1:
		found = append(found, fmt.Sprintf("kind %q: Declare takes one KindOptions, not %d: put all options into one", name, len(opts)))
	}
	k, more := compileKind(name, plan, o, site{has: l.has, horizon: l.opts.Horizon})
	found = append(found, more...)
	found = append(found, l.clashes(k)...)
	if len(found) == 0 {
		ctx := context.Background()
		if err := l.register(ctx, k); err != nil {
			panic(err)
		}
		if err := l.prepareBuckets(ctx, k); err != nil && !fault.Outage(err) {
			panic(err)
		}
		return &Handle[T]{layer: l, kind: k}
	}
	panic(&refusal{what: "declaration", faults: found})
}

// clashes lists what the kind would share with one that is declared already:
// a name, a former name, or a table.
func (l *Layer) clashes(k *kind) (found []string) {
	if k.name == "" {
		return nil // the name has a fault of its own
	}
	names := append([]string{k.name}, k.formerly...)
	for _, other := range l.declared() {
		taken := append([]string{other.name}, other.formerly...)
		i := slices.IndexFunc(names, func(n string) bool { return slices.Contains(taken, n) })
		switch {
		case i == 0 && names[0] == other.name:
			found = append(found, fmt.Sprintf("kind %q is declared already: declare each kind once and share its handle", k.name))
		case i >= 0:
			found = append(found, fmt.Sprintf("kind %q: the name %q belongs to kind %q already: remove it from one of the two Formerly, or choose another name", k.name, names[i], other.name))
		case physical(k.table) == physical(other.table):
			found = append(found, fmt.Sprintf("kind %q: its table %q is that of kind %q: choose another name, or another KindOptions.Table", k.name, physical(k.table), other.name))
		}
	}
	return found
}

// prepareBuckets makes known the tables of the kind's buckets, as register
// does its other tables. A store that is away is asked at first use.
func (l *Layer) prepareBuckets(ctx context.Context, k *kind) error {
	for _, t := range k.tasks {
		if t.bucket == 0 || t.write == writeDerived {
			continue
		}
		if err := l.cells.Prepare(ctx, t.bucketTable()); err != nil {
			return err
		}
	}
	return nil
}

// A refusal is an error that lists everything that is wrong with a
// declaration. It is fault.ErrInvalid.
type refusal struct {
	what   string
	faults []string
}

func (r *refusal) Error() string {
	if len(r.faults) == 1 {
		return r.what + ": " + r.faults[0]
	}
	return fmt.Sprintf("%s has %d faults:\n\t%s", r.what, len(r.faults), strings.Join(r.faults, "\n\t"))
}

func (r *refusal) Unwrap() error { return fault.ErrInvalid }
