package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
)

// What a task is follows from the words that are set: a handler, a handler in
// a transaction, or the default write of its purpose.
func ExampleTask() {
	tell := func(context.Context, visit) error { return nil }
	count := func(context.Context, *persistence.Tx, visit) error { return nil }
	plan := persistence.Plan[visit]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, RealTime: true, Do: tell, Timeout: time.Second},
		{Priority: 2, Name: "count", Purpose: persistence.Transactional, Tx: count},
		{Priority: 3, Name: "print", Purpose: persistence.Transitory, External: true},
		{Priority: 4, Name: "recent", Purpose: persistence.Amorphous, PartitionBy: "Venue", Newest: "At", TTL: 24 * time.Hour},
	}
	fmt.Print(plan.Outline())
	fmt.Println(plan.Validate())
	// Output:
	// 1  real time   tell    transitory     runs Do; at most 1s
	// 2  background  count   transactional  runs Tx in a transaction
	// 3  background  print   transitory     is served by another program
	// 4  background  recent  amorphous      writes the object by Venue, newest At first; for 24h0m0s
	// <nil>
}

// A purpose routes a task, and is what its fields are tagged with.
func ExamplePurpose() {
	for p := persistence.Transitory; p <= persistence.Amorphous; p++ {
		fmt.Println(p)
	}
	// Output:
	// transitory
	// volatile
	// transactional
	// amorphous
}

// A task that is worth nothing after a while expires; without Late it would run
// after everything that is not late.
func ExampleLate() {
	tell := func(context.Context, visit) error { return nil }
	plan := persistence.Plan[visit]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, Do: tell, Within: time.Minute, Late: persistence.Expire},
	}
	fmt.Print(plan.Outline())
	// Output: 1  background  tell  transitory  runs Do; within 1m0s, else expired
}

// Transactional custody makes a plan without any row as durable as its outbox,
// and allows what a queue cannot promise, such as an order.
func ExampleCustody() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, OrderingKey: "User",
			Do: func(context.Context, visit) error { return nil }},
	}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
	receipt, err := visits.Put(context.Background(), visit{ID: "v1", User: "ann"})
	fmt.Println(receipt.Custody, err)
	// Output: transactional <nil>
}

// A handler asks which run it is in. Its ID is the same for every attempt, so
// it can be handed to a service that takes each request once.
func ExampleRun() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, Do: func(ctx context.Context, v visit) error {
			run := persistence.Current(ctx)
			fmt.Println(run.Task, run.Key, "attempt", run.Attempt, "id of", len(run.ID), "digits")
			return nil
		}},
	})
	visits.Put(ctx, visit{ID: "v1"})
	layer.Drain(ctx)
	// Output: tell v1 attempt 1 id of 32 digits
}

// An error that no attempt can mend makes a dead letter at once.
func ExamplePermanent() {
	layer, closeLayer := quietLayer(nil)
	defer closeLayer()
	ctx := context.Background()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, Do: func(context.Context, visit) error {
			return persistence.Permanent(errors.New("the address is gone"))
		}},
	})
	receipt, _ := visits.Put(ctx, visit{ID: "v1"})
	layer.Drain(ctx)
	state, _ := receipt.State("tell")
	fmt.Println(state)
	// Output: dead
}

// A handler that comes too early asks for a later run, which is no failure.
func ExampleSnooze() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Purpose: persistence.Transactional},
		{Priority: 1, Name: "remind", Purpose: persistence.Transitory, Do: func(ctx context.Context, v visit) error {
			return persistence.Snooze(time.Hour)
		}},
	})
	visits.Put(ctx, visit{ID: "v1"})
	left, err := layer.Drain(ctx)
	fmt.Println(left[0].Task, left[0].Why, err)
	// Output: remind not due <nil>
}
