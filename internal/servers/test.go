package servers

import (
	"context"
	"errors"
	"reflect"
)

// TB is what this package needs of a *testing.T or *testing.B; a program that
// imports this package does not link package testing.
type TB interface {
	// As testing.TB has them.
	Helper()
	Context() context.Context
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Test starts a server that ends with the test. Where a program is missing the
// test is skipped, aloud; the check command makes a failure of that in CI, unless
// the environment names a server of that kind. When the test fails, the last
// lines that the server printed are in its log.
func Test(tb TB, kind Kind) *Server {
	tb.Helper()
	server, err := Start(tb.Context(), kind, nil)
	if err != nil {
		giveUp(tb, kind, err)
	}
	end(tb, server)
	return server
}

// TestRing starts a ring of n Cassandra nodes that ends with the test, as Test
// does.
func TestRing(tb TB, n int, kind Cassandra) []*Server {
	tb.Helper()
	nodes, err := Ring(tb.Context(), n, kind, nil)
	if err != nil {
		giveUp(tb, kind, err)
	}
	end(tb, nodes...)
	return nodes
}

func giveUp(tb TB, kind Kind, err error) {
	tb.Helper()
	missing, ok := errors.AsType[*MissingError](err)
	if !ok {
		tb.Fatalf("%v", err)
	}
	for _, p := range Purposes() {
		if reflect.TypeOf(p.Kind) == reflect.TypeOf(kind) && p.Given() != "" {
			tb.Skipf("the server that %s names is not ours to kill: NOT TESTED, %v", p.Variable, missing)
		}
	}
	tb.Skipf("NOT TESTED on a real server: %v", missing)
}

func end(tb TB, servers ...*Server) {
	tb.Cleanup(func() {
		for _, s := range servers {
			if tb.Failed() {
				tb.Logf("the last that %s at %s printed:\n%s", s.launch.name, s.launch.address, s.Output())
			}
			if err := s.Close(); err != nil {
				tb.Logf("closing %s: %v", s.launch.name, err)
			}
			if tb.Failed() && s.fell != nil {
				tb.Logf("%s at %s ended by itself: %v", s.launch.name, s.launch.address, s.fell)
			}
		}
	})
}
