package stores

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
)

// patience is for how long Drain waits while nothing moves.
const patience = time.Minute

// Drain is Layer.Drain, again and again while something is left that comes by
// itself: a task that failed waits for its next attempt, and one whose store was
// away for a moment for that store.
func Drain(ctx context.Context, layer *persistence.Layer) ([]persistence.Left, error) {
	since, before := time.Now(), 0
	for {
		left, err := layer.Drain(ctx)
		n := 0
		for _, l := range left {
			if l.Why == "not due" || strings.HasPrefix(l.Why, "waits ") {
				n += l.N
			}
		}
		switch {
		case err != nil || n == 0:
			return left, err
		case n != before:
			since, before = time.Now(), n
		case time.Since(since) > patience:
			return left, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// Undone is nil when Drain has left nothing and there are no dead letters, else
// an error that says what cannot be done, and why.
func Undone(ctx context.Context, layer *persistence.Layer, left []persistence.Left) error {
	var faults []string
	for _, l := range left {
		faults = append(faults, l.String())
	}
	dead, err := layer.DeadLetters().List(ctx, persistence.DeadFilter{Limit: 3})
	if err != nil {
		return err
	}
	for _, d := range dead {
		faults = append(faults, fmt.Sprintf("%s of %s %s is a dead letter: %s", d.Task, d.Kind, d.Key, d.Reason))
	}
	if len(faults) > 0 {
		return errors.New("not everything can be done: " + strings.Join(faults, "; "))
	}
	return nil
}
