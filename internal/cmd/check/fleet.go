package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/fourfold-dev/fourfold/internal/servers"
)

// A fleet is the servers that the tests run against: each kind once, for all
// packages. Tests that kill servers start their own.
type fleet struct {
	mu      sync.Mutex
	running []*servers.Server
	urls    []string // for the environment, NAME=URL
}

// environment is what the tests are told, beside our own environment.
func (f *fleet) environment() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.urls
}

// close stops the servers.
func (f *fleet) close(out io.Writer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.running) == 0 {
		return
	}
	fmt.Fprintln(out, "\nstopping the servers")
	for _, s := range f.running {
		if err := s.Close(); err != nil {
			fmt.Fprintln(out, err)
		}
	}
	f.running = nil
}

// startServers starts what the environment does not name, all at once.
func startServers(ctx context.Context, c *checker) error {
	purposes := servers.Purposes()
	errs := make([]error, len(purposes))
	var all sync.WaitGroup
	for i, p := range purposes {
		if p.Given() != "" {
			fmt.Fprintf(c.out, "%s: the server that %s names\n", p.Name, p.Variable)
			continue
		}
		all.Go(func() { errs[i] = c.fleet.start(ctx, p, c.out) })
	}
	all.Wait()
	var missing, broken []string
	for i, err := range errs {
		if err == nil {
			continue
		}
		fmt.Fprintf(c.out, "%s: %v\n", purposes[i].Name, err)
		if lack, ok := errors.AsType[*servers.MissingError](err); ok {
			missing = append(missing, lack.Error())
		} else {
			broken = append(broken, purposes[i].Name)
		}
	}
	switch {
	case len(broken) > 0:
		return fmt.Errorf("no server for %s", strings.Join(broken, ", "))
	case len(missing) > 0:
		return &lackError{errors.New(strings.Join(missing, "; "))}
	}
	return nil
}

// start starts the server of one purpose.
func (f *fleet) start(ctx context.Context, p servers.Purpose, out io.Writer) error {
	fmt.Fprintf(out, "%s: starting\n", p.Name)
	kind := p.Kind
	if _, ok := kind.(servers.Cassandra); ok {
		// Nobody kills this one, so it need not sync every write.
		kind = servers.Cassandra{Periodic: true}
	}
	server, err := servers.Start(ctx, kind, &servers.Options{Log: out})
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = append(f.running, server)
	f.urls = append(f.urls, p.Variable+"="+server.URL())
	fmt.Fprintf(out, "%s=%s\n", p.Variable, server.URL())
	return nil
}
