package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/examples/internal/console"
	"github.com/fourfold-dev/fourfold/examples/internal/stores"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// An Input says which stream the stores hold, so that two never mix.
type Input struct {
	ID     string `persistence:"key"` // always "input"
	Name   string `transactional:""`
	Digest string `transactional:""`
}

// A feed brings a stream into a monitor, in order of arrival, each row once:
// what an earlier run put is left out, however that run ended.
type feed struct {
	console.Away
	monitor *monitor
	stream  *stream
	show    *console.Progress
	rate    int // rows a second; zero: as fast as they are taken

	held   int          // rows of earlier runs
	put    atomic.Int64 // rows accepted by this run
	ended  atomic.Int64 // tasks that came to their end
	base   int64        // of ended, when this run began to put
	moved  chan struct{}
	stored map[string]bool // rows of earlier runs
}

// afterPut is told how many rows were accepted; tests kill the program there.
var afterPut = func(put int64) {}

const (
	batch   = 256      // rows per PutAll
	backlog = 16 << 10 // rows under way at most: what is more would only wait in custody
)

// tasksPerRow is how many tasks a row comes to: its own, and those of the
// mention that it is normalised into.
const tasksPerRow = 2 + 5

func newFeed(s *stream, show *console.Progress, rate int) *feed {
	return &feed{stream: s, show: show, rate: rate, moved: make(chan struct{}, 1)}
}

// TaskDone is called by the layer when a run of a task ends. What it counts is
// for pacing only; totals are read back from the stores.
func (f *feed) TaskDone(_ context.Context, e persistence.TaskEvent) {
	switch e.Result {
	case "done", "superseded", "skipped", "dead", "unknown":
	default:
		return // it runs again
	}
	f.ended.Add(1)
	select {
	case f.moved <- struct{}{}:
	default:
	}
}

// play puts what is missing, and returns when all tasks of all rows are done.
func (f *feed) play(ctx context.Context) error {
	if err := f.claim(ctx); err != nil {
		return err
	}
	if err := f.settle(ctx); err != nil { // what an earlier run left
		return err
	}
	if err := f.resume(ctx); err != nil {
		return err
	}
	if f.held < len(f.stream.rows) {
		if err := f.bring(ctx); err != nil {
			return err
		}
	}
	return f.settle(ctx)
}

// claim makes the stores those of this stream, or finds that they are.
func (f *feed) claim(ctx context.Context) error {
	input := Input{ID: "input", Name: f.stream.name, Digest: f.stream.digest()}
	_, err := f.monitor.inputs.Create(ctx, input)
	if !errors.Is(err, fault.ErrExists) {
		return err
	}
	held, err := f.monitor.inputs.Get(ctx, input.ID)
	if err == nil && held.Digest != input.Digest {
		err = fmt.Errorf("the stores hold another stream, %s: use another directory, or other servers", held.Name)
	}
	return err
}

// resume finds out which rows were accepted before: with nothing left in
// custody, they are those that are stored.
func (f *feed) resume(ctx context.Context) error {
	f.stored = map[string]bool{}
	for row, err := range f.monitor.rows.Find(ctx, persistence.Query{}) {
		if err != nil {
			return err
		}
		f.stored[row.ID] = true
	}
	switch f.held = len(f.stored); {
	case f.held == len(f.stream.rows):
		f.show.Note("all %s rows are done; nothing is left to put", console.Comma(f.held))
	case f.held > 0:
		f.show.Note("continuing after %s of %s rows", console.Comma(f.held), console.Comma(len(f.stream.rows)))
	}
	return nil
}

// bring puts the rows while the layer works.
func (f *feed) bring(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	worked := make(chan error, 1)
	go func() { worked <- f.monitor.layer.Work(working) }()
	f.base = f.ended.Load()
	err := f.putRows(ctx)
	if err == nil {
		err = f.below(ctx, 0)
	}
	stop()
	return errors.Join(err, <-worked)
}

func (f *feed) putRows(ctx context.Context) error {
	size := batch
	if f.rate > 0 {
		size = max(1, min(batch, f.rate/20))
	}
	began := time.Now()
	next := make([]Row, 0, size)
	for _, row := range f.stream.rows {
		if f.stored[row.ID] {
			continue
		}
		if next = append(next, row); len(next) < size {
			continue
		}
		if err := f.putAll(ctx, next, began); err != nil {
			return err
		}
		next = next[:0]
	}
	return f.putAll(ctx, next, began)
}

// putAll puts a batch, when it is time and there is room for it. A store that
// is away is waited for.
func (f *feed) putAll(ctx context.Context, next []Row, began time.Time) error {
	if len(next) == 0 {
		return nil
	}
	if err := f.below(ctx, backlog-int64(len(next))); err != nil {
		return err
	}
	if f.rate > 0 {
		due := began.Add(time.Duration(f.put.Load()) * time.Second / time.Duration(f.rate))
		if err := sleep(ctx, time.Until(due)); err != nil {
			return err
		}
	}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		again, err := f.try(ctx, next)
		if err != nil || len(again) == 0 {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		next = again
	}
}

// try puts rows, and returns those to put again.
func (f *feed) try(ctx context.Context, rows []Row) (again []Row, err error) {
	for i, result := range f.monitor.rows.PutAll(ctx, rows) {
		switch err := result.Err; {
		case err == nil || fault.Accepted(err):
			afterPut(f.put.Add(1))
		case fault.Retryable(err):
			again = append(again, rows[i])
			f.show.Say("waiting: %v", err)
		case fault.Unknown(err):
			return nil, fmt.Errorf("whether row %s was accepted is not known; run again to go on: %w", rows[i].ID, err)
		default:
			return nil, fmt.Errorf("putting row %s: %w", rows[i].ID, err)
		}
	}
	f.progress()
	return again, nil
}

// progress shows how far it is.
func (f *feed) progress() {
	put := f.held + int(f.put.Load())
	f.show.Say("%s of %s rows accepted, %s tasks done%s",
		console.Comma(put), console.Comma(len(f.stream.rows)), console.Comma(f.ended.Load()), f.Waiting())
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// below waits until no more than a number of rows are under way.
func (f *feed) below(ctx context.Context, most int64) error {
	for f.put.Load()-(f.ended.Load()-f.base)/tasksPerRow > most {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.moved:
		case <-time.After(5 * time.Second):
			f.progress()
			// Nothing moves here: perhaps another process works for us, and we
			// are told of nothing. Custody knows.
			if err := f.recount(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// recount sets the number of rows under way to what custody holds.
func (f *feed) recount(ctx context.Context) error {
	stats, err := f.monitor.layer.Stats(ctx)
	if err != nil {
		return err
	}
	pending := int64(0)
	for _, t := range stats.Tasks {
		pending += t.Pending
	}
	f.base = f.ended.Load() + pending - f.put.Load()*tasksPerRow
	return nil
}

// settle waits until everything that was accepted is done.
func (f *feed) settle(ctx context.Context) error {
	left, err := stores.Drain(ctx, f.monitor.layer)
	if err != nil {
		return err
	}
	return stores.Undone(ctx, f.monitor.layer, left)
}
