package persistencetest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

type note struct {
	ID   string `persistence:"key"`
	Text string
}

func TestBubble(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		faults := persistencetest.NewFaults()
		layer := persistencetest.Open(t, persistencetest.Options{Faults: faults, Dir: dir})
		notes := persistence.Declare(layer, "note", persistence.Plan[note]{
			{Priority: 1, Name: "tell", Purpose: persistence.Transitory, Do: func(context.Context, note) error { return nil }},
			{Priority: 2, Name: "keep", Purpose: persistence.Amorphous},
		})
		persistencetest.Work(t, layer)
		faults.Down(persistence.Amorphous)
		r, err := notes.Put(t.Context(), note{ID: "n"})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		time.Sleep(100 * time.Second)
		t.Log(r, time.Since(start))
		faults.Up(persistence.Amorphous)
		if err := r.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Log(r, time.Since(start))
	})
}
