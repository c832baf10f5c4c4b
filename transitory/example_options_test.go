package transitory_test

import (
	"context"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/transitory"
)

// openTube opens a tube of texts in a directory of its own.
func openTube(ctx context.Context) (tube *transitory.Tube[string], done func()) {
	dir, remove := scratch()
	queue, err := transitory.Open(ctx, "embedded://"+dir)
	if err != nil {
		panic(err)
	}
	if tube, err = transitory.NewTube[string](queue, "mails", nil); err != nil {
		panic(err)
	}
	return tube, func() {
		queue.Close()
		remove()
	}
}

// One job may be more urgent than its tube is, or wait first.
func ExamplePutOption() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	mails, done := openTube(ctx)
	defer done()
	for text, opts := range map[string][]transitory.PutOption{
		"the newsletter": {transitory.Priority(9)},
		"a new password": {transitory.Priority(1)},
		"a reminder":     {transitory.Delay(time.Hour)},
	} {
		if err := mails.Put(ctx, text, opts...); err != nil {
			panic(err)
		}
	}
	sent := 0
	err := mails.Work(ctx, 1, func(_ context.Context, text string) error {
		fmt.Println(text)
		if sent++; sent == 2 {
			stop() // the reminder is not due
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// a new password
	// the newsletter
	// <nil>
}

// What waits in a tube is counted without taking it.
func ExampleTubeStats() {
	ctx := context.Background()
	mails, done := openTube(ctx)
	defer done()
	for i := range 3 {
		if err := mails.Put(ctx, fmt.Sprint("mail ", i), transitory.Priority(uint32(7-i))); err != nil {
			panic(err)
		}
	}
	if err := mails.Put(ctx, "later", transitory.Delay(time.Hour)); err != nil {
		panic(err)
	}
	stats, err := mails.Stats(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(stats.Tube, stats.Ready, "ready,", stats.Delayed, "delayed, the most urgent at priority", stats.Urgent)
	// Output: mails 3 ready, 1 delayed, the most urgent at priority 5
}
