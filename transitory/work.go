package transitory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Work takes jobs and runs the handler on each, at most workers at once, until
// ctx ends or the queue is closed. What a handler answers decides: nil deletes
// the job, an error releases it with a back-off; a handler that panics has
// failed. A job runs at least once: its effect should be one that may be
// repeated.
//
// When ctx ends Work takes no more jobs, lets handlers finish for
// TubeOptions.Grace, then ends their context, and returns when the last one
// has: nil, unless the queue refused to go on (fault.ErrClosed,
// fault.ErrInvalid). A handler's context has ctx's values, but not its end. A
// queue that cannot be reached is tried again, ever less often up to every two
// seconds.
//
// Fewer than one worker, or no handler, is fault.ErrInvalid.
func (t *Tube[T]) Work(ctx context.Context, workers int, handle func(ctx context.Context, v T) error) error {
	if workers < 1 || handle == nil {
		return fault.New(fault.ErrInvalid, "transitory", "work", "Work needs at least one worker, and a handler")
	}
	take, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	run, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	graceful := context.AfterFunc(take, func() {
		timer := time.AfterFunc(t.opts.Grace, func() { end(errStopped) })
		context.AfterFunc(run, func() { timer.Stop() })
	})
	defer graceful()

	var once sync.Once
	var failed error
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			if err := t.worker(take, run, handle); err != nil {
				once.Do(func() { failed = err; stop(err) })
			}
		})
	}
	wg.Wait()
	return failed
}

var errStopped = errors.New("the worker was told to stop, and its grace is over")

// worker takes one job after the other.
func (t *Tube[T]) worker(take, run context.Context, handle func(context.Context, T) error) error {
	for failures := 0; take.Err() == nil; {
		jobs, err := t.queue.Reserve(take, []string{t.name}, 1)
		switch {
		case take.Err() != nil && err != nil:
			return nil
		case errors.Is(err, fault.ErrClosed), errors.Is(err, fault.ErrInvalid):
			return err
		case err != nil:
			t.opts.Failed(Job{Tube: t.name}, err)
			failures++
			pause(take, failures)
			continue
		}
		failures = 0
		for _, job := range jobs {
			t.work(run, job, handle)
		}
	}
	return nil
}

// pause waits 50 ms, doubled at every failure up to 2 s, less up to a half by
// chance, or until ctx ends.
func pause(ctx context.Context, failures int) {
	d := min(50*time.Millisecond<<min(failures-1, 6), 2*time.Second)
	timer := time.NewTimer(d - rand.N(d/2))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// work runs the handler on one job and answers for it.
func (t *Tube[T]) work(run context.Context, job Job, handle func(context.Context, T) error) {
	var v T
	err := t.codec.Decode(job.Body, &v)
	if err == nil {
		err = t.handle(run, job, v, handle)
	} else {
		err = fault.Wrap(fault.ErrCorrupt, "transitory", "decode", err)
	}
	if err == nil {
		t.answer(run, job, "delete", func(ctx context.Context) error { return t.queue.Delete(ctx, job.ID)[0] })
		return
	}
	t.opts.Failed(job, err)
	if t.opts.Dead != nil && fault.Permanent(err) {
		t.bury(run, job, err)
		return
	}
	t.release(run, job)
}

// handle runs the handler under its timeout, while its reservation is renewed.
// A reservation that is lost ends the handler's context: somebody else may be
// running the job.
func (t *Tube[T]) handle(run context.Context, job Job, v T, handle func(context.Context, T) error) (err error) {
	ctx, cancel := context.WithTimeout(run, t.opts.Timeout)
	defer cancel()
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	defer t.renew(ctx, job, lost)()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the handler panicked: %v", r)
		}
	}()
	return handle(ctx, v)
}

// renew touches a job twice per TTR until ctx ends or the function that it
// returns is called.
func (t *Tube[T]) renew(ctx context.Context, job Job, lost context.CancelCauseFunc) (stop func()) {
	every := t.opts.TTR / 2
	if job.TTR > 0 {
		every = job.TTR / 2
	}
	var mu sync.Mutex
	var timer *time.Timer
	stopped := false
	beat := func() {
		touch, cancel := context.WithTimeout(ctx, every)
		defer cancel()
		if err := t.queue.Touch(touch, job.ID)[0]; errors.Is(err, fault.ErrNotFound) {
			lost(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if !stopped && ctx.Err() == nil {
			timer.Reset(every)
		}
	}
	mu.Lock()
	timer = time.AfterFunc(every, beat)
	mu.Unlock()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}

// bury hands a job that cannot succeed to Dead, and deletes it once it is kept
// there.
func (t *Tube[T]) bury(run context.Context, job Job, reason error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(run), t.opts.TTR)
	defer cancel()
	if err := t.opts.Dead(ctx, job, reason); err != nil {
		t.opts.Failed(job, err)
		t.release(run, job)
		return
	}
	t.answer(run, job, "delete", func(ctx context.Context) error { return t.queue.Delete(ctx, job.ID)[0] })
}

// release gives a failed job back. A job whose handler was cut off by a stop
// did not fail: another process may take it at once.
func (t *Tube[T]) release(run context.Context, job Job) {
	r := Release{ID: job.ID, Priority: job.Priority}
	if run.Err() == nil {
		r.Delay = min(max(t.opts.Backoff(job.Reserves), 0), MaxDelay)
	}
	t.answer(run, job, "release", func(ctx context.Context) error { return t.queue.Release(ctx, r)[0] })
}

// answer tells the queue what became of a job, also while Work is stopping,
// and tries again as long as the reservation can hold. An answer that never
// arrives means that the job runs once more.
func (t *Tube[T]) answer(run context.Context, job Job, op string, tell func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(run), t.opts.TTR)
	defer cancel()
	unknown := false
	for failures := 1; ; failures++ {
		err := tell(ctx)
		if err == nil || unknown && errors.Is(err, fault.ErrNotFound) {
			return // now, or by an earlier attempt whose answer was lost
		}
		unknown = unknown || fault.Unknown(err)
		if (!fault.Retryable(err) && !fault.Unknown(err)) || ctx.Err() != nil {
			t.opts.Failed(job, fmt.Errorf("%s: %w", op, err))
			return
		}
		pause(ctx, failures)
	}
}
