package group

import (
	"context"
	"testing"

	"github.com/fourfold-dev/fourfold/internal/costtest"
)

// TestALoneItemCosts: a worker with its goroutine and its two slices; what the
// caller waits by is used again.
func TestALoneItemCosts(t *testing.T) {
	g := New(Options{}, nil, func(context.Context, []int) []error { return nil })
	costtest.Check(t, "a lone item", 1, costtest.Bound{Allocs: 4.5, Bytes: 200}, func() {
		if err := g.Do(context.Background(), 1); err != nil {
			t.Error(err)
		}
	})
}
