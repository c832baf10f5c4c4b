package main

import (
	"context"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
	"github.com/fourfold-dev/fourfold/examples/internal/console"
)

// workOff works off what other processes put, until ctx ends.
func (p *program) workOff(ctx context.Context, game *game, watch *watcher, t *town.Town) error {
	if err := game.claim(ctx, t); err != nil {
		return err
	}
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		every := time.NewTicker(console.TerminalEvery)
		defer every.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-every.C:
				p.show.Say("%s tasks worked off%s", console.Comma(watch.ended.Load()), watch.Waiting())
			}
		}
	}()
	err := game.layer.Work(ctx)
	<-shown
	p.show.Clear()
	if err == nil || ctx.Err() != nil {
		fmt.Fprintf(p.out, "%s tasks worked off\n", console.Comma(watch.ended.Load()))
		return nil
	}
	return err
}
