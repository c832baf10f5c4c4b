package persistence

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/volatile"
)

// Stores are the four stores of a layer, one source per purpose, freely mixed.
// A nil one is missing: declaring a kind that needs it is refused with a
// sentence that says so.
type Stores struct {
	// Open opens each once, and Close of the layer closes what it opened.
	Transitory    transitory.Source
	Volatile      volatile.Source
	Transactional transactional.Source
	Amorphous     amorphous.Source
}

// Options of a layer. Nil, and every zero value in it, means the default.
type Options struct {
	// Namespace prefixes every table, tube and cache key, so that two layers
	// can share servers. Lower-case letters and digits, at most 16 bytes.
	// Default "ff".
	Namespace string
	// Workers run background tasks, RealTimeWorkers run only real-time ones: how
	// many envelopes each class has in flight, or groups of up to 64 where nothing
	// but default writes is next. A quarter of them, and one at least, writes to one
	// store at a time, so that a slow one leaves the others to its siblings; with
	// seven or fewer that is one group per store. The same bounds the drain of what
	// waited for a store that is back: it is not knocked over again, by default by
	// more than 16 groups at a time from each process. While objects with real-time
	// tasks are accepted more slowly than they need to be, fewer write: down to one
	// group per store, by itself. Default 64 and 32.
	Workers         int
	RealTimeWorkers int
	// Timeout bounds one run of a handler that names none. Default 1 minute.
	Timeout time.Duration
	// Grace is how long handlers keep going after Work's context ended, before
	// they are cancelled. Default 10 s.
	Grace time.Duration
	// Remember is how long a caller's token is kept. Default 24 h.
	Remember time.Duration
	// Horizon is how old a version may be and still be applied by itself; an
	// older envelope becomes a dead letter. Default 7 days.
	Horizon time.Duration
	// MaxSkew is how far this machine's clock may be ahead of the clock of a
	// shared transactional store; beyond it Put is refused, as unavailable, until
	// the clocks agree again: its versions would silence all other writers. A
	// layer without such a store is held against no clock: where Cassandra is the
	// only durable store, a machine whose clock is ahead wins over all others
	// until they get there. Default 1 s.
	MaxSkew time.Duration
	// Lease is how long a claim in a shared store outlives its owner. Default
	// 30 s.
	Lease time.Duration
	// Rebuilds is how many objects are read from the record at once because a
	// cold cache does not have them, and RebuildRate how many such reads begin
	// per second, so that a cache which lost everything does not knock over the
	// store of record; further ones wait. Default 64 at once, at any rate.
	Rebuilds    int
	RebuildRate int
	// MaxHeld bounds the envelopes that this process holds in memory beyond
	// those in flight; what is more waits in custody. While more than a quarter of them
	// waits for a slow store, these give way to the others. Half as many more, whose
	// real-time tasks have run, are held until custody has taken them back. Default
	// 8192.
	MaxHeld int
	// Logger receives what a person should know, also what the drivers that the
	// layer opens and their clients have to say, unless their own Options name
	// another. Default slog.Default().
	Logger *slog.Logger
	// Observer receives events: it implements at least one of the Observer
	// interfaces of this package (PutObserver, TaskObserver, StoreObserver); one that
	// implements none is refused. Its panics are logged. Nil: nobody listens.
	Observer any
}

func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	def(&out.Namespace, "ff")
	def(&out.Workers, 64)
	def(&out.RealTimeWorkers, 32)
	def(&out.Timeout, time.Minute)
	def(&out.Grace, 10*time.Second)
	def(&out.Remember, 24*time.Hour)
	def(&out.Horizon, 7*24*time.Hour)
	def(&out.MaxSkew, time.Second)
	def(&out.Lease, 30*time.Second)
	def(&out.MaxHeld, 8192)
	def(&out.Rebuilds, 64)
	if out.Logger == nil {
		out.Logger = slog.Default()
	}
	return out, out.validate()
}

func def[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

func (o *Options) validate() error {
	var faults faults
	if !validNamespace(o.Namespace) {
		faults.add("Namespace %q: use 1 to 16 lower-case letters and digits, a letter first", o.Namespace)
	}
	faults.within("Workers", o.Workers, 1, 4096)
	faults.within("RealTimeWorkers", o.RealTimeWorkers, 1, 4096)
	faults.within("Rebuilds", o.Rebuilds, 1, 1<<16)
	faults.within("RebuildRate", o.RebuildRate, 0, 1_000_000)
	faults.within("MaxHeld", o.MaxHeld, 1, 1<<20)
	for name, d := range map[string]time.Duration{
		"Timeout": o.Timeout, "Grace": o.Grace, "Remember": o.Remember,
		"Horizon": o.Horizon, "MaxSkew": o.MaxSkew, "Lease": o.Lease,
	} {
		if d < 0 {
			faults.add("%s is %v: use a positive duration, or zero for the default", name, d)
		}
	}
	if o.Observer != nil && !observes(o.Observer) {
		faults.add("Observer of type %T implements none of the observer interfaces: see PutObserver", o.Observer)
	}
	return faults.err("options")
}

// faults collects what is wrong, so that all of it is reported together.
type faults []string

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// err is all faults in one fault.ErrInvalid, or nil when there is none.
func (f faults) err(what string) error {
	if len(f) == 0 {
		return nil
	}
	return fault.New(fault.ErrInvalid, "", what, strings.Join(f, "; "))
}

func (f *faults) within(name string, value, low, high int) {
	if value < low || value > high {
		f.add("%s is %d: use %d to %d", name, value, low, high)
	}
}

func validNamespace(s string) bool {
	if len(s) == 0 || len(s) > 16 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
