package transactionaltest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
	"github.com/fourfold-dev/fourfold/transactional/transactionaltest"
)

// What a driver's own test is.
func ExampleRun() {
	TestConformance := func(t *testing.T) {
		transactionaltest.Run(t, transactionaltest.Harness{
			Source: func(t *testing.T) transactional.Source { return embedded.Dir(t.TempDir(), nil) },
			Ops:    500,
		})
	}
	_ = TestConformance
}

// Each fault leaves the caller with another answer.
func ExampleFault() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	source := transactionaltest.NewFaulty(embedded.Dir(dir, nil))
	driver, err := source.OpenDriver(ctx)
	if err != nil {
		panic(err)
	}
	defer driver.Close()
	source.Next(transactionaltest.Refused, transactionaltest.Busy, transactionaltest.Dropped, transactionaltest.None)
	for range 4 {
		err := driver.Run(ctx, func(transactional.Conn) error { return nil })
		fmt.Println(errors.Is(err, fault.ErrUnavailable), errors.Is(err, fault.ErrBusy), errors.Is(err, fault.ErrUnknown))
	}
	// Output:
	// true false false
	// false true false
	// false false true
	// false false false
}

// The model says what a store must answer, without a store.
func ExampleModel() {
	model := transactionaltest.NewModel()
	add := &transactional.Unit{Add: []transactional.Record{{ID: transactional.RecordID{1}, Kind: "mail", Lane: "mail", Priority: 5}}}
	_, faults := model.Apply(add)
	fmt.Println(faults)
	fmt.Println(model.Urgent("mail"))
	fmt.Println(model.Claim(7, 10, "mail"))
	fmt.Println(model.Claim(8, 10, "mail"))
	// Output:
	// []
	// 5 true
	// [01000000000000000000000000000000]
	// []
}
