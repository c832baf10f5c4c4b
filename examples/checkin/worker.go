package main

import (
	"context"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
)

// workOff works off what other processes put, until ctx ends.
func (p *program) workOff(ctx context.Context, game *game, watch *watcher, t *town.Town) error {
	if err := game.claim(ctx, t); err != nil {
		return err
	}
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		every := time.NewTicker(terminalEvery)
		defer every.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
				p.show.say("%s tasks worked off", comma(watch.ended.Load()))
			}
		}
	}()
	err := game.layer.Work(ctx)
	<-shown
	p.show.clear()
	if err == nil || ctx.Err() != nil {
		fmt.Fprintf(p.out, "%s tasks worked off\n", comma(watch.ended.Load()))
		return nil
	}
	return err
}
