package main

import (
	"log/slog"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/volatile"
)

// stores are the four stores in a directory, each replaced by a server where
// the flags name one.
func (f flags) stores(dir string) persistence.Stores {
	stores := embedded.Stores(dir)
	if f.transitory != "" {
		stores.Transitory = transitory.URL(f.transitory)
	}
	if f.volatile != "" {
		stores.Volatile = volatile.URL(f.volatile)
	}
	if f.transactional != "" {
		stores.Transactional = transactional.URL(f.transactional)
	}
	if f.amorphous != "" {
		stores.Amorphous = amorphous.URL(f.amorphous)
	}
	return stores
}

// options are the defaults, with somebody who watches. A replay has more in
// flight at a time: what is in flight together is written together, and nobody
// waits for a check-in of years ago.
func (p *program) options(watch *watcher) *persistence.Options {
	opts := &persistence.Options{
		Namespace: p.namespace, Lease: p.lease,
		Observer: watch,
		Logger:   slog.New(slog.NewTextHandler(p.show.out, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if p.observe != nil {
		opts.Observer = p.observe(watch)
	}
	if p.events != "" {
		opts.Workers, opts.RealTimeWorkers = 256, 256
	}
	return opts
}
