package servertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
)

// A running is what there is for one purpose.
type running struct {
	purpose persistence.Purpose
	url     string
	own     []*servers.Server
}

// A missingError is a server that can be neither found nor started here.
type missingError struct {
	purpose servers.Purpose
	cause   *servers.MissingError
}

func (e *missingError) Error() string {
	return fmt.Sprintf("%v, or name a server in %s", e.cause, e.purpose.Variable)
}

// startAll finds or starts the servers of all purposes, side by side. It returns
// what runs also when others failed, for the caller to close.
func startAll(ctx context.Context, o Options) ([]running, error) {
	purposes := o.Purposes
	if len(purposes) == 0 {
		purposes = everyPurpose
	}
	results, errs := make([]running, len(purposes)), make([]error, len(purposes))
	var all sync.WaitGroup
	for i, purpose := range purposes {
		all.Go(func() {
			results[i], errs[i] = startOne(ctx, purpose, max(1, o.Nodes[purpose]), o.Own)
		})
	}
	all.Wait()
	return results, errors.Join(errs...)
}

func startOne(ctx context.Context, purpose persistence.Purpose, nodes int, own bool) (running, error) {
	what := of(purpose)
	if given := what.Given(); given != "" && !own && nodes == 1 {
		return running{purpose: purpose, url: given}, nil
	}
	r := running{purpose: purpose}
	var err error
	if cassandra, ok := what.Kind.(servers.Cassandra); ok && nodes > 1 {
		r.own, err = servers.Ring(ctx, nodes, cassandra, nil)
	} else {
		for range nodes {
			var server *servers.Server
			if server, err = servers.Start(ctx, what.Kind, nil); err != nil {
				break
			}
			r.own = append(r.own, server)
		}
	}
	if missing, ok := errors.AsType[*servers.MissingError](err); ok {
		return r, &missingError{what, missing}
	}
	if err != nil {
		return r, err
	}
	r.url = servers.URL(r.own...)
	return r, nil
}

// Main runs a package's tests with servers that are started once, and returns
// the status that the process should exit with. Call it from TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }
//
// The servers that it starts are named in the environment, so that every Start
// finds them; a test that kills asks for its own. A server that cannot be
// started for want of a program is left out, and the tests that ask for it are
// skipped. At most one Options may be given, of which Purposes count.
func Main(m interface{ Run() int }, opts ...Options) int {
	var purposes []persistence.Purpose
	if len(opts) > 0 {
		purposes = opts[0].Purposes
	}
	started, err := startAll(context.Background(), Options{Purposes: purposes})
	defer func() {
		for _, r := range started {
			for _, server := range r.own {
				_ = server.Close()
			}
		}
	}()
	if err != nil && lacking(err) == "" {
		fmt.Fprintf(os.Stderr, "servertest.Main: %v\n", err)
		return 1
	}
	for _, r := range started {
		if r.url != "" {
			if err := os.Setenv(of(r.purpose).Variable, r.url); err != nil {
				fmt.Fprintf(os.Stderr, "servertest.Main: %v\n", err)
				return 1
			}
		}
	}
	return m.Run()
}
