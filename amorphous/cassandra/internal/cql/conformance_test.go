package cql

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/amorphoustest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestConformance runs the suite over Cassandra's rules in memory, so that the
// protocol is tested where there is no Cassandra.
func TestConformance(t *testing.T) {
	e := &emulator{}
	amorphoustest.Run(t, amorphoustest.Harness{
		Source: amorphous.SourceFunc(func(context.Context) (amorphous.Driver, error) { return newEmulated(e), nil }),
		Rows:   400,
	})
}
