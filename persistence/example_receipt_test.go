package persistence_test

import (
	"context"
	"fmt"

	"github.com/fourfold-dev/fourfold/persistence"
)

// A receipt follows its tasks. Wait returns when they are final: all of them,
// or those that are named.
func ExampleReceipt() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Purpose: persistence.Transactional},
		{Priority: 1, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User"},
	})
	receipt, err := visits.Put(ctx, visit{ID: "v1", User: "ann"})
	fmt.Println(receipt.Custody, receipt.Durability, err)
	state, _ := receipt.State("activity")
	fmt.Println("before Work:", state)
	go layer.Work(ctx)
	fmt.Println("waited:", receipt.Wait(ctx, "activity"))
	// Output:
	// transactional fsynced <nil>
	// before Work: pending
	// waited: <nil>
}

// Tasks stand in the order in which they start.
func ExampleTaskReceipt() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Priority: 2, Name: "object", Purpose: persistence.Amorphous},
		{Priority: 1, Name: "distribute", Purpose: persistence.Transitory, Do: func(context.Context, visit) error { return nil }},
	})
	receipt, _ := visits.Put(context.Background(), visit{ID: "v1"})
	for _, task := range receipt.Tasks() {
		fmt.Println(task.Priority, task.Name, task.Purpose, task.State)
	}
	// Output:
	// 1 distribute transitory pending
	// 2 object amorphous pending
}

// The ID of a receipt is all that somebody whose answer was lost needs.
func ExampleTaskState() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Purpose: persistence.Transactional},
		{Priority: 1, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User"},
	})
	receipt, _ := visits.Put(ctx, visit{ID: "v1", User: "ann"})
	layer.Drain(ctx)
	found, err := layer.Receipt(ctx, receipt.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	state, ok := found.State("activity")
	fmt.Println(state == persistence.TaskDone, ok)
	// Output: true true
}
