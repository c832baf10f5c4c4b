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

// earOn opens the queue of stores with an ear.
func earOn(t *testing.T) (stores persistence.Stores, nudges, asked *atomic.Int64) {
	stores = embedded.Stores(t.TempDir())
	nudges, asked = new(atomic.Int64), new(atomic.Int64)
	inner := stores.Transitory
	stores.Transitory = transitory.SourceFunc(func(ctx context.Context) (transitory.Driver, error) {
		d, err := inner.OpenDriver(ctx)
		return ear{d, nudges, asked}, err
	})
	return stores, nudges, asked
}

// Of many envelopes that come at once several processes are told, each of which
// takes a nudge.
func TestManyEnvelopesNudgeSeveral(t *testing.T) {
	stores, nudges, _ := earOn(t)
	synctest.Test(t, func(t *testing.T) {
		h := openRelay(t, stores, false)
		defer h.close()
		defer persistencetest.Work(t, h.layers[2])()
		notes := make([]note, 250)
		for i := range notes {
			notes[i] = note{ID: fmt.Sprint("n", i), User: "u", At: time.Unix(1, 0)}
		}
		for _, r := range h.notes[0].PutAll(t.Context(), notes) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			if err := r.Receipt.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if told := nudges.Load(); told < 4 || told > 8 {
			t.Errorf("%d nudges for 250 envelopes that came at once, want one for 64 of them", told)
		}
	})
}

// While somebody listens few nudges are questions first.
func TestNudgesAreTrusted(t *testing.T) {
	stores, nudges, asked := earOn(t)
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
