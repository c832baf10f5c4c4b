package memcached

import (
	"context"
	"flag"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fourfold-dev/fourfold/volatile"
	"github.com/fourfold-dev/fourfold/volatile/volatiletest"
)

// Close frees goroutines: none is left when the tests are done.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient is the timeout of tests that are not about timeouts: the machine
// may be busy with other things.
const patient = 5 * time.Second

// impatient is the timeout of drivers whose server falls silent for a while.
const impatient = 200 * time.Millisecond

// full has the suite do all that it does at its full size, as in process:
//
//	go test ./volatile/memcached -run TestConformance -race -v -timeout 1h -args -full
var full = flag.Bool("full", false, "run the suite at its full size")

func TestConformance(t *testing.T) {
	volatiletest.Run(t, volatiletest.Harness{
		Small: !*full,
		Start: func(t testing.TB) volatiletest.Server {
			s := startServer(t)
			return volatiletest.Server{
				Source:    New([]string{s.addr}, &Options{Timeout: patient}),
				Impatient: New([]string{s.addr}, &Options{Timeout: impatient}),
				Restart:   s.restart, Pause: s.pause, Resume: s.resume,
			}
		},
	})
}

// Three members, reached as a client of the caller's reaches them.
func TestConformanceMembers(t *testing.T) {
	t.Parallel() // it mostly waits for time to pass
	volatiletest.Run(t, volatiletest.Harness{
		Small: !*full,
		Start: func(t testing.TB) volatiletest.Server {
			a, b, c := startServer(t), startServer(t), startUnix(t)
			client := new(dialHook).client(a.addr, b.addr, c.addr)
			client.MaxIdleConns = 0
			return volatiletest.Server{
				Source:  FromClient(client, []string{a.addr, b.addr, c.addr}, nil),
				Restart: func() { restartAll(t, a, b, c) },
			}
		},
	})
}

// piped opens drivers whose every operation goes over the pipe.
func piped(s volatile.Source) volatile.Source {
	return volatile.SourceFunc(func(ctx context.Context) (volatile.Driver, error) {
		d, err := s.OpenDriver(ctx)
		if err == nil {
			for _, m := range d.(*driver).members {
				m.pipeFrom = 0
			}
		}
		return d, err
	})
}

func TestConformancePiped(t *testing.T) {
	t.Parallel() // it mostly waits for time to pass
	volatiletest.Run(t, volatiletest.Harness{
		Small: !*full,
		Start: func(t testing.TB) volatiletest.Server {
			s := startServer(t)
			return volatiletest.Server{
				Source:    piped(New([]string{s.addr}, &Options{Timeout: patient})),
				Impatient: piped(New([]string{s.addr}, &Options{Timeout: impatient})),
				Restart:   s.restart, Pause: s.pause, Resume: s.resume,
			}
		},
	})
}
