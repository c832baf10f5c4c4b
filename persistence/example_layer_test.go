package persistence_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
)

// quietLayer is exampleLayer with an observer, and without a log.
func quietLayer(observer any) (*persistence.Layer, func()) {
	dir, err := os.MkdirTemp("", "fourfold")
	if err != nil {
		panic(err)
	}
	layer, err := embedded.Open(context.Background(), dir, &persistence.Options{
		Observer: observer, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	return layer, func() {
		layer.Close()
		os.RemoveAll(dir)
	}
}

// Whoever opens closes. Check asks every store how it is.
func ExampleLayer() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()

	for _, report := range layer.Check(context.Background()) {
		fmt.Println(report.Purpose, report.Driver, report.OK(), report.Durability)
	}
	// Output:
	// transitory embedded true fsynced
	// volatile embedded true memory
	// transactional embedded true fsynced
	// amorphous embedded true fsynced
}

// Stores are mixed freely. One that is missing explains itself when a kind
// needs it.
func ExampleStores() {
	dir, err := os.MkdirTemp("", "fourfold")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	stores := embedded.Stores(dir)
	stores.Amorphous = nil
	layer, err := persistence.Open(context.Background(), stores, nil)
	if err != nil {
		panic(err)
	}
	defer layer.Close()
	defer func() { fmt.Println(recover()) }()
	persistence.Declare(layer, "visit", persistence.Plan[visit]{{Purpose: persistence.Amorphous}})
	// Output: declaration: kind "visit" (visit), task "amorphous": its purpose is amorphous, and the layer has no such store: give Open a Stores.Amorphous, or remove the task
}

// All faults of the options are listed together.
func ExampleOptions() {
	_, err := embedded.Open(context.Background(), "unused", &persistence.Options{Namespace: "My App", Grace: -time.Second})
	fmt.Println(err)
	// Output: options: invalid: Namespace "My App": use 1 to 16 lower-case letters and digits, a letter first; Grace is -1s: use a positive duration, or zero for the default
}

// Drain runs what is due, and names what it left.
func ExampleLeft() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Purpose: persistence.Transactional},
		{Priority: 1, Name: "print", Purpose: persistence.Transitory, External: true},
	})
	visits.Put(ctx, visit{ID: "v1"})
	left, err := layer.Drain(ctx)
	fmt.Println(left, err)
	// Output: [1 print of visit: served by another program] <nil>
}

// Work serves tasks until its context ends.
func ExampleLayer_Work() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx, stop := context.WithCancel(context.Background())

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, RealTime: true, Do: func(ctx context.Context, v visit) error {
			fmt.Println("telling of", v.ID)
			return nil
		}},
	})
	stopped := make(chan error)
	go func() { stopped <- layer.Work(ctx) }()
	receipt, err := visits.Put(ctx, visit{ID: "v1"})
	if err == nil {
		err = receipt.Wait(ctx)
	}
	stop()
	fmt.Println(err, <-stopped)
	// Output:
	// telling of v1
	// <nil> <nil>
}

// Without Work tasks wait, and Stats says so.
func ExampleStats() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Purpose: persistence.Transactional},
		{Priority: 1, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User"},
	})
	visits.Put(ctx, visit{ID: "v1", User: "ann"})
	stats, err := layer.Stats(ctx)
	fmt.Println("working:", stats.Working, err)
	// Output: working: false <nil>
}

// For every task: accepted = done + superseded + pending + dead.
func ExampleTaskStats() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()
	ctx := context.Background()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Purpose: persistence.Transactional},
		{Priority: 1, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User"},
	})
	visits.PutAll(ctx, []visit{{ID: "v1", User: "ann"}, {ID: "v2", User: "ann"}})
	stats, _ := layer.Stats(ctx)
	for _, t := range stats.Tasks {
		fmt.Println(t.Task, "accepted", t.Accepted, "done", t.Done, "pending", t.Pending)
	}
	// Output:
	// transactional accepted 2 done 2 pending 0
	// activity accepted 2 done 0 pending 2
}

// A TaskExplanation says what one task would do with this object.
func ExampleTaskExplanation() {
	layer, closeLayer := exampleLayer()
	defer closeLayer()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Purpose: persistence.Amorphous},
		{Name: "recent", Purpose: persistence.Amorphous, PartitionBy: "Venue", TTL: time.Hour,
			When: func(v visit) bool { return v.Venue != "" }},
	})
	explanation, err := visits.Explain(visit{ID: "v1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, task := range explanation.Tasks {
		fmt.Println(task.Name, task.Lane, task.TTL, task.Skipped)
	}
	// Output:
	// amorphous before Put returns 0s false
	// recent before Put returns 1h0m0s true
}
