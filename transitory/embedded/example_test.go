package embedded_test

import (
	"context"
	"fmt"
	"os"

	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/transitory/embedded"
)

// A queue in a directory of its own: no server, and what was put survives the
// program.
func ExampleDir() {
	dir, err := os.MkdirTemp("", "queue")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	driver, err := embedded.Dir(dir, nil).OpenDriver(ctx)
	if err != nil {
		panic(err)
	}
	queue := transitory.New(driver)
	defer queue.Close()

	queue.Put(ctx,
		transitory.Job{Tube: "mail", Priority: 10, Body: []byte("newsletter")},
		transitory.Job{Tube: "mail", Priority: 1, Body: []byte("password reset")},
	)
	jobs, err := queue.Reserve(ctx, []string{"mail"}, 2)
	if err != nil {
		panic(err)
	}
	for _, job := range jobs {
		fmt.Println(string(job.Body))
		queue.Delete(ctx, job.ID)
	}
	// Output:
	// password reset
	// newsletter
}

// Without an fsync per change puts are faster, and the queue says what that
// costs.
func ExampleOptions() {
	dir, err := os.MkdirTemp("", "queue")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	driver, err := embedded.Dir(dir, &embedded.Options{Relaxed: true, BodyBytes: 8 << 20}).OpenDriver(context.Background())
	if err != nil {
		panic(err)
	}
	queue := transitory.New(driver)
	fmt.Println(queue.Features().Durability, queue.Close())
	// Output: written <nil>
}
