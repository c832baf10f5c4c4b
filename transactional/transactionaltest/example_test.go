package transactionaltest_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
	"github.com/fourfold-dev/fourfold/transactional/transactionaltest"
)

// A COMMIT whose answer is lost, on demand: the caller does not know, and the
// record tells.
func ExampleFaulty() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	source := transactionaltest.NewFaulty(embedded.Dir(dir, nil))
	store, err := transactional.Open(ctx, source, nil)
	if err != nil {
		panic(err)
	}
	defer store.Close()
	if err := store.CreateSchema(ctx); err != nil {
		panic(err)
	}

	source.Next(transactionaltest.Lost)
	r := transactional.Record{ID: transactional.RecordID{1}, Kind: "k", Lane: "lane"}
	_, err = store.Apply(ctx, &transactional.Unit{Add: []transactional.Record{r}})
	fmt.Println(errors.Is(err, fault.ErrUnknown))
	_, _, err = store.Find(ctx, r.ID)
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}
