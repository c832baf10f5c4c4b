package persistence_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A guest is kept by one transactional row: the kind that most examples use.
type guest struct {
	ID     string `persistence:"key"`
	Name   string
	Points int64
}

var guestPlan = persistence.Plan[guest]{{Purpose: persistence.Transactional}}

// A handle puts, gets and deletes the objects of one kind.
func ExampleHandle() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	guests := persistence.Declare(layer, "guest", guestPlan)
	receipt, err := guests.Put(ctx, guest{ID: "ann", Name: "Ann"})
	fmt.Println(receipt.Durability, err)
	ann, err := guests.Get(ctx, "ann")
	fmt.Println(ann, err)
	_, err = guests.Delete(ctx, "ann")
	fmt.Println(err)
	_, err = guests.Get(ctx, "ann")
	fmt.Println(errors.Is(err, fault.ErrNotFound))
	// Output:
	// fsynced <nil>
	// {ann Ann 0} <nil>
	// <nil>
	// true
}

// Update reads, changes and writes in one transaction, so that no change of
// somebody else is lost in between.
func ExampleHandle_Update() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	guests := persistence.Declare(layer, "guest", guestPlan)
	guests.Put(ctx, guest{ID: "ann", Points: 40})
	_, err := guests.Update(ctx, "ann", func(m *guest) error {
		m.Points += 2
		return nil
	})
	ann, _ := guests.Get(ctx, "ann")
	fmt.Println(ann.Points, err)
	// Output: 42 <nil>
}

// Create refuses an object that is there already.
func ExampleHandle_Create() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	guests := persistence.Declare(layer, "guest", guestPlan)
	_, first := guests.Create(ctx, guest{ID: "ann"})
	_, second := guests.Create(ctx, guest{ID: "ann"})
	fmt.Println(first, errors.Is(second, fault.ErrExists))
	// Output: <nil> true
}

// GetAll returns the objects that are there, by key.
func ExampleHandle_GetAll() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	guests := persistence.Declare(layer, "guest", guestPlan)
	guests.PutAll(ctx, []guest{{ID: "ann"}, {ID: "bob"}})
	found, err := guests.GetAll(ctx, "ann", "bob", "nobody")
	fmt.Println(len(found), err)
	// Output: 2 <nil>
}

// PutAll puts each object on its own: one that is refused refuses no other.
func ExamplePutResult() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()

	guests := persistence.Declare(layer, "guest", guestPlan)
	for _, result := range guests.PutAll(context.Background(), []guest{{ID: "ann"}, {ID: ""}, {ID: "cid"}}) {
		fmt.Println(result.Receipt != nil, result.Err)
	}
	// Output:
	// true <nil>
	// false put: guest: invalid: guest.ID: the key is empty
	// true <nil>
}

// A condition names the version that must be stored; zero is none at all.
func ExamplePutOption() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	guests := persistence.Declare(layer, "guest", guestPlan)
	first, _ := guests.Put(ctx, guest{ID: "ann"}, persistence.IfVersion(0))
	_, err := guests.Put(ctx, guest{ID: "ann", Name: "Ann"}, persistence.IfVersion(first.Version))
	fmt.Println("as read:", err)
	_, err = guests.Put(ctx, guest{ID: "ann", Name: "Anna"}, persistence.IfVersion(first.Version))
	fmt.Println("changed since:", errors.Is(err, fault.ErrConflict))
	// Output:
	// as read: <nil>
	// changed since: true
}

// A token makes it safe to put again when an answer was lost: the second Put
// is the first one.
func ExampleToken() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Purpose: persistence.Transactional},
		{Priority: 1, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User"},
	})
	first, _ := visits.Put(ctx, visit{ID: "v1", User: "ann"}, persistence.Token("request-17"))
	again, err := visits.Put(ctx, visit{ID: "v1", User: "ann"}, persistence.Token("request-17"))
	fmt.Println(again.ID == first.ID, err)
	_, err = visits.Put(ctx, visit{ID: "v2", User: "ann"}, persistence.Token("request-17"))
	fmt.Println(errors.Is(err, fault.ErrConflict))
	// Output:
	// true <nil>
	// true
}
