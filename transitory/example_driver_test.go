package transitory_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/transitory/embedded"
)

// openDriver opens the in-process driver in a directory of its own.
func openDriver(ctx context.Context) (driver transitory.Driver, done func()) {
	dir, remove := scratch()
	driver, err := embedded.Dir(dir, nil).OpenDriver(ctx)
	if err != nil {
		panic(err)
	}
	return driver, func() {
		driver.Close()
		remove()
	}
}

// What a Queue is above, a Driver is below: jobs go in, are reserved, and are
// deleted when their work is done.
func ExampleDriver() {
	ctx := context.Background()
	driver, done := openDriver(ctx)
	defer done()
	fmt.Println(driver.Put(ctx, []transitory.Job{{Tube: "mail", TTR: time.Minute, Body: []byte("hello")}}))
	jobs, err := driver.Reserve(ctx, []string{"mail"}, 10)
	fmt.Printf("%s %v\n", jobs[0].Body, err)
	fmt.Println(driver.Delete(ctx, []transitory.ID{jobs[0].ID}))
	// Output:
	// [<nil>]
	// hello <nil>
	// [<nil>]
}

// Whoever opens a driver by hand asks it whether its store is there.
func ExampleChecker() {
	ctx := context.Background()
	driver, done := openDriver(ctx)
	defer done()
	if c, ok := driver.(transitory.Checker); ok {
		fmt.Println(c.Check(ctx).Reachable)
	}
	// Output: true
}

// A driver that wraps another one hands its promises on.
func ExampleFeatured() {
	driver, done := openDriver(context.Background())
	defer done()
	if f, ok := driver.(transitory.Featured); ok {
		fmt.Println(f.Features().Name)
	}
	// Output: embedded
}

// A program that relies on an order asks whether the queue has it.
func ExampleFeatures() {
	driver, done := openDriver(context.Background())
	defer done()
	queue := transitory.New(driver)
	defer queue.Close()
	f := queue.Features()
	fmt.Println(f.Name, "strict:", f.Strict, "in order:", f.FIFO)
	// Output: embedded strict: true in order: true
}

// A job that is deleted is gone, and its ID names nothing any more.
func ExampleID() {
	ctx := context.Background()
	driver, done := openDriver(ctx)
	defer done()
	queue := transitory.New(driver)
	queue.Put(ctx, transitory.Job{Tube: "mail"})
	jobs, err := queue.Reserve(ctx, []string{"mail"}, 1)
	if err != nil {
		panic(err)
	}
	id := jobs[0].ID
	fmt.Println(queue.Delete(ctx, id)[0], errors.Is(queue.Delete(ctx, id)[0], fault.ErrNotFound))
	// Output: <nil> true
}

// Jobs say how urgent they are; a faulty one is refused alone.
func ExampleJob() {
	ctx := context.Background()
	driver, done := openDriver(ctx)
	defer done()
	queue := transitory.New(driver)
	errs := queue.Put(ctx,
		transitory.Job{Tube: "resize", Priority: 5, Body: []byte("big.png")},
		transitory.Job{Tube: "-no tube", Body: []byte("lost.png")},
		transitory.Job{Tube: "resize", Priority: 1, TTR: time.Minute, Body: []byte("icon.png")})
	fmt.Println(errs[0], errors.Is(errs[1], fault.ErrInvalid), errs[2])
	jobs, err := queue.Reserve(ctx, []string{"resize"}, 10)
	for _, job := range jobs {
		fmt.Printf("%d %s %d\n", job.Priority, job.Body, job.Reserves)
	}
	fmt.Println(err)
	// Output:
	// <nil> true <nil>
	// 1 icon.png 1
	// 5 big.png 1
	// <nil>
}

// A job that cannot be done now goes back, less urgent than before.
func ExampleRelease() {
	ctx := context.Background()
	driver, done := openDriver(ctx)
	defer done()
	queue := transitory.New(driver)
	queue.Put(ctx, transitory.Job{Tube: "mail", Priority: 1})
	for range 2 {
		jobs, err := queue.Reserve(ctx, []string{"mail"}, 1)
		if err != nil {
			panic(err)
		}
		fmt.Println("priority", jobs[0].Priority, "reserved", jobs[0].Reserves)
		queue.Release(ctx, transitory.Release{ID: jobs[0].ID, Priority: 9})
	}
	// Output:
	// priority 1 reserved 1
	// priority 9 reserved 2
}

// A driver that can look into its jobs removes some of them where they lie.
func ExampleSearcher() {
	ctx := context.Background()
	driver, done := openDriver(ctx)
	defer done()
	queue := transitory.New(driver)
	queue.Put(ctx, transitory.Job{Tube: "mail", Body: []byte("to ann")}, transitory.Job{Tube: "mail", Body: []byte("to bob")})
	removed, _, err := queue.Search(ctx, []string{"mail"}, func(job transitory.Job) bool { return string(job.Body) == "to bob" })
	fmt.Printf("%s %v\n", removed[0].Body, err)
	// Output: to bob <nil>
}

// A Source is what a program passes around before anything is open, such as a
// URL.
func ExampleSource() {
	ctx := context.Background()
	dir, remove := scratch()
	defer remove()
	for _, source := range []transitory.Source{transitory.URL("embedded://" + dir), transitory.URL("embeded://" + dir)} {
		driver, err := source.OpenDriver(ctx)
		if err != nil {
			fmt.Println(errors.Is(err, fault.ErrInvalid))
			continue
		}
		fmt.Println(driver.Close())
	}
	// Output:
	// <nil>
	// true
}

// An Explainer says what it sends for a job, and puts nothing.
func ExampleExplainer() {
	driver, done := openDriver(context.Background())
	defer done()
	if e, ok := driver.(transitory.Explainer); ok {
		fmt.Println(e.Explain(transitory.Job{Tube: "mail"})[0])
	}
	// Output: INSERT INTO transitory_jobs (id, tube, priority, ready_at, ttr, reserves, body) VALUES (?,?,?,?,?,?,?)
}
