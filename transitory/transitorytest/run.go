package transitorytest

import (
	"testing"

	"github.com/fourfold-dev/fourfold/transitory"
)

// A check proves one sentence of the contract.
type check struct {
	name    string
	promise string
	needs   []need
	alone   bool // it counts what the process has: nothing may run beside it
	run     func(e *env)
}

// A need is what a check needs of the driver or the harness; lacks is the
// promise that is missing where it is not met.
type need struct {
	met   func(h *Harness, f transitory.Features) bool
	lacks string
}

var (
	second   = need{func(h *Harness, _ transitory.Features) bool { return h.OpenSecond != nil }, "the harness cannot open a second driver on the same store"}
	restarts = need{func(h *Harness, _ transitory.Features) bool { return h.Restart != nil }, "the harness cannot restart the store"}
	pauses   = need{func(h *Harness, _ transitory.Features) bool { return h.Pause != nil && h.Resume != nil }, "the harness cannot pause the store"}
	strict   = need{func(_ *Harness, f transitory.Features) bool { return f.Strict }, "Features.Strict: the most urgent job of all comes first"}
	fifo     = need{func(_ *Harness, f transitory.Features) bool { return f.FIFO }, "Features.FIFO: jobs of equal priority come in the order of their Put"}
	urgent   = need{func(_ *Harness, f transitory.Features) bool { return f.Urgent }, "Features.Urgent: Stats tells the priority of the most urgent ready job"}
	searches = need{func(_ *Harness, f transitory.Features) bool { return f.Search }, "Features.Search: jobs can be looked into and removed where they lie"}
	survives = need{func(_ *Harness, f transitory.Features) bool { return f.Durability != "" && f.Durability != "memory" }, "Features.Durability: jobs survive a kill"}
)

// Run holds a driver to the contract of transitory.Driver. harness is called
// once for every check, and gives it an empty store of its own.
func Run(t *testing.T, harness func(t *testing.T) *Harness) {
	for _, group := range [][]check{lifecycle, basics, order, timing, contexts, together, restarting} {
		for _, c := range group {
			t.Run(c.name, func(t *testing.T) {
				if !c.alone {
					t.Parallel()
				}
				e := newEnv(t, harness)
				defer e.close()
				for _, n := range c.needs {
					if !n.met(e.h, e.q.Features()) {
						t.Skipf("not shown: %q, because it lacks: %s", c.promise, n.lacks)
					}
				}
				c.run(e)
				if t.Failed() {
					t.Logf("the promise: %s", c.promise)
				}
			})
		}
	}
}
