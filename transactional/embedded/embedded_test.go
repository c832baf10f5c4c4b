package embedded_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
	"github.com/fourfold-dev/fourfold/transactional/transactionaltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	transactionaltest.Run(t, transactionaltest.Harness{
		Source: func(t *testing.T) transactional.Source { return embedded.Dir(t.TempDir(), nil) },
	})
}
