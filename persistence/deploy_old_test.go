package persistence_test

import (
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
)

// order and sum are what the program declared that wrote testdata.
type order struct {
	ID   string `persistence:"key"`
	User string
	N    int64
	At   time.Time
}

type sum struct {
	User string `persistence:"key"`
	N    int64
}

// unpack writes a compressed file of testdata into a directory of the test's own.
func unpack(t *testing.T, name, as string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	packed, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	var all []byte
	plain, err := gzip.NewReader(packed)
	if err == nil {
		all, err = io.ReadAll(plain)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, as), all, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// What a program of an early commit (d08dacb) accepted, and did not work off
// before it ended, is done by this one: three objects in the outbox and three in
// the queue, each with a handler and two writes, those in the outbox with a Tx.
func TestAnOldProgramsWorkIsDone_A27(t *testing.T) {
	// It was accepted long ago, whenever this runs.
	layer, err := embedded.Open(t.Context(), unpack(t, "accepted-d08dacb.db.gz", "fourfold.db"), &persistence.Options{Horizon: 100 * 365 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	var told atomic.Int64
	sums := persistence.Declare(layer, "sum", persistence.Plan[sum]{{Purpose: persistence.Transactional}})
	plan := persistence.Plan[order]{
		{Purpose: persistence.Amorphous},
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, RealTime: true, Do: func(context.Context, order) error { told.Add(1); return nil }},
		{Priority: 3, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
	}
	queued := persistence.Declare(layer, "queued", plan)
	orders := persistence.Declare(layer, "order", append(plan, persistence.Task[order]{Priority: 2, Name: "add", Purpose: persistence.Transactional,
		Tx: func(ctx context.Context, tx *persistence.Tx, o order) error {
			s, _ := sums.In(tx).Get(ctx, o.User)
			_, err := sums.In(tx).Put(ctx, sum{User: o.User, N: s.N + o.N})
			return err
		}}))
	if left := drain(t, layer); len(left) != 0 {
		t.Errorf("drain left %v", left)
	}
	letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{})
	if err != nil || len(letters) != 0 || told.Load() != 6 {
		t.Errorf("%d handlers ran, want 6; dead letters %v, %v", told.Load(), letters, err)
	}
	if s, err := sums.Get(t.Context(), "ann"); err != nil || s.N != 1+2+3 {
		t.Errorf("the transactions made %+v, %v; want 6", s, err)
	}
	for name, h := range map[string]*persistence.Handle[order]{"order": orders, "queued": queued} {
		n := int64(3)
		for o, err := range h.Find(t.Context(), persistence.Query{Task: "activity", Where: map[string]any{"User": "ann"}}) {
			if err != nil || o.N != n || o.User != "ann" {
				t.Errorf("%s: activity %+v, %v; want number %d", name, o, err, n)
			}
			n--
		}
		if o, err := h.Get(t.Context(), "o2"); err != nil || o.N != 3 || n != 0 {
			t.Errorf("%s: %+v, %v, and %d rows of activity are missing", name, o, err, n)
		}
	}
}
