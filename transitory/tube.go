package transitory

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// TubeOptions are how a Tube puts and works; zero values are the defaults.
type TubeOptions struct {
	// Priority of a job that is put without one of its own. 0 is the most
	// urgent.
	Priority uint32
	// TTR is how long a job is reserved before somebody else may run it. While
	// a handler runs, its reservation is renewed twice per TTR, so this is how
	// fast a worker that died is noticed. Default DefaultTTR; at least a
	// second, which is all that some drivers resolve.
	TTR time.Duration
	// Timeout is the longest run of a handler: its context ends then, and its
	// reservation is no longer renewed. Default ten minutes.
	Timeout time.Duration
	// Grace is how long handlers go on after Work was told to stop, before
	// their context ends. Default 30 s.
	Grace time.Duration
	// Backoff is how long a job waits after it failed; reserves counts how
	// often it was handed out, or is 0 where the driver cannot say. It is cut to
	// MaxDelay. Default: a second, doubled up to a minute, less up to a half by
	// chance.
	Backoff func(reserves int) time.Duration
	// Dead keeps a job that cannot succeed: its body cannot be decoded, or its
	// handler returned an error for which fault.Permanent is true. When Dead
	// returns nil the job is deleted. Without Dead such a job is released like
	// every other that fails, and is never lost.
	Dead func(ctx context.Context, job Job, reason error) error
	// Failed is told of every failure: of a handler, of decoding, and of a
	// queue that did not take an answer. It must not block. Default: nobody is
	// told.
	Failed func(job Job, err error)
}

const (
	minTTR         = time.Second
	defaultTimeout = 10 * time.Minute
	defaultGrace   = 30 * time.Second
)

func (o TubeOptions) withDefaults() TubeOptions {
	if o.TTR == 0 {
		o.TTR = DefaultTTR
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if o.Backoff == nil {
		o.Backoff = backoff
	}
	if o.Failed == nil {
		o.Failed = func(Job, error) {}
	}
	return o
}

func (o TubeOptions) validate() error {
	var faults []string
	if o.TTR < minTTR || o.TTR > MaxTTR {
		faults = append(faults, fmt.Sprintf("TTR is %v; it must be %v to %v", o.TTR, minTTR, MaxTTR))
	}
	if o.Timeout < 0 {
		faults = append(faults, fmt.Sprintf("Timeout is %v; it must not be negative", o.Timeout))
	}
	if o.Grace < 0 {
		faults = append(faults, fmt.Sprintf("Grace is %v; it must not be negative", o.Grace))
	}
	if len(faults) == 0 {
		return nil
	}
	return fault.New(fault.ErrInvalid, "transitory", "tube", strings.Join(faults, "; "))
}

// backoff is a second, doubled at every reserve up to a minute, less up to a
// half by chance, so that what failed together does not come back together.
func backoff(reserves int) time.Duration {
	d := time.Second << min(max(reserves-1, 0), 6)
	d = min(d, time.Minute)
	return d - rand.N(d/2)
}

// A Tube is a typed queue: values of T go in, and handlers that Work runs get
// them out, the most urgent first. It is safe for concurrent use.
//
// A T of []byte travels as it is; a struct with a field tagged
// persistence:"key" travels as its record, without the fields tagged
// transitory:"-"; everything else travels as JSON.
type Tube[T any] struct {
	queue *Queue
	name  string
	opts  TubeOptions
	codec record.Values[T]
}

// NewTube returns a tube of a queue; opts may be nil. All faults of the name,
// the options and the type are fault.ErrInvalid.
func NewTube[T any](queue *Queue, name string, opts *TubeOptions) (*Tube[T], error) {
	if err := ValidTube(name); err != nil {
		return nil, err
	}
	var o TubeOptions
	if opts != nil {
		o = *opts
	}
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	c, err := record.ValuesOf[T]("transitory", "tube", carried)
	if err != nil {
		return nil, err
	}
	return &Tube[T]{queue: queue, name: name, opts: o, codec: c}, nil
}

// Name is the tube's name.
func (t *Tube[T]) Name() string { return t.name }

// A PutOption says how one job differs from what TubeOptions say.
type PutOption func(*Job)

// Priority puts a job with a priority of its own; 0 is the most urgent.
func Priority(p uint32) PutOption { return func(j *Job) { j.Priority = p } }

// Delay puts a job that is not handed out before d has passed; at most
// MaxDelay.
func Delay(d time.Duration) PutOption { return func(j *Job) { j.Delay = d } }

// Put adds one value. It is in the queue, as durable as the queue is, when the
// error is nil; when fault.Unknown(err) holds it may be.
func (t *Tube[T]) Put(ctx context.Context, v T, opts ...PutOption) error {
	job, err := t.job(&v, opts)
	if err != nil {
		return err
	}
	return t.queue.Put(ctx, job)[0]
}

// PutAll adds values, each on its own; the errors are aligned with them.
func (t *Tube[T]) PutAll(ctx context.Context, values []T, opts ...PutOption) []error {
	errs := make([]error, len(values))
	jobs := make([]Job, 0, len(values))
	at := make([]int, 0, len(values))
	for i := range values {
		job, err := t.job(&values[i], opts)
		if err != nil {
			errs[i] = err
			continue
		}
		jobs, at = append(jobs, job), append(at, i)
	}
	for i, err := range t.queue.Put(ctx, jobs...) {
		errs[at[i]] = err
	}
	return errs
}

func (t *Tube[T]) job(v *T, opts []PutOption) (Job, error) {
	body, err := t.codec.Encode(v)
	if err != nil {
		return Job{}, err
	}
	job := Job{Tube: t.name, Priority: t.opts.Priority, TTR: t.opts.TTR, Body: body}
	for _, opt := range opts {
		opt(&job)
	}
	return job, nil
}

// Stats counts the tube's jobs.
func (t *Tube[T]) Stats(ctx context.Context) (TubeStats, error) {
	stats, err := t.queue.Stats(ctx, t.name)
	if err != nil {
		return TubeStats{}, err
	}
	return stats[0], nil
}
