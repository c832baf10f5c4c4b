package transitory_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
	_ "github.com/fourfold-dev/fourfold/transitory/embedded"
)

// scratch is a directory for an example.
func scratch() (dir string, remove func()) {
	dir, err := os.MkdirTemp("", "queue")
	if err != nil {
		panic(err)
	}
	return dir, func() { _ = os.RemoveAll(dir) }
}

type Order struct {
	ID    string `persistence:"key"`
	Cents int
}

// A typed queue: put orders, and let two workers ship them.
func ExampleTube() {
	dir, remove := scratch()
	defer remove()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	queue, err := transitory.Open(ctx, "embedded://"+dir)
	if err != nil {
		panic(err)
	}
	defer queue.Close()
	orders, err := transitory.NewTube[Order](queue, "orders", nil)
	if err != nil {
		panic(err)
	}
	if err := orders.Put(ctx, Order{ID: "o1", Cents: 250}); err != nil {
		panic(err)
	}

	err = orders.Work(ctx, 2, func(_ context.Context, o Order) error {
		fmt.Printf("shipped %s for %d cents\n", o.ID, o.Cents)
		stop() // this one was enough; Work lets handlers finish
		return nil
	})
	fmt.Println("stopped:", err)
	// Output:
	// shipped o1 for 250 cents
	// stopped: <nil>
}

// Without types: jobs are bytes, and their reserver answers for them.
func ExampleQueue() {
	dir, remove := scratch()
	defer remove()
	ctx := context.Background()
	queue, err := transitory.Open(ctx, "embedded://"+dir)
	if err != nil {
		panic(err)
	}
	defer queue.Close()

	// Every job has its own error: some may fail.
	if err := errors.Join(queue.Put(ctx,
		transitory.Job{Tube: "resize", Priority: 5, Body: []byte("big.png")},
		transitory.Job{Tube: "resize", Priority: 1, Body: []byte("icon.png")})...); err != nil {
		panic(err)
	}
	jobs, err := queue.Reserve(ctx, []string{"resize"}, 1)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", jobs[0].Body)
	queue.Delete(ctx, jobs[0].ID)

	stats, err := queue.Stats(ctx, "resize")
	fmt.Println(stats[0].Ready, "left,", err)
	// Output:
	// icon.png
	// 1 left, <nil>
}

// A bad name is refused before a server sees it.
func ExampleValidTube() {
	fmt.Println(transitory.ValidTube("mail"))
	fmt.Println(transitory.ValidTube("mail\r\nquit"))
	// Output:
	// <nil>
	// transitory: name: tube "mail\r\nquit": invalid: byte 0x0d at offset 4 is not allowed in a tube's name
}

// A job that cannot succeed goes to a place of the program's own; without Dead
// it would be tried again for ever, and never be lost.
func ExampleTubeOptions() {
	dir, remove := scratch()
	defer remove()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	queue, err := transitory.Open(ctx, "embedded://"+dir)
	if err != nil {
		panic(err)
	}
	defer queue.Close()

	numbers, err := transitory.NewTube[int](queue, "numbers", &transitory.TubeOptions{
		Dead: func(_ context.Context, job transitory.Job, reason error) error {
			fmt.Printf("%s is %v\n", job.Body, fault.ClassOf(reason))
			stop()
			return nil // it is kept: the queue may forget it
		},
	})
	if err != nil {
		panic(err)
	}
	queue.Put(ctx, transitory.Job{Tube: "numbers", Body: []byte("not a number")})
	if err := numbers.Work(ctx, 1, func(context.Context, int) error { return nil }); err != nil {
		panic(err)
	}
	// Output:
	// not a number is corrupt
}

// A job that is not wanted now goes back, less urgent than before.
func ExampleQueue_Release() {
	dir, remove := scratch()
	defer remove()
	ctx := context.Background()
	queue, err := transitory.Open(ctx, "embedded://"+dir)
	if err != nil {
		panic(err)
	}
	defer queue.Close()

	queue.Put(ctx, transitory.Job{Tube: "t", Priority: 1, Body: []byte("first")}, transitory.Job{Tube: "t", Priority: 2, Body: []byte("second")})
	jobs, _ := queue.Reserve(ctx, []string{"t"}, 1)
	queue.Release(ctx, transitory.Release{ID: jobs[0].ID, Priority: 3})
	// The reservation is over: its id names nothing any more.
	fmt.Println(errors.Is(queue.Delete(ctx, jobs[0].ID)[0], fault.ErrNotFound))
	jobs, _ = queue.Reserve(ctx, []string{"t"}, 2)
	for _, job := range jobs {
		fmt.Printf("%s, reserved %d times\n", job.Body, job.Reserves)
	}
	// Output:
	// true
	// second, reserved 1 times
	// first, reserved 2 times
}

// A source opens a driver when somebody needs it; any function is one.
func ExampleSourceFunc() {
	source := transitory.SourceFunc(func(ctx context.Context) (transitory.Driver, error) {
		return transitory.URL("beanstalk://localhost").OpenDriver(ctx)
	})
	_, err := source.OpenDriver(context.Background())
	fmt.Println(errors.Is(err, fault.ErrInvalid))
	// Output:
	// true
}
