package persistence

import (
	"context"
	"fmt"
	"reflect"

	"github.com/fourfold-dev/fourfold/volatile"
)

// A Rebuilding says how the data of a volatile handler comes back after loss;
// Rebuild makes one.
type Rebuilding interface {
	erase() *rebuilding
}

// Rebuild makes a Rebuilding of a function that computes the value of a key
// from long-term storage, such as the record, or counts. The task's values lie
// in a view, which ViewOf returns: the handler tells it what is new with Put
// or Drop, and readers Get. What a flush, a restart or a lost member took away
// is computed again by the first reader that misses it, so the answer is the
// same, only later. fault.ErrNotFound says that there is no value. TTL of the
// task is how long a value is fresh, and Stale, Ahead and Parts say how it is
// served.
//
// A version, one at most, orders the values of a key, such as by their time: then
// Put writes a newer value over the one that is there. Without it nobody can tell
// which is newer, so Put drops what is there, as Drop does.
func Rebuild[V any](rebuild func(ctx context.Context, key string) (V, error), version ...func(V) int64) Rebuilding {
	r := &rebuilding{missing: rebuild == nil, versions: len(version), valueType: reflect.TypeFor[V]()}
	r.open = func(cache *volatile.Cache, t *task) (any, error) {
		opts := &volatile.ViewOptions[V]{TTL: t.ttl, Stale: t.stale, Ahead: t.ahead, Parts: t.parts, Rebuild: rebuild}
		if len(version) > 0 {
			opts.Version = version[0]
		}
		return volatile.NewView(cache, t.rebuild.name, opts)
	}
	return r
}

// A rebuilding is a Rebuilding with its type parameter erased.
type rebuilding struct {
	missing   bool // there is no function
	versions  int  // functions that order values
	valueType reflect.Type
	open      func(cache *volatile.Cache, t *task) (any, error)
	name      string
	view      any // *volatile.View[V]
}

func (r *rebuilding) erase() *rebuilding {
	fresh := *r // a plan may be declared on several layers
	return &fresh
}

// ViewOf returns the view of a volatile task with Rebuild, as in
// persistence.ViewOf[Tally](checkins, "tally"). Like Declare it is program
// text: it panics when the kind has no such task, or its values are no V.
func ViewOf[V, T any](h *Handle[T], task string) *volatile.View[V] {
	t := h.kind.task(task)
	if t == nil || t.rebuild == nil {
		panic(&refusal{what: "declaration", faults: []string{fmt.Sprintf("kind %q has no task %q with Rebuild", h.kind.name, task)}})
	}
	view, ok := t.rebuild.view.(*volatile.View[V])
	if !ok {
		panic(&refusal{what: "declaration", faults: []string{fmt.Sprintf("task %q of kind %q rebuilds values of %s, not of %s",
			task, h.kind.name, typeName(t.rebuild.valueType), typeName(reflect.TypeFor[V]()))}})
	}
	return view
}

// openViews opens the views of a kind's volatile handlers.
func (l *Layer) openViews(k *kind) error {
	for _, t := range k.tasks {
		r := t.rebuild
		if r == nil {
			continue
		}
		r.name = physical(k.table, t.name)
		var err error
		if r.view, err = r.open(l.cache, t); err != nil {
			return err
		}
	}
	return nil
}

// checkRebuild refuses a Rebuild that would do nothing.
func (c *compiler) checkRebuild(w *wording) {
	switch r := w.rebuild; {
	case r == nil:
	case r.missing:
		c.taskFault(w, "Rebuild has no function: give one to persistence.Rebuild")
	case r.versions > 1:
		c.taskFault(w, "Rebuild has %d functions for the version of a value: give it one, or none", r.versions)
	case w.purpose != Volatile && w.purpose != 0:
		c.taskFault(w, "Rebuild brings back volatile data, and its Purpose is %s: use the Purpose Volatile, or leave out Rebuild", w.purpose)
	case w.do == nil:
		c.taskFault(w, "Rebuild brings back what a handler keeps, and it has no Do: the rebuild of a default write is the record, so leave out Rebuild")
	}
}
