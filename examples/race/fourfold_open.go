package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"

	"github.com/fourfold-dev/fourfold/amorphous"
	_ "github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/transactional"
	_ "github.com/fourfold-dev/fourfold/transactional/mysql"
	"github.com/fourfold-dev/fourfold/transitory"
	_ "github.com/fourfold-dev/fourfold/transitory/beanstalkd"
	"github.com/fourfold-dev/fourfold/volatile"
	_ "github.com/fourfold-dev/fourfold/volatile/memcached"
)

// defaultNamespace is in front of all that the race keeps by Fourfold.
const defaultNamespace = "race"

// A system is an open layer with the kinds of the race.
type system struct {
	fourfold
	layer *persistence.Layer
	owes  bool // custody holds what nobody here works on
}

// openFourfold opens the layer on the servers, or, without any, in a directory.
// Faults stand before the stores if there are any.
func openFourfold(ctx context.Context, namespace string, s servers, dir string, laps *laps, faults *persistencetest.Faults) (*system, error) {
	stores := embedded.Stores(dir)
	if s.given() {
		stores = persistence.Stores{
			Transitory: transitory.URL(s.Transitory), Volatile: volatile.URL(patient(s.Volatile)),
			Transactional: transactional.URL(s.Transactional), Amorphous: amorphous.URL(s.Amorphous),
		}
	}
	if faults != nil {
		stores = faults.Wrap(stores)
	}
	layer, err := persistence.Open(ctx, stores, &persistence.Options{
		Namespace: cmp.Or(namespace, defaultNamespace), Observer: laps,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return nil, err
	}
	sys := &system{fourfold: fourfold{laps: laps}, layer: layer}
	sys.declare(layer)
	if err := layer.CreateSchema(ctx); err != nil {
		return nil, errors.Join(err, layer.Close())
	}
	return sys, nil
}

// patient is the URL of a cache that is given as long to answer as by hand, unless it
// says how long. A cache that a busy machine keeps waiting for less is passed over, and
// then the stores do not hold what was put.
func patient(cache string) string {
	u, err := url.Parse(cache)
	if err != nil || u.Query().Has("timeout") {
		return cache // package volatile says what is wrong with it
	}
	q := u.Query()
	q.Set("timeout", cachePatience.String())
	u.RawQuery = q.Encode()
	return u.String()
}

// TaskDone is told by the layer of every run of a task: the follow-ups tell the
// lap themselves. A cache write that was skipped, since the cache did not answer,
// is over too: what is verified afterwards says what is missing.
func (ls *laps) TaskDone(_ context.Context, e persistence.TaskEvent) {
	l := ls.current.Load()
	if l == nil || !l.all || e.Result != "done" && e.Result != "skipped" || indexOf(l.number, e.Key) < 0 {
		return
	}
	if l.see != nil {
		l.see(e)
	}
	if e.Task != "notify" && e.Task != "index" {
		l.ended()
	}
}

// work lets the layer work until stop is called.
func (s *system) work(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	worked := make(chan error, 1)
	go func() { worked <- s.layer.Work(ctx) }()
	return func() error { cancel(); return <-worked }
}
