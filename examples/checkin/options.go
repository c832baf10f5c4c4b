package main

import (
	"log/slog"

	"github.com/fourfold-dev/fourfold/persistence"
)

// options are the defaults, with somebody who watches. A replay has more in
// flight at a time: what is in flight together is written together, and nobody
// waits for a check-in of years ago.
func (p *program) options(watch *watcher) *persistence.Options {
	opts := &persistence.Options{
		Namespace: p.namespace, Lease: p.lease,
		Observer: watch,
		Logger:   slog.New(slog.NewTextHandler(p.show.Out, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if p.observe != nil {
		opts.Observer = p.observe(watch)
	}
	if p.events != "" {
		opts.Workers, opts.RealTimeWorkers = 224, 224
	}
	return opts
}
