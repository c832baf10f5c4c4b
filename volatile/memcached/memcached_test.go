package memcached

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fourfold-dev/fourfold/volatile/volatiletest"
)

// Close frees goroutines: none is left when the tests are done.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient is the timeout of tests that are not about timeouts: the machine
// may be busy with other things.
const patient = 5 * time.Second

func TestConformance(t *testing.T) {
	volatiletest.Run(t, volatiletest.Harness{
		Small: true,
		Start: func(t testing.TB) volatiletest.Server {
			s := startServer(t)
			return volatiletest.Server{
				Source:  New([]string{s.addr}, &Options{Timeout: patient}),
				Restart: s.restart, Pause: s.pause, Resume: s.resume,
			}
		},
	})
}

func TestConformanceMembers(t *testing.T) {
	volatiletest.Run(t, volatiletest.Harness{
		Small: true,
		Start: func(t testing.TB) volatiletest.Server {
			a, b, c := startServer(t), startServer(t), startUnix(t)
			return volatiletest.Server{
				Source:  New([]string{a.addr, b.addr, c.addr}, &Options{Timeout: patient}),
				Restart: func() { a.restart(); b.restart(); c.restart() },
			}
		},
	})
}
