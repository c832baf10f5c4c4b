package transitorytest_test

import (
	"context"
	"testing"

	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/transitory/embedded"
	"github.com/fourfold-dev/fourfold/transitory/transitorytest"
)

// What a driver's own test is. What the harness cannot do is skipped aloud.
func ExampleRun() {
	TestConformance := func(t *testing.T) {
		transitorytest.Run(t, func(t *testing.T) *transitorytest.Harness {
			source := embedded.Dir(t.TempDir(), nil)
			return &transitorytest.Harness{
				Open:       func(ctx context.Context) (transitory.Driver, error) { return source.OpenDriver(ctx) },
				OpenSecond: func(ctx context.Context) (transitory.Driver, error) { return source.OpenDriver(ctx) },
			}
		})
	}
	_ = TestConformance
}
