package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// A grower is a program whose plan has grown, and that is killed while it fills
// the new tasks.
type grower struct{ stays *persistence.Handle[stay] }

const oldStays = 80 // that were there before

func (g *grower) open(ctx context.Context, dir string) (*persistence.Layer, error) {
	old := filepath.Join(dir, "before")
	if _, err := os.Stat(old); err != nil {
		if err := g.before(ctx, dir); err != nil {
			return nil, err
		}
		if err := os.WriteFile(old, nil, 0o600); err != nil {
			return nil, err
		}
	}
	layer, err := embedded.Open(ctx, dir, nil)
	if err == nil {
		g.stays = persistence.Declare(layer, "visit", slices.Concat(staysBefore, grown))
	}
	return layer, err
}

// before is the program as it was.
func (g *grower) before(ctx context.Context, dir string) error {
	layer, err := embedded.Open(ctx, dir, nil)
	if err != nil {
		return err
	}
	objects := make([]stay, oldStays)
	for i := range objects {
		objects[i] = stayOf(i, []string{"ann", "bob", "hidden"}[i%3])
	}
	var errs []error
	for _, put := range persistence.Declare(layer, "visit", staysBefore).PutAll(ctx, objects) {
		errs = append(errs, put.Err)
	}
	return errors.Join(append(errs, layer.Close())...)
}

// load moves objects, lets them come and go, and in the midst of it fills the new
// tasks page by page.
func (g *grower) load(ctx context.Context, _ *persistence.Layer, r *persistencetest.Recorder) error {
	filled := make(chan error, 1)
	var err error
	for i := 0; i < 20 && err == nil; i++ {
		if i == 3 {
			go func() {
				_, err := fill(ctx, g.stays, persistence.BackfillOptions{Rate: 100}) // pages of 25
				filled <- err
			}()
		}
		at := (i*37 + 11*r.Round) % oldStays
		err = r.Try(fmt.Sprint(r.Round, ".", i), func() error {
			_, err := g.stays.Put(ctx, stayOf(at+48*3600, "cat"))
			_, err2 := g.stays.Put(ctx, stay{ID: stayOf(at, "").ID, User: "dan", At: dawn})
			_, err3 := g.stays.Delete(ctx, stayOf((at+5)%oldStays, "").ID)
			return errors.Join(err, err2, err3)
		})
	}
	if err != nil {
		return err
	}
	return <-filled
}

// check lets the backfills come to their end; a start before this one began them.
func (g *grower) check(ctx context.Context, _ *persistence.Layer, h *persistencetest.History) error {
	done, err := fill(ctx, g.stays, persistence.BackfillOptions{})
	for _, b := range done {
		if len(h.Acked) > 0 && (!b.Done || b.Seen < oldStays/2) {
			err = errors.Join(err, errors.New(b.String()))
		}
	}
	return errors.Join(err, checkFilled(ctx, g.stays))
}

// TestCrashOfABackfill kills a backfill of a layout, of derived rows and of a
// count, before, in and after a page: it goes on where it was, and ends with what
// the record implies, exactly.
func TestCrashOfABackfill(t *testing.T) {
	g := &grower{}
	persistencetest.Crash(t, persistencetest.Scenario{Open: g.open, Load: g.load, Check: g.check, Points: "backfill."})
}
