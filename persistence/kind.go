package persistence

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A Custody says where an accepted envelope is recorded until its last task is
// done.
type Custody uint8

// The custodies.
const (
	// AutoCustody is transactional when the plan has a transactional task, when
	// everything is written before Put returns, or when the layer has no
	// transitory store; else transitory.
	AutoCustody Custody = iota
	// TransactionalCustody is a row in the outbox table, committed together
	// with what the kind writes transactionally.
	TransactionalCustody
	// TransitoryCustody is one job in the queue, as durable as that queue is.
	TransitoryCustody
)

// String returns "auto", "transactional" or "transitory".
func (c Custody) String() string {
	return [...]string{"auto", "transactional", "transitory"}[c]
}

// KindOptions are options of Declare.
type KindOptions struct {
	// Custody is where accepted envelopes are recorded. Default AutoCustody.
	//
	// It also says how it is known where rows with PartitionBy lie, over a store
	// that writes blindly (Cassandra): in transactional custody the transactional
	// store knows, and those rows wait while it is down; else a list in the store
	// itself does, at three times the cost. A layout keeps what it began with.
	Custody Custody
	// Formerly lists earlier names of the kind, so that what is queued under
	// them still runs here. Stored objects keep the names of their tables: a
	// renamed kind reads and writes the tables of Table.
	Formerly []string
	// Table names the tables of the kind. Default: its name. A renamed kind
	// gives its old name here.
	Table string
	// MemoryQueue allows transitory custody in a queue that loses jobs when its
	// server stops (a beanstalkd without a log).
	MemoryQueue bool
	// Patched says that objects of the kind are changed by Handle.Patch too, in
	// fields that its layouts by PartitionBy keep, or lie by. Each row of a
	// layout is then made of what the record holds, which it reads before and
	// after, and not of the object that was put: a write of a layout costs four
	// more statements. The record must be an amorphous default write of the
	// whole object, and every other task one too, without Derive, Count, When, TTL
	// and Expires.
	Patched bool
	// Convert says, by Go field name, how a value is read that was stored when
	// the property had another type: old is what is stored, as a Document has
	// it, and the result has the field's type. Without it such a value is
	// fault.ErrCorrupt, which names the property.
	Convert map[string]func(old any) (any, error)
}

// A write is what the default write of a task stores where.
type write uint8

const (
	writeNone    write = iota // a handler, or external
	writeJob                  // transitory
	writeCache                // volatile
	writeRow                  // transactional
	writeCell                 // amorphous
	writeCount                // amorphous, with Count
	writeDerived              // amorphous, rows by Derive
)

// A task is a Task with its type parameter erased and its words resolved. obj
// is always a *T.
type task struct {
	name     string
	was      []string
	purpose  Purpose
	priority int
	realTime bool

	when   func(obj any) bool
	within time.Duration
	late   Late

	do       func(ctx context.Context, obj any) error
	tx       func(ctx context.Context, tx *Tx, obj any) error
	external bool
	rebuild  *rebuilding // nil: what a handler keeps stays lost
	onDelete func(ctx context.Context, key string) error

	write     write
	set       *record.Set          // fields of the default write
	row       *transactional.Table // writeRow
	cell      amorphous.Table      // writeCell, writeDerived
	partition *record.Field        // writeCell by PartitionBy; nil: by key
	book      atomic.Int32         // of writeCell by PartitionBy: a book, how it is known where its rows lie
	newest    *record.Field        // nil: no order within the partition
	bucket    time.Duration
	buckets   bucketMemory
	count     *counting // writeCount
	ttl       time.Duration
	expires   *record.Field // says when a row ends; nil: ttl does
	derive    *derivation   // writeDerived; cell is its table of rows
	stale     time.Duration // writeCache: see Task.Stale
	ahead     time.Duration
	parts     bool
	whole     bool // set holds every kept property, so the envelope's body serves as it is

	delay       time.Duration
	timeout     time.Duration
	maxAttempts int
	concurrency int
	perKey      int
	ordering    *record.Field
	blocks      bool

	spec    flow.Spec // what the step functions need to know
	limit   *limiter  // Concurrency and PerKey; nil without limits
	counter counter
	noted   atomic.Int64                // how much was done when its fingerprint was last there, and one; zero: never yet; negative: it must be there
	own     atomic.Pointer[fingerprint] // which this program wrote down; nil: it was there
	pace    atomic.Int64                // ns that a run takes, on the whole: see took
	manners txManners                   // of a Tx task
	habit   txHabit                     // too
}

// handles reports whether the task runs a function of the user's.
func (t *task) handles() bool { return t.do != nil || t.tx != nil }

// groups reports whether the task is a default write that a store takes for
// many objects in one call. A row that follows its record is a few steps for
// each. A count is a few steps too, but each for all objects together.
func (k *kind) groups(t *task) bool {
	return !t.handles() && !(k.opts.Patched && t.partition != nil)
}

// A kind is a declared type with its plan, its type parameter erased.
type kind struct {
	name     string
	formerly []string
	table    string
	custody  Custody // never AutoCustody
	opts     KindOptions
	typ      *record.Type
	all      *record.Set // what the envelope carries: every kept property
	tasks    []*task     // by start order: priority 0, then real time, then background, by priority
	byName   map[string]*task
	make     func() any // a new *T
	spares   sync.Pool  // zero *T, for Get

	// references: a T holds slices, maps or pointers, so that a copy shares them.
	references bool

	// The record: the tasks whose default writes together are the object that
	// Get returns. Empty: the kind cannot be read by key.
	record []*task
	cache  *task   // the volatile default write of the whole object; nil: not cached
	parts  []*task // volatile default writes of tagged fields only
	alone  []*task // volatile default writes that keep what no durable one does

	oneLook     bool   // the cache entry has all that Get returns
	cachePrefix string // of the keys of cached objects

	lane    kindLanes
	served  []*kindLanes // of the kind's name and its former names
	foreign []string     // lanes of single tasks that this program serves
	limit   int          // bytes of the largest encoded object that every store of the plan takes; zero: no limit
	erased  atomic.Int64 // below this version an object may be erased

	firsts [1 << (Amorphous + 1)]atomic.Pointer[firsts] // by storeSet; nil: there were none
}

// value returns the addressable struct (or map) behind obj.
func value(obj any) reflect.Value { return reflect.ValueOf(obj).Elem() }

// task returns the task with this name or former name, or nil.
func (k *kind) task(name string) *task { return k.byName[name] }

// taskAt is task, first looked for where it stands in an envelope of all tasks.
func (k *kind) taskAt(i int, name string) *task {
	if i < len(k.tasks) && k.tasks[i].name == name {
		return k.tasks[i]
	}
	return k.task(name)
}

// transactionalRecord reports whether the whole record lies in the
// transactional store, so that conditions can be checked there.
func (k *kind) transactionalRecord() bool {
	return len(k.record) == 1 && k.record[0].write == writeRow
}
