package console

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/fourfold-dev/fourfold/persistence"
)

// Away knows which stores are down, for a line of progress that says why
// nothing moves: it is a persistence.StoreObserver. The zero Away is ready.
type Away struct {
	down [persistence.Amorphous + 1]atomic.Bool
}

// StoreChanged is called by the layer when a store goes down or comes back.
func (a *Away) StoreChanged(_ context.Context, e persistence.StoreEvent) {
	a.down[e.Purpose].Store(!e.Up)
}

// Waiting ends a line of progress: empty, or what is waited for.
func (a *Away) Waiting() string {
	var names []string
	for p := range a.down {
		if a.down[p].Load() {
			names = append(names, persistence.Purpose(p).String())
		}
	}
	switch len(names) {
	case 0:
		return ""
	case 1:
		return "; waiting for the " + names[0] + " store, which is down"
	}
	return "; waiting for stores that are down: " + strings.Join(names, ", ")
}
