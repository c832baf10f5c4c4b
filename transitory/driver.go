package transitory

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// An ID names a job on the driver that made it. It is opaque, and valid only
// while the driver that returned it is open: a restarted server may give the
// same number to another job, so drivers bind it to their connection's epoch
// and answer fault.ErrNotFound for a stale one.
type ID string

// A Job is one unit of work in a tube.
type Job struct {
	ID       ID            // set by the driver on Reserve; ignored by Put
	Tube     string        // grammar: ValidTube
	Priority uint32        // 0 is the most urgent
	Delay    time.Duration // not handed out earlier; at most MaxDelay, rounded up to the driver's resolution
	TTR      time.Duration // how long a reservation lasts without a Touch; zero means DefaultTTR
	Body     []byte        // nil and empty are the same
	Reserves int           // how often the job was handed out, this time included; 0 when the driver cannot say
}

// A Release gives a reserved job back.
type Release struct {
	ID       ID            // as Reserve gave it
	Priority uint32        // from now on, whatever it was; 0 is the most urgent
	Delay    time.Duration // not handed out earlier; 0 to MaxDelay
}

// TubeStats counts the jobs of one tube.
type TubeStats struct {
	Tube     string // as it was asked for
	Ready    int    // may be handed out now
	Delayed  int    // wait for their Delay
	Reserved int    // handed out, and not given back or deleted; their TTR runs
	Urgent   uint32 // priority of the most urgent ready job; meaningless when Ready is 0 or the driver lacks Features.Urgent
}

// Features are the promises of a driver that differ between drivers. Suites
// switch on them, never on a driver's name.
type Features struct {
	Name       string           // such as "embedded" or "beanstalkd"
	Durability fault.Durability // of a job whose Put returned nil
	MaxBody    int              // bytes; a larger body is fault.ErrTooLarge before anything is sent
	Resolution time.Duration    // of Delay and TTR
	Strict     bool             // the most urgent job of all comes first; else each of several servers orders its own
	FIFO       bool             // jobs of equal priority come in the order of their Put, with one producer
	Urgent     bool             // Stats fills TubeStats.Urgent
	Search     bool             // jobs can be looked into; New sets it when the driver is a Searcher
}

// Driver is the contract of a queue. Every method is safe for concurrent use,
// returns within 100 ms of its context's end, and copies what it keeps and
// what it returns. Slices of errors are aligned with the argument; an element
// is nil when that job's operation was applied.
//
// Errors: fault.ErrUnavailable when nothing was sent, fault.ErrUnknown when an
// answer was lost, fault.ErrNotFound for a job whose reservation is gone (its
// TTR passed, its server restarted: somebody else may be running it),
// fault.ErrTooLarge, fault.ErrInvalid for a bad tube or duration,
// fault.ErrClosed after Close.
type Driver interface {
	// Put adds jobs, each on its own: some may fail.
	Put(ctx context.Context, jobs []Job) []error
	// Reserve waits until at least one job of the tubes is ready, and returns
	// at most max of them, the most urgent first over all the tubes. When ctx
	// ends first it returns ctx.Err(). No tube at all is fault.ErrInvalid.
	Reserve(ctx context.Context, tubes []string, max int) ([]Job, error)
	// Delete removes reserved jobs: their work is done.
	Delete(ctx context.Context, ids []ID) []error
	// Release gives reserved jobs back.
	Release(ctx context.Context, releases []Release) []error
	// Touch restarts the TTR of reserved jobs.
	Touch(ctx context.Context, ids []ID) []error
	// Stats counts the jobs of the tubes, in their order; an unknown tube has
	// zeros.
	Stats(ctx context.Context, tubes []string) ([]TubeStats, error)
	// Close frees everything; reserved jobs become ready again. Closing twice
	// is fine.
	Close() error
}

// Featured tells a driver's promises. Every driver implements it.
type Featured interface{ Features() Features }

// Checker reports a driver's health. Every driver implements it.
type Checker interface {
	// Check asks the server, where there is one; what is wrong is in the report.
	Check(ctx context.Context) fault.Report
}

// Searcher is implemented by a driver whose jobs can be looked into without
// being reserved.
type Searcher interface {
	// Search calls want for every job that lies in the tubes when it begins,
	// ready, delayed or reserved, and removes those for which want returns
	// true and which nobody has reserved. It returns these, with their bodies,
	// and how many more are wanted, but reserved. want may be called twice for
	// a job, must not call the driver and must not keep the body; the job's ID
	// is not set.
	Search(ctx context.Context, tubes []string, want func(Job) bool) (removed []Job, kept int, err error)
}

// An Explainer is a driver that can say what it sends for a job, without asking
// its server.
type Explainer interface {
	// Explain returns the commands or statements by which Put puts a job, in their
	// order: with its tube, its numbers and the length of its body, which itself is
	// not in them.
	Explain(job Job) []string
}
