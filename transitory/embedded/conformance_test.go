package embedded_test

import (
	"context"
	"testing"

	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/transitory/embedded"
	"github.com/fourfold-dev/fourfold/transitory/transitorytest"
)

// harness opens one directory, with windows of the given size. Its restart is
// that of the process, as far as one process can show it: crash_test.go kills
// a real one.
func harness(opts embedded.Options) func(t *testing.T) *transitorytest.Harness {
	return func(t *testing.T) *transitorytest.Harness {
		source := embedded.Dir(t.TempDir(), &opts)
		return &transitorytest.Harness{
			Open:       func(ctx context.Context) (transitory.Driver, error) { return source.OpenDriver(ctx) },
			OpenSecond: func(ctx context.Context) (transitory.Driver, error) { return source.OpenDriver(ctx) },
			Restart:    func(context.Context) error { return nil },
		}
	}
}

func TestConformance(t *testing.T) {
	transitorytest.Run(t, harness(embedded.Options{}))
}

// The same contract with windows so small that most jobs lie in the file only,
// and with no body in memory.
func TestConformanceSmallWindows(t *testing.T) {
	transitorytest.Run(t, harness(embedded.Options{Window: 16, BodyBytes: 1}))
}

// The same operations on the queue and on a list of jobs give the same results
// and the same classes of errors.
func TestModel(t *testing.T) {
	transitorytest.RunModel(t, harness(embedded.Options{Window: 16, BodyBytes: 8}))
}
