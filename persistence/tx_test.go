package persistence_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// "The database may ask to run fn again from the start": the clock that
// versions come from may not, for whoever comes first.
func TestTheFirstTransactionAfterOpenPuts(t *testing.T) {
	layer := openLayer(t, nil)
	accounts := persistence.Declare(layer, "account", persistence.Plan[visit]{{Purpose: persistence.Transactional}})
	err := layer.Tx(t.Context(), func(ctx context.Context, tx *persistence.Tx) error {
		_, err := accounts.In(tx).Put(ctx, visit{ID: "v1"})
		return err
	})
	if err != nil {
		t.Errorf("a transaction as the first thing that a layer does: %v", err)
	}
}

// Where there is one writer a Put beside the transaction would wait for it, and
// it for the Put: "a transaction that hogs the writer is cut off" after seconds
// in which nobody writes. It is refused at once instead.
func TestAPutBesideItsOwnTransactionIsRefusedAtOnce(t *testing.T) {
	layer := openLayer(t, nil)
	rows := persistence.Declare(layer, "row", persistence.Plan[visit]{{Purpose: persistence.Transactional}})
	cells := persistence.Declare(layer, "cell", persistence.Plan[visit]{{Purpose: persistence.Amorphous}})
	jobs := persistence.Declare(layer, "job", persistence.Plan[visit]{{Name: "x", Priority: 1, Purpose: persistence.Transitory, Do: nothing}})
	for name, beside := range map[string]func(ctx context.Context) error{
		"a row":  func(ctx context.Context) error { _, err := rows.Put(ctx, visit{ID: "b"}); return err },
		"a cell": func(ctx context.Context) error { _, err := cells.Put(ctx, visit{ID: "b"}); return err },
		"a job":  func(ctx context.Context) error { _, err := jobs.Put(ctx, visit{ID: "b"}); return err },
		"many":   func(ctx context.Context) error { return rows.PutAll(ctx, []visit{{ID: "b"}})[0].Err },
		"a delete": func(ctx context.Context) error {
			_, err := cells.Delete(ctx, "b")
			return err
		},
		"an update": func(ctx context.Context) error {
			_, err := rows.Update(ctx, "a", func(*visit) error { return nil })
			return err
		},
		"another transaction": func(ctx context.Context) error {
			return layer.Tx(ctx, func(context.Context, *persistence.Tx) error { return nil })
		},
	} {
		began := time.Now()
		err := layer.Tx(t.Context(), func(ctx context.Context, tx *persistence.Tx) error {
			if _, err := rows.In(tx).Put(ctx, visit{ID: "a"}); err != nil {
				return err
			}
			return beside(ctx)
		})
		if !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("%s: %v after %v, want fault.ErrInvalid at once", name, err, time.Since(began))
		}
	}
}
