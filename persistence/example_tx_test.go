package persistence_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/fourfold-dev/fourfold/persistence"
)

// What is put in a transaction is accepted when it commits, all or nothing.
func ExampleTxHandle() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	guests := persistence.Declare(layer, "guest", guestPlan)
	guests.PutAll(ctx, []guest{{ID: "ann", Points: 5}, {ID: "bob"}})
	give := func(points int64) error {
		return layer.Tx(ctx, func(ctx context.Context, tx *persistence.Tx) error {
			ann, err := guests.In(tx).Get(ctx, "ann")
			if err != nil {
				return err
			}
			if ann.Points -= points; ann.Points < 0 {
				return errors.New("not enough points")
			}
			_, err = guests.In(tx).Put(ctx, ann)
			return err
		})
	}
	fmt.Println(give(3))
	fmt.Println(give(3))
	// Output:
	// <nil>
	// not enough points
}

// Raw SQL of one's own is part of the transaction as well.
func ExampleTx() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	guests := persistence.Declare(layer, "guest", guestPlan)
	err := layer.Tx(ctx, func(ctx context.Context, tx *persistence.Tx) error {
		if _, err := tx.Exec(ctx, "CREATE TABLE audit (who TEXT)"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO audit VALUES (?)", "ann"); err != nil {
			return err
		}
		_, err := guests.In(tx).Put(ctx, guest{ID: "ann"})
		return err
	})
	fmt.Println(err)
	// Output: <nil>
}
