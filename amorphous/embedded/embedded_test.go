package embedded_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/fourfold-dev/fourfold/amorphous/amorphoustest"
	"github.com/fourfold-dev/fourfold/amorphous/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	amorphoustest.Run(t, amorphoustest.Harness{Source: embedded.Dir(t.TempDir(), nil)})
}
