package persistence_test

import (
	"context"
	"errors"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// An error names the operation that the caller called, whatever that is made of.
func TestErrorsNameTheOperation(t *testing.T) {
	layer := openLayer(t, nil)
	tallies := persistence.Declare(layer, "tally", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
	profiles := persistence.Declare(layer, "profile", persistence.Plan[profile]{{Purpose: persistence.Amorphous}})
	ctx := t.Context()
	if _, err := tallies.Create(ctx, tally{User: "ann"}); err != nil {
		t.Fatal(err)
	}
	create := func(user string) error { _, err := tallies.Create(ctx, tally{User: user}); return err }
	update := func(user, to string) error {
		_, err := tallies.Update(ctx, user, func(n *tally) error { n.User = to; return nil })
		return err
	}
	_, unsupported := profiles.Create(ctx, profile{ID: "p"})
	_, without := profiles.Update(ctx, "p", func(*profile) error { return nil })
	within := layer.Tx(ctx, func(ctx context.Context, tx *persistence.Tx) error {
		_, err := tallies.In(tx).Create(ctx, tally{})
		return err
	})
	var inside, updating error
	if err := layer.Tx(ctx, func(inner context.Context, tx *persistence.Tx) error {
		_, inside = tallies.Create(inner, tally{User: "bob"})
		_, updating = tallies.Update(inner, "ann", func(*tally) error { return nil })
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	_, put := tallies.Put(ctx, tally{})
	check := func(name, op string, class, err error) {
		t.Helper()
		var fe *fault.Error
		if !errors.As(err, &fe) || fe.Op != op || !errors.Is(err, class) {
			t.Errorf("%s: %v, want op %s and %v", name, err, op, class)
		}
	}
	check("create of what is there", "create", fault.ErrExists, create("ann"))
	check("create without a key", "create", fault.ErrInvalid, create(""))
	check("create without a transactional record", "create", fault.ErrUnsupported, unsupported)
	check("create in a transaction", "create", fault.ErrInvalid, within)
	check("create beside a transaction", "create", fault.ErrInvalid, inside)
	check("update of what is not there", "update", fault.ErrNotFound, update("nobody", "nobody"))
	check("update of the key", "update", fault.ErrInvalid, update("ann", "bob"))
	check("update without a key", "update", fault.ErrInvalid, update("", ""))
	check("update without a transactional record", "update", fault.ErrUnsupported, without)
	check("update beside a transaction", "update", fault.ErrInvalid, updating)
	_, deleting := tallies.Delete(ctx, "")
	check("delete without a key", "delete", fault.ErrInvalid, deleting)
	_, patching := profiles.Patch(ctx, profile{}, "Name")
	check("patch without a key", "patch", fault.ErrInvalid, patching)
	check("put without a key", "put", fault.ErrInvalid, put)

	theirs := &fault.Error{Op: "get", Kind: "tally", Key: "ann", Class: fault.ErrNotFound}
	if _, err := tallies.Update(ctx, "ann", func(*tally) error { return theirs }); err != error(theirs) {
		t.Errorf("an error of change came back as %v", err)
	}
	if err := layer.Close(); err != nil {
		t.Fatal(err)
	}
	check("create after Close", "create", fault.ErrClosed, create("bob"))
	check("update after Close", "update", fault.ErrClosed, update("ann", "ann"))
}
