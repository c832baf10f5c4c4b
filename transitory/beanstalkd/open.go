package beanstalkd

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/beanstalkd/go-beanstalk"

	"github.com/fourfold-dev/fourfold/internal/schemes"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

func init() {
	transitory.Register("beanstalkd", func(ctx context.Context, url string) (transitory.Driver, error) {
		addrs, opts, err := parseURL(url)
		if err != nil {
			return nil, err
		}
		return open(ctx, addrs, opts)
	})
}

// defaultMaxBody is what a server takes that was not told otherwise.
const defaultMaxBody = 65535

// Servers is the queue on one or more servers, each "host:port" or the path of
// a unix socket; opts may be nil. The servers need not be there: what they say
// of themselves when the queue is opened goes into its Features.
func Servers(addrs []string, opts *Options) transitory.Source {
	var o Options
	if opts != nil {
		o = *opts
	}
	addrs = slices.Clone(addrs)
	return transitory.SourceFunc(func(ctx context.Context) (transitory.Driver, error) {
		return open(ctx, addrs, o)
	})
}

func open(ctx context.Context, addrs []string, opts Options) (transitory.Driver, error) {
	if opts.Logger == nil {
		opts.Logger = schemes.Logger(ctx)
	}
	opts = opts.withDefaults()
	if err := opts.validate(addrs); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d := &driver{epoch: newEpoch(), consumers: map[uint64]*consumer{}}
	d.ctx, d.stop = context.WithCancel(context.Background())
	for _, addr := range addrs {
		d.servers = append(d.servers, newServer(d, addr, opts))
	}
	d.features = d.learn(ctx, opts)
	return d, nil
}

// learn asks all servers at once, for as long as one dial may take, and makes
// promises that hold for all of them.
func (d *driver) learn(ctx context.Context, opts Options) transitory.Features {
	f := transitory.Features{
		Name: "beanstalkd", Durability: opts.Durability, MaxBody: defaultMaxBody,
		Resolution: time.Second, Strict: len(d.servers) == 1, FIFO: len(d.servers) == 1,
	}
	var wg sync.WaitGroup
	for _, s := range d.servers {
		wg.Go(func() {
			if l, err := s.dial(ctx); err == nil {
				s.keep(l)
			}
		})
	}
	wg.Wait()
	weakest, largest := fault.Written, 0
	for _, s := range d.servers {
		s.mu.Lock()
		stats, known := s.stats, !s.looked.IsZero()
		s.mu.Unlock()
		if !known {
			continue
		}
		if stats.durability() == fault.Memory {
			weakest = fault.Memory
		}
		if largest == 0 || stats.maxBody < largest {
			largest = stats.maxBody
		}
	}
	if f.Durability == "" {
		f.Durability = weakest
	}
	if largest > 0 {
		f.MaxBody = largest
	}
	return f
}

func tubeStats(l *link, tube string) (map[string]string, error) {
	return beanstalk.NewTube(l.client, tube).Stats()
}
