package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
	"github.com/fourfold-dev/fourfold/examples/internal/console"
	"github.com/fourfold-dev/fourfold/examples/internal/stores"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A feed brings a town's check-ins into a game, in order of arrival, each once:
// what an earlier run put is left out, however that run ended.
type feed struct {
	game  *game
	town  *town.Town
	watch *watcher
	show  *console.Progress
	// putOnly leaves the work to other processes.
	putOnly bool

	held   accepted     // by earlier runs
	before atomic.Int64 // how many of them
	put    atomic.Int64 // accepted by this run
	base   int64        // tasks that had ended when this run began to put
}

const (
	batch   = 256  // check-ins per PutAll
	backlog = 2048 // check-ins under way at most: what is more would only wait in custody
)

// play puts what is missing, and returns when all tasks of all check-ins are
// done.
func (f *feed) play(ctx context.Context) error {
	if err := f.game.claim(ctx, f.town); err != nil {
		return err
	}
	if err := f.resume(ctx); err != nil {
		return err
	}
	if f.held.count < len(f.town.Events) {
		if err := f.bring(ctx); err != nil {
			return err
		}
	}
	return f.settle(ctx)
}

// bring puts the check-ins while the layer works.
func (f *feed) bring(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	worked := make(chan error, 1)
	if f.putOnly {
		worked <- nil
	} else {
		go func() { worked <- f.game.layer.Work(working) }()
	}
	shown := make(chan struct{})
	go f.report(working, shown)
	f.base = f.watch.ended.Load()
	err := f.history(ctx)
	if err == nil {
		err = f.below(ctx, 0)
	}
	if err == nil {
		err = f.stretch(ctx)
	}
	if err == nil {
		err = f.below(ctx, 0)
	}
	stop()
	<-shown
	return errors.Join(err, <-worked)
}

// resume lets what an earlier run left come to its end, and finds out what was
// accepted.
func (f *feed) resume(ctx context.Context) error {
	if err := f.settle(ctx); err != nil {
		return err
	}
	var err error
	f.held, err = f.game.accepted(ctx, f.town)
	f.before.Store(int64(f.held.count))
	switch {
	case err != nil:
		return err
	case f.held.count == len(f.town.Events):
		f.show.Note("all %s check-ins are done; nothing is left to put", console.Comma(f.held.count))
	case f.held.count > 0:
		f.show.Note("continuing after %s of %s check-ins", console.Comma(f.held.count), console.Comma(len(f.town.Events)))
	}
	return nil
}

// history puts the check-ins before the stretch, as fast as they are taken.
func (f *feed) history(ctx context.Context) error {
	next := make([]Checkin, 0, batch)
	for _, e := range f.town.Events[:f.town.Stretch.From] {
		if f.held.lines[e.Line] {
			continue
		}
		if next = append(next, checkinOf(e)); len(next) == batch {
			if err := f.putAll(ctx, next); err != nil {
				return err
			}
			next = next[:0]
		}
	}
	return f.putAll(ctx, next)
}

// putAll puts a batch, when there is room for it. A store that is away is
// waited for.
func (f *feed) putAll(ctx context.Context, next []Checkin) error {
	if len(next) == 0 {
		return nil
	}
	if err := f.below(ctx, backlog-batch); err != nil {
		return err
	}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		var again []Checkin
		var why error
		for i, result := range f.game.checkins.PutAll(ctx, next) {
			switch err := result.Err; {
			case err == nil || fault.Accepted(err):
				f.put.Add(1)
			case fault.Retryable(err):
				again, why = append(again, next[i]), err
			default:
				return putting(next[i], err)
			}
		}
		if len(again) == 0 {
			return nil
		}
		f.show.Say("waiting: %v", why)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		next = again
	}
}

// putting explains why a check-in was not accepted. Whether one with an unknown
// outcome was, the next run finds out.
func putting(c Checkin, err error) error {
	if fault.Unknown(err) {
		return fmt.Errorf("whether check-in %s was accepted is not known; run again to go on: %w", c.ID, err)
	}
	return fmt.Errorf("putting check-in %s: %w", c.ID, err)
}

// under returns how many check-ins are under way.
func (f *feed) under() int64 {
	return f.put.Load() - (f.watch.ended.Load()-f.base)/int64(len(tasks))
}

// below waits until no more than a number of check-ins are under way.
func (f *feed) below(ctx context.Context, most int64) error {
	patience := 5 * time.Second
	if f.putOnly {
		patience = 100 * time.Millisecond
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for f.under() > most {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.watch.moved:
			timer.Reset(patience)
		case <-timer.C:
			// Nothing moves here: another process works for us, and we are told
			// of nothing. Custody knows.
			if err := f.recount(ctx); err != nil {
				return err
			}
			timer.Reset(patience)
		}
	}
	return nil
}

// recount sets the number of check-ins under way to what custody holds.
func (f *feed) recount(ctx context.Context) error {
	pending, err := f.pending(ctx)
	if err != nil {
		return err
	}
	f.base = f.watch.ended.Load() + pending - f.put.Load()*int64(len(tasks))
	return nil
}

// pending returns how many tasks custody holds, whoever put them.
func (f *feed) pending(ctx context.Context) (n int64, err error) {
	stats, err := f.game.layer.Stats(ctx)
	for _, t := range stats.Tasks {
		if t.Kind == "checkin" {
			n += t.Pending
		}
	}
	return n, err
}

// settle waits until every accepted check-in is done with all its tasks.
func (f *feed) settle(ctx context.Context) error {
	left, err := f.drain(ctx)
	if err != nil {
		return err
	}
	return stores.Undone(ctx, f.game.layer, left)
}

// drain returns when everything is done that can be: by this process, or by
// those that it waits for.
func (f *feed) drain(ctx context.Context) ([]persistence.Left, error) {
	for f.putOnly {
		pending, err := f.pending(ctx)
		if err != nil || pending == 0 {
			return nil, err
		}
		f.show.Say("waiting for whoever works: %s tasks are left", console.Comma(pending))
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return stores.Drain(ctx, f.game.layer)
}

// report shows how far it is until ctx ends.
func (f *feed) report(ctx context.Context, ended chan<- struct{}) {
	defer close(ended)
	every := time.NewTicker(console.TerminalEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			put := f.before.Load() + f.put.Load()
			f.show.Say("%s of %s check-ins accepted, %s tasks done%s",
				console.Comma(put), console.Comma(len(f.town.Events)), console.Comma(f.watch.ended.Load()), f.watch.Waiting())
		}
	}
}

// summary says how much was done in how long.
func (f *feed) summary(out io.Writer, seconds float64) {
	put := f.put.Load()
	if put == 0 {
		fmt.Fprintf(out, "\nNothing was left to do; read back in %.1f s\n", seconds)
		return
	}
	fmt.Fprintf(out, "\n%s check-ins put and all their tasks done, and read back, in %.1f s\n", console.Comma(put), seconds)
}
