package persistence

import (
	"context"
	"fmt"
	"iter"
	"runtime/debug"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// guarded calls the user's function: its panic is an error, and its error is
// kept as it is, so that nobody takes it for one of the store's.
func guarded[T, D any](ctx context.Context, derive func(context.Context, T) iter.Seq2[D, error], object T, fails *error) iter.Seq2[D, error] {
	return func(yield func(D, error) bool) {
		// A panic of the one who asks is not the function's.
		asked, ended := false, false
		defer func() {
			if asked {
				return
			}
			if v := recover(); v != nil {
				*fails = &panicError{value: v, stack: debug.Stack()}
				if !ended {
					var none D
					yield(none, *fails)
				}
			}
		}()
		rows := derive(ctx, object)
		if rows == nil {
			return
		}
		for row, err := range rows {
			if err != nil {
				*fails = err
			}
			asked = true
			ended = !yield(row, err) || err != nil
			if asked = false; ended {
				return
			}
		}
	}
}

// openDerived opens the stores of a kind's derived rows.
func (l *Layer) openDerived(k *kind) error {
	for _, t := range k.tasks {
		d := t.derive
		if d == nil {
			continue
		}
		// Versions older than Horizon never run by themselves; what says that
		// they are old lives a day longer.
		opts := &amorphous.RegisterOptions{Horizon: l.opts.Horizon + 24*time.Hour}
		var err error
		if d.derived, err = d.open(l.cells, t.cell.Name, &d.layout, opts); err != nil {
			return err
		}
		d.rows = d.derived.(interface{ Rows() *amorphous.DerivedRows }).Rows()
	}
	return nil
}

// implication is what a version of an object implies for a task with Derive.
// fails is where an error of the user's function is found afterwards.
func (t *task) implication(ctx context.Context, v *version, fails *error) amorphous.Implication {
	o := amorphous.Origin{Key: v.key, Stamp: amorphous.Stamp(v.stamp)}
	if t.ttl > 0 {
		o.Expires = v.accepted.Add(t.ttl)
	}
	if v.deleted {
		return amorphous.Implication{Origin: o}
	}
	return t.derive.imply(ctx, t.derive.derived, o, v.obj, fails)
}

// writeDeriveds writes what versions of objects imply for one task. Versions of
// one object are written one after another: two of them in one Put would take
// each other for another program's.
func (e *engine) writeDeriveds(ctx context.Context, t *task, vs []version) {
	for left := len(vs); left > 0; {
		turn := make(map[string]bool, len(vs))
		some := make([]*version, 0, len(vs))
		for i := len(vs) - left; i < len(vs) && !turn[vs[i].key]; i++ {
			turn[vs[i].key] = true
			some = append(some, &vs[i])
		}
		left -= len(some)
		e.writeImplied(ctx, t, some)
	}
}

// writeImplied is writeDeriveds for versions of different objects.
func (e *engine) writeImplied(ctx context.Context, t *task, vs []*version) {
	vs = slices.DeleteFunc(vs, func(v *version) bool { return v.err != nil })
	if len(vs) == 0 {
		return
	}
	implications := make([]amorphous.Implication, len(vs))
	fails := make([]error, len(vs))
	for i, v := range vs {
		implications[i] = t.implication(ctx, v, &fails[i])
	}
	for i, err := range t.derive.rows.Put(ctx, implications...) {
		v := vs[i]
		if v.err = err; fails[i] != nil {
			v.err = fails[i] // the user's function's own
		}
		v.superseded()
	}
}

// explainDerived is what a task with Derive would write.
func (t *task) explainDerived(v *version) (does string, bytes int, err error) {
	d := t.derive
	does = fmt.Sprintf("rows of %s into %s", typeName(d.rowType), t.cell.Name)
	if d.pure {
		n := 0
		var fails error
		for row, err := range t.implication(context.Background(), v, &fails).Rows {
			if err != nil {
				return "", 0, err
			}
			n, bytes = n+1, bytes+len(row.Body)
		}
		does = fmt.Sprintf("%d %s", n, does)
	}
	return does + d.place() + ", if newer; rows that older versions imply, and this one does not, are removed", bytes, nil
}

// place says where the rows lie.
func (d *derivation) place() string {
	switch l := d.layout; {
	case l.PartitionBy == "":
		return " by key"
	case l.Newest == "":
		return " by " + l.PartitionBy
	default:
		return fmt.Sprintf(" by %s, newest %s first", l.PartitionBy, l.Newest)
	}
}
