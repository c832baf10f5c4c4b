package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// The pace of a stretch.
const (
	calmEvery  = 10 * time.Millisecond
	spikeEvery = time.Millisecond
	putters    = 256 // Puts at a time at most
)

// due returns when an event of a stretch is due, from the stretch's beginning.
func due(s town.Stretch, index int) time.Duration {
	calm := min(index, s.Spike) - s.From + max(index-s.Calm, 0)
	spike := min(max(index-s.Spike, 0), s.Calm-s.Spike)
	return time.Duration(calm)*calmEvery + time.Duration(spike)*spikeEvery
}

// stretch puts the check-ins of the stretch one by one, each at its time,
// whether or not those before are done: people do not wait for a program.
func (f *feed) stretch(ctx context.Context) error {
	s := f.town.Stretch
	var wg sync.WaitGroup
	slots := make(chan struct{}, putters)
	failed := make(chan error, s.To-s.From)
	began := time.Now()
	for index := s.From; index < s.To && len(failed) == 0; index++ {
		e := f.town.Events[index]
		if f.held.lines[e.Line] {
			continue
		}
		select {
		case <-ctx.Done():
			wg.Wait()
			return ctx.Err()
		case <-time.After(time.Until(began.Add(due(s, index)))):
		}
		slots <- struct{}{}
		wg.Go(func() {
			if err := f.game.play(ctx, checkinOf(e)); err == nil || fault.Accepted(err) {
				f.put.Add(1)
			} else {
				failed <- putting(checkinOf(e), err)
			}
			<-slots
		})
	}
	wg.Wait()
	close(failed)
	var errs []error
	for err := range failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
