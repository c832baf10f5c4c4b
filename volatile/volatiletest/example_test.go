package volatiletest_test

import (
	"testing"

	"github.com/fourfold-dev/fourfold/volatile/embedded"
	"github.com/fourfold-dev/fourfold/volatile/volatiletest"
)

// What a driver's own test is. What the server cannot do is skipped aloud.
func ExampleRun() {
	TestConformance := func(t *testing.T) {
		volatiletest.Run(t, volatiletest.Harness{
			Virtual: true,
			Start:   func(testing.TB) volatiletest.Server { return volatiletest.Server{Source: embedded.New(nil)} },
		})
	}
	_ = TestConformance
}
