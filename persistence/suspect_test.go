package persistence

import (
	"context"
	"testing"

	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A deaf custody does not count attempts.
type deaf struct{ outboxCustody }

func (*deaf) count(context.Context, *held) error {
	return fault.New(fault.ErrUnavailable, "transactional", "apply", "gone")
}

// A suspect that could not be charged does not run, and spends no attempt: else
// one that never ran would end as a dead letter for the processes that it ended.
func TestWhatCannotBeCountedIsNotCharged(t *testing.T) {
	h := &held{custody: &deaf{}, tasks: []*task{{do: func(context.Context, any) error { return nil }}, {}}}
	spec := &flow.Spec{MaxAttempts: 2}
	h.run.Tasks = []flow.Task{{Spec: spec, Attempts: 1}, {Spec: spec}}
	if err := (&worker{}).countFirst(t.Context(), h, []int{0, 1}); err == nil {
		t.Fatal("it was counted")
	}
	if a, b := h.run.Tasks[0].Attempts, h.run.Tasks[1].Attempts; a != 1 || b != 0 {
		t.Errorf("%d and %d attempts are spent, want 1 and 0", a, b)
	}
}
