package persistence

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A Purpose is why data is kept.
type Purpose uint8

// The four purposes.
const (
	// Transitory data is kept until one unit of work is done, then gone.
	Transitory Purpose = iota + 1
	// Volatile data is kept while it is useful; it may be lost at any time and
	// is rebuilt.
	Volatile
	// Transactional data changes wholly or not at all.
	Transactional
	// Amorphous data is kept for good, in any shape, at any write volume.
	Amorphous
)

var purposeNames = [...]string{"none", "transitory", "volatile", "transactional", "amorphous"}

// String returns the purpose's name as it stands in tags.
func (p Purpose) String() string {
	if int(p) >= len(purposeNames) {
		return "unknown purpose"
	}
	return purposeNames[p]
}

// A Document is an object without a struct: a map from property names to
// values, with its key under "id". Declare[Document] needs no struct.
type Document = record.Document

// A Plan says what one Put of a T causes: its tasks, in any order. It is data:
// it can be printed (Outline), compared, and validated without a store.
type Plan[T any] []Task[T]

// A Late says what becomes of a task whose slice of time is past.
type Late uint8

// What becomes of a late task.
const (
	// RunLate runs it after everything that is not late.
	RunLate Late = iota
	// Expire makes it a dead letter with the reason "expired".
	Expire
)

// A Task is one thing that a Put causes. It has a handler (Do or Tx), is
// External, or, with none of them, is the default write of its purpose:
//
//	transitory     a job that holds the object, in the tube KIND.TASK
//	volatile       a cache entry that Get serves
//	transactional  a row, one column per property
//	amorphous      a row of the object, by key or, with PartitionBy, where the application reads it;
//	               with Derive, rows of another type; with Count, no row of it, but what
//	               it counts as; neither of the two follows a Patch, which is refused there
type Task[T any] struct {
	// Name is durable: it stands in queued envelopes. Lower-case letters,
	// digits, hyphens and underscores, at most 40 bytes. Default: the
	// purpose's name, for a default write.
	Name string
	// Was lists earlier names, so that what is queued under them still runs. Rows
	// and counts of a name stay where they are: Handle.Backfill stores them anew.
	Was []string
	// Purpose routes the task, and names the store that it mainly needs.
	Purpose Purpose
	// Priority orders starts: 0 is before Put returns, then 1, 2, …; at most
	// MaxPriority. Tasks of equal priority run side by side.
	Priority int
	// RealTime tasks have workers that no other class takes.
	RealTime bool

	// When leaves out the task for objects for which it is false. It sees the
	// object as it was given, before it is encoded; nil means always. For a task
	// with Count it is asked when the task runs, of the object as it was
	// accepted, since a version that no longer counts must be taken out.
	When func(T) bool
	// Within is the slice of time, from acceptance, in which the task has
	// value; zero means for ever. Past it, Late decides, and TaskStats.Late counts.
	Within time.Duration
	Late   Late

	// Do is a handler. It runs at least once per accepted version.
	Do func(ctx context.Context, object T) error
	// Tx is a handler inside a transaction of the transactional store; its
	// effect through tx happens exactly once. The function may run again, so it
	// must have no effect but through tx. Where the database is a server, tasks
	// that wait share a transaction while their functions are short, each as if
	// those before it had committed; when one fails, all are rolled back and run
	// again without it. Rows that the function gets by the value of a field, of
	// text or a whole number, such as the key, are read for all of them together.
	Tx func(ctx context.Context, tx *Tx, object T) error
	// External tasks are served by another program that declares the same kind.
	// Each has an envelope of its own, so that it and its siblings do not wait
	// for each other.
	External bool
	// Rebuild says how the data of a volatile task with Do comes back after it
	// was lost; make it with the function Rebuild, and reach the data with
	// ViewOf. The rebuild of a default write is the record.
	Rebuild Rebuilding
	// OnDelete is what a delete does for a task with a handler; nil: nothing.
	OnDelete func(ctx context.Context, key string) error

	// Count makes an amorphous task count objects, instead of writing them.
	Count *Counts

	// PartitionBy lays out an amorphous default write: rows that share this
	// field's value lie together. A Go field name. What lies there already stays
	// where it is when PartitionBy, Newest or Bucket change, and may not be found,
	// which Layer.Check says: Handle.Verify and Repair move it, or a task of
	// another name is backfilled.
	PartitionBy string
	// Newest sorts the rows of a partition by this field, newest (largest)
	// first. A Go field name; needs PartitionBy.
	Newest string
	// Bucket bounds partitions by time of the Newest field, which must then be
	// a time.Time; zero means no bound. With Derive a bucket that becomes too
	// full is split, unseen by readers.
	Bucket time.Duration
	// TTL is the life of what the default write stores; zero means for ever
	// (amorphous), or while the cache has room (volatile).
	TTL time.Duration
	// Expires names the field, a time.Time, that says until when an amorphous
	// default write keeps this object; its zero value means for ever. It
	// excludes TTL. A Go field name.
	Expires string
	// Stale, Ahead and Parts say how a cache entry with a TTL is served, or a
	// value of a view that Rebuild brings back (see volatile.Keeping): how long past its TTL Get returns the old one at once,
	// while it is read again from the record behind the caller's back; how long
	// before its end what is read often is read again ahead of time. Parts lets
	// an object over the cache's limit lie in parts; else it is not cached, and
	// Put refuses it where no durable task keeps it. An entry is replaced by every Put in any case: only its time makes it stale.
	Stale time.Duration
	Ahead time.Duration
	Parts bool
	// Fields limits the default write to these Go fields, beside the key;
	// empty: what the tags say.
	Fields []string

	// Derive makes an amorphous default write one of rows that the object
	// implies, any number of them, laid out the way they are read: one per
	// friend, per tag, per hour. PartitionBy, Newest, Bucket, TTL and Fields
	// then name fields of the rows. Make it with Rows or RowsContext, and read
	// the rows with Derived.
	Derive Derivation[T]

	// Delay postpones the first start.
	Delay time.Duration
	// Timeout bounds one run of a handler; default Options.Timeout. It ends the
	// handler's context. Of one that goes on all the same another worker takes the
	// place ten seconds later (Stats.Stuck).
	Timeout time.Duration
	// MaxAttempts is how many refusals make a dead letter; default
	// DefaultMaxAttempts. A run that ends the process counts as one from the
	// third on: the first two may be anybody's crash.
	MaxAttempts int
	// Concurrency bounds the runs of this task at a time in this process; zero
	// means the number of workers.
	Concurrency int
	// PerKey bounds the runs at a time for objects of one key, over all
	// processes: at most MaxPerKey; zero: unbounded. Needs transactional custody.
	// A run over the bound waits in custody and spends no attempt.
	PerKey int
	// OrderingKey runs the task in the order of acceptance among objects with
	// the same value of this field, also across processes. A Go field name;
	// needs transactional custody.
	OrderingKey string
	// Blocks makes a dead letter keep its ordering key, until it is replayed
	// or discarded; else the next object goes on.
	Blocks bool
}

// Limits of a plan.
const (
	MaxPriority        = 1 << 20
	DefaultMaxAttempts = 20
	MaxTasks           = 64
	MaxPerKey          = transactional.MaxSlots
	// MaxTransitory is the largest envelope in transitory custody, in bytes.
	MaxTransitory = 64 << 10
)
