package beanstalkd_test

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/transitory/beanstalkd"
)

// The servers need not be there: the queue opens, says at once that it cannot
// reach any, and works by itself once it can.
func ExampleServers() {
	ctx := context.Background()
	source := beanstalkd.Servers([]string{"127.0.0.1:1"}, &beanstalkd.Options{
		Logger: slog.New(slog.DiscardHandler),
	})
	driver, err := source.OpenDriver(ctx)
	if err != nil {
		panic(err)
	}
	queue := transitory.New(driver)
	defer queue.Close()

	err = queue.Put(ctx, transitory.Job{Tube: "mail", Body: []byte("hello")})[0]
	fmt.Println("an outage:", fault.Outage(err), "- a repeat is harmless:", fault.Retryable(err))
	fmt.Println("reachable:", queue.Check(ctx).Reachable)
	// Output:
	// an outage: true - a repeat is harmless: true
	// reachable: false
}

// What is wrong with a URL is said at once, all of it, and with a way out.
func ExampleOptions() {
	_, err := transitory.Open(context.Background(), "beanstalkd://127.0.0.1?plaintxt=allow&producers=none")
	fmt.Println(err)
	// Output:
	// transitory: open: invalid: unknown option "plaintxt"; did you mean plaintext?; option producers is a number from 1 on
}
