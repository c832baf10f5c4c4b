package persistence_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// putCounter counts the Puts of each kind.
type putCounter map[string]int

func (c putCounter) PutDone(_ context.Context, e persistence.PutEvent) { c[e.Kind]++ }

// An observer implements what it wants to be told of.
func ExamplePutObserver() {
	counter := putCounter{}
	layer, closeLayer := quietLayer(counter)
	defer closeLayer()

	guests := persistence.Declare(layer, "guest", guestPlan)
	for _, id := range []string{"ann", "bob"} {
		guests.Put(context.Background(), guest{ID: id})
	}
	fmt.Println(counter)
	// Output: map[guest:2]
}

// putPrinter prints every Put.
type putPrinter struct{}

func (putPrinter) PutDone(_ context.Context, e persistence.PutEvent) {
	fmt.Println(e.Kind, e.Key, e.Bytes, "bytes", e.Err)
}

// The event of a Put that was refused has the reason.
func ExamplePutEvent() {
	layer, closeLayer := quietLayer(putPrinter{})
	defer closeLayer()

	guests := persistence.Declare(layer, "guest", guestPlan)
	guests.Put(context.Background(), guest{ID: "ann"})
	guests.Put(context.Background(), guest{ID: ""})
	// Output:
	// guest ann 33 bytes <nil>
	// guest  0 bytes put: guest: invalid: guest.ID: the key is empty
}

// taskPrinter prints every run of a task.
type taskPrinter struct{}

func (taskPrinter) TaskDone(_ context.Context, e persistence.TaskEvent) {
	fmt.Println(e.Kind, e.Key, e.Task, e.Result)
}

// A TaskObserver is told of default writes and handlers alike.
func ExampleTaskObserver() {
	layer, closeLayer := quietLayer(taskPrinter{})
	defer closeLayer()
	ctx := context.Background()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, Do: func(context.Context, visit) error { return nil }},
		{Priority: 2, Name: "object", Purpose: persistence.Amorphous},
	})
	visits.Put(ctx, visit{ID: "v1"})
	layer.Drain(ctx)
	// Output:
	// visit v1 tell done
	// visit v1 object done
}

// latePrinter prints how long after its acceptance a task was done.
type latePrinter struct{}

func (latePrinter) TaskDone(_ context.Context, e persistence.TaskEvent) {
	fmt.Println(e.Task, e.Result, e.Ended.After(e.Accepted), e.Attempts, e.Err)
}

// The times of an event tell how long a task waited, and how long it ran.
func ExampleTaskEvent() {
	layer, closeLayer := quietLayer(latePrinter{})
	defer closeLayer()
	ctx := context.Background()

	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{
		{Priority: 1, Name: "object", Purpose: persistence.Amorphous},
	})
	visits.Put(ctx, visit{ID: "v1"})
	layer.Drain(ctx)
	// Output: object done true 0 <nil>
}

// storePrinter prints what becomes of the stores.
type storePrinter struct{ changed chan struct{} }

func (p storePrinter) StoreChanged(_ context.Context, e persistence.StoreEvent) {
	fmt.Println(e.Purpose, "is up:", e.Up)
	p.changed <- struct{}{}
}

// A store that goes down is said once, and once when it is back.
func ExampleStoreObserver() {
	printer := storePrinter{make(chan struct{}, 8)}
	visits, faults, closeLayer := faultyVisits(printer)
	defer closeLayer()

	faults.Down(persistence.Amorphous)
	visits.Put(context.Background(), visit{ID: "v1"})
	<-printer.changed
	faults.Up(persistence.Amorphous)
	<-printer.changed
	// Output:
	// amorphous is up: false
	// amorphous is up: true
}

// reasonPrinter prints why a store is held to be down.
type reasonPrinter struct{}

func (reasonPrinter) StoreChanged(_ context.Context, e persistence.StoreEvent) {
	fmt.Println(e.Purpose, "is down for a reason:", !e.Up && e.Err != nil)
}

// The event of a store that goes down has the error that said so.
func ExampleStoreEvent() {
	visits, faults, closeLayer := faultyVisits(reasonPrinter{})
	defer closeLayer()

	faults.Down(persistence.Amorphous)
	visits.Put(context.Background(), visit{ID: "v1"})
	// Output: amorphous is down for a reason: true
}

// faultyVisits is a kind whose stores fail when they are told to.
func faultyVisits(observer any) (*persistence.Handle[visit], *persistencetest.Faults, func()) {
	dir, err := os.MkdirTemp("", "fourfold")
	if err != nil {
		panic(err)
	}
	faults := persistencetest.NewFaults()
	layer, err := persistence.Open(context.Background(), faults.Wrap(embedded.Stores(dir)),
		&persistence.Options{Observer: observer, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	visits := persistence.Declare(layer, "visit", persistence.Plan[visit]{{Purpose: persistence.Amorphous}})
	return visits, faults, func() {
		layer.Close()
		os.RemoveAll(dir)
	}
}
