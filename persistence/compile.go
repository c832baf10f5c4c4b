package persistence

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/internal/record"
)

// A site is what a plan is compiled for: what its layer offers. The zero site
// is no layer at all, and then nothing is said about stores and custody.
type site struct {
	has     func(Purpose) bool
	horizon time.Duration
}

// layered reports whether there is a layer to compile for.
func (s site) layered() bool { return s.has != nil }

// A wording is a Task as it was declared, its type parameter erased: what
// needs no type is in task already, the names of fields wait to be resolved.
type wording struct {
	*task
	position    int // in the plan, from 1
	partitionBy string
	newestBy    string
	orderingKey string
	expiresBy   string
	fields      []string
	counts      *Counts
}

// A compiler turns a plan into a kind and collects all of its faults.
type compiler struct {
	kind  *kind
	who   string // how faults name the kind
	typ   string // how faults name the type
	words []*wording
	site  site
	found []string
}

// fault records a fault of the kind as a whole.
func (c *compiler) fault(format string, args ...any) {
	c.found = append(c.found, c.who+": "+fmt.Sprintf(format, args...))
}

// taskFault records a fault of one task.
func (c *compiler) taskFault(w *wording, format string, args ...any) {
	c.found = append(c.found, c.who+", "+w.label()+": "+fmt.Sprintf(format, args...))
}

// label is how faults name a task.
func (w *wording) label() string {
	if w.name == "" {
		return fmt.Sprintf("task %d", w.position)
	}
	return fmt.Sprintf("task %q", w.name)
}

// compileKind compiles a plan for a site. The kind is complete only when there
// are no faults.
func compileKind[T any](name string, plan Plan[T], opts KindOptions, s site) (*kind, []string) {
	goType := reflect.TypeFor[T]()
	c := &compiler{site: s, typ: typeName(goType)}
	c.who = fmt.Sprintf("kind %q (%s)", name, c.typ)
	c.kind = &kind{name: name, opts: opts, formerly: slices.Clone(opts.Formerly), table: cmp.Or(opts.Table, name),
		make: func() any { return new(T) }}
	c.kind.spares.New = c.kind.make
	c.kind.cachePrefix = c.kind.table + ":"
	c.checkNames(name, opts)
	c.compile(goType, erase(plan), plan == nil)
	return c.kind, c.found
}

// compile does everything that is not generic.
func (c *compiler) compile(goType reflect.Type, words []*wording, byTags bool) {
	c.words = words
	typ, errs := record.Compile(goType)
	for _, err := range errs {
		c.fault("%s", err)
	}
	c.kind.typ = typ
	if typ != nil {
		for _, err := range typ.Convert(c.kind.opts.Convert) {
			c.fault("%s", err)
		}
	}
	if byTags && typ != nil {
		c.words = c.tagged(typ)
	}
	if !byTags || typ != nil {
		c.checkPlan()
	}
	if typ != nil {
		c.kind.all = typ.Set(fieldsOf(typ))
		c.resolve()
		c.checkKept()
		c.composeRecord()
		c.checkPatched()
		c.checkExpires()
	}
	c.chooseCustody()
	c.order()
}

// order sorts the tasks by start: priority 0, then real time, then background;
// within that by priority, and then as declared.
func (c *compiler) order() {
	for _, w := range c.words {
		c.kind.tasks = append(c.kind.tasks, w.task)
	}
	sortTasks(c.kind.tasks)
	c.kind.byName = make(map[string]*task, len(c.kind.tasks))
	for _, t := range c.kind.tasks {
		for _, name := range append([]string{t.name}, t.was...) {
			c.kind.byName[name] = t
		}
	}
}

func sortTasks(tasks []*task) {
	class := func(t *task) int {
		switch {
		case t.priority == 0:
			return 0
		case t.realTime:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(tasks, func(a, b *task) int {
		return cmp.Or(cmp.Compare(class(a), class(b)), cmp.Compare(a.priority, b.priority))
	})
}

// erase removes the type parameter from a plan.
func erase[T any](plan Plan[T]) []*wording {
	words := make([]*wording, len(plan))
	for i := range plan {
		words[i] = eraseTask(&plan[i])
		words[i].position = i + 1
	}
	return words
}

func eraseTask[T any](d *Task[T]) *wording {
	w := &wording{
		task: &task{
			name: d.Name, was: slices.Clone(d.Was), purpose: d.Purpose, priority: d.Priority, realTime: d.RealTime,
			within: d.Within, late: d.Late, external: d.External, onDelete: d.OnDelete,
			bucket: d.Bucket, ttl: d.TTL, stale: d.Stale, ahead: d.Ahead, parts: d.Parts,
			delay: d.Delay, timeout: d.Timeout, maxAttempts: cmp.Or(d.MaxAttempts, DefaultMaxAttempts),
			concurrency: d.Concurrency, perKey: d.PerKey, blocks: d.Blocks,
		},
		counts: copyOf(d.Count), partitionBy: d.PartitionBy, newestBy: d.Newest, orderingKey: d.OrderingKey, expiresBy: d.Expires, fields: slices.Clone(d.Fields),
	}
	eraseFuncs(w.task, d)
	if d.Rebuild != nil {
		w.rebuild = d.Rebuild.erase()
	}
	if d.Derive != nil {
		w.derive = d.Derive.erase()
	}
	if !w.handles() && !w.external {
		w.defaultWrite()
	}
	return w
}

func copyOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

// eraseFuncs wraps the user's functions, each of which gets its own shallow
// copy of the object.
func eraseFuncs[T any](t *task, d *Task[T]) {
	if when := d.When; when != nil {
		t.when = func(obj any) bool { return when(*obj.(*T)) }
	}
	if do := d.Do; do != nil {
		t.do = func(ctx context.Context, obj any) error { return do(ctx, *obj.(*T)) }
	}
	if tx := d.Tx; tx != nil {
		t.tx = func(ctx context.Context, x *Tx, obj any) error { return tx(ctx, x, *obj.(*T)) }
	}
}

// defaultWrite makes the task the default write of its purpose.
func (w *wording) defaultWrite() {
	switch w.purpose {
	case Transitory:
		w.write = writeJob
	case Volatile:
		w.write = writeCache
	case Transactional:
		w.write = writeRow
	case Amorphous:
		w.write = writeCell
		if w.counts != nil {
			w.write = writeCount
			return // counts are read by the name of their task: it needs one
		}
	default:
		return
	}
	if w.derive != nil {
		w.write = writeDerived
		return // a derivation has the name that it is given
	}
	if w.name == "" {
		w.name = w.purpose.String()
	}
}

// tagged returns the plan of a type whose tags alone say everything: a default
// write at priority 0 for every purpose but the transitory one, whose fields
// handlers see and no store keeps.
func (c *compiler) tagged(typ *record.Type) []*wording {
	var words []*wording
	for _, p := range []Purpose{Transactional, Amorphous, Volatile} {
		if !mentions(typ, p) {
			continue
		}
		w := &wording{task: &task{purpose: p, maxAttempts: DefaultMaxAttempts}, position: len(words) + 1}
		w.defaultWrite()
		words = append(words, w)
	}
	if len(words) == 0 {
		c.fault("without a plan the field tags must say where each field is stored, and no field of %s has a tag of a store: "+
			"tag its fields, as in `transactional:\"\"`, or give a plan such as persistence.Plan[%s]{{Purpose: persistence.Amorphous}}",
			c.typ, c.typ)
	}
	return words
}

// typeName is how messages name a type.
func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Document]():
		return "Document"
	case t.Name() != "":
		return t.Name()
	}
	return t.String()
}
