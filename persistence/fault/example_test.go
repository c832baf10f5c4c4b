package fault_test

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// An error says where it happened and what class it is; errors.Is finds the
// class, and errors.Is and errors.As the cause.
func ExampleError() {
	err := error(&fault.Error{Op: "get", Kind: "visit", Key: "c1", Class: fault.ErrUnavailable, Err: io.ErrUnexpectedEOF})
	fmt.Println(err)
	fmt.Println(errors.Is(err, fault.ErrUnavailable), errors.Is(err, io.ErrUnexpectedEOF))
	var where *fault.Error
	if errors.As(err, &where) {
		fmt.Println(where.Op, where.Key)
	}
	// Output:
	// get: visit "c1": store unavailable: unexpected EOF
	// true true
	// get c1
}

// What to do next is asked by predicates, not by comparing classes.
func ExampleRetryable() {
	for _, err := range []error{
		fault.New(fault.ErrBusy, "transactional", "apply", "deadlock"),
		fault.New(fault.ErrUnknown, "transactional", "commit", "connection lost"),
		fault.New(fault.ErrInvalid, "", "put", "the key is empty"),
	} {
		fmt.Println(fault.OutcomeOf(err), fault.Retryable(err), fault.Permanent(err))
	}
	// Output:
	// not applied true false
	// unknown false false
	// not applied false true
}

// An attempt ends in one of three ways, and a lost answer is one of its own.
func ExampleOutcome() {
	lost := fault.New(fault.ErrUnknown, "transactional", "commit", "connection lost")
	fmt.Println(fault.OutcomeOf(nil), "|", fault.OutcomeOf(lost), "|", fault.OutcomeOf(fault.ErrBusy))
	// Output: applied | unknown | not applied
}

// A report tells a person, or a health check, what a store would not do.
func ExampleReport() {
	r := fault.Report{Purpose: "transitory", Driver: "beanstalkd", Version: "1.13", Reachable: true,
		Latency: 80 * time.Microsecond, Durability: fault.Memory,
		Problems: []string{"it runs without a log: start it with -b DIRECTORY"}}
	fmt.Println(r)
	fmt.Println(r.OK())
	// Output:
	// transitory (beanstalkd 1.13): up, 80µs, memory: it runs without a log: start it with -b DIRECTORY
	// false
}

// How durable an acknowledged write is stands in receipts and reports.
func ExampleDurability() {
	accepted := fault.Fsynced
	if accepted != fault.Fsynced {
		fmt.Println("a power cut may lose it")
	}
	fmt.Println(accepted)
	// Output: fsynced
}
