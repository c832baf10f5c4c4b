package embedded

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/fourfold-dev/fourfold/volatile/volatiletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	volatiletest.Run(t, volatiletest.Harness{
		Virtual: true,
		Start: func(t testing.TB) volatiletest.Server {
			s := New(nil).(*source)
			return volatiletest.Server{Source: s, Restart: func() { s.store.clear() }}
		},
	})
}
