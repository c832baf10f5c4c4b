package persistence_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/transitory"
)

// An ear is a queue that counts nudges, and the questions whether somebody
// listens.
type ear struct {
	transitory.Driver
	nudges, asked *atomic.Int64
}

func (q ear) Put(ctx context.Context, jobs []transitory.Job) []error {
	for _, j := range jobs {
		if strings.HasSuffix(j.Tube, "/nudge") {
			q.nudges.Add(1)
		}
	}
	return q.Driver.Put(ctx, jobs)
}

func (q ear) Stats(ctx context.Context, tubes []string) ([]transitory.TubeStats, error) {
	if len(tubes) == 1 && strings.HasSuffix(tubes[0], "/nudge") {
		q.asked.Add(1)
	}
	return q.Driver.Stats(ctx, tubes)
}

// While somebody listens few nudges are questions first.
func TestNudgesAreTrusted(t *testing.T) {
	stores := embedded.Stores(t.TempDir())
	var nudges, asked atomic.Int64
	inner := stores.Transitory
	stores.Transitory = transitory.SourceFunc(func(ctx context.Context) (transitory.Driver, error) {
		d, err := inner.OpenDriver(ctx)
		return ear{d, &nudges, &asked}, err
	})
	synctest.Test(t, func(t *testing.T) {
		h := openRelay(t, stores, false)
		defer h.close()
		defer persistencetest.Work(t, h.layers[2])()
		const n = 80
		var last *persistence.Receipt
		for i := range n {
			r, err := h.notes[0].Put(t.Context(), note{ID: fmt.Sprint("n", i), User: "u", At: time.Unix(1, 0)})
			if err != nil {
				t.Fatal(err)
			}
			last = r
			<-time.After(10 * time.Millisecond) // for as long as a nudge is on its way no other follows
		}
		if err := last.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if told, asked := nudges.Load(), asked.Load(); told < n/2 || asked > told/4 {
			t.Errorf("%d nudges and %d questions for %d envelopes", told, asked, n)
		}
	})
}
