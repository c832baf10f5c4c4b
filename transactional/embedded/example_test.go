package embedded_test

import (
	"context"
	"fmt"
	"os"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
)

// A directory is all that a transactional store needs.
func ExampleDir() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	store, err := transactional.Open(ctx, embedded.Dir(dir, nil), nil)
	if err != nil {
		panic(err)
	}
	defer store.Close()
	report := store.Check(ctx)
	fmt.Println(report.OK(), report.Driver, report.Durability)
	// Output: true embedded fsynced
}

// The same directory by URL, without an fsync per commit.
func ExampleOptions() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	store, err := transactional.Open(ctx, transactional.URL("embedded://"+dir+"?relaxed=true"), nil)
	if err != nil {
		panic(err)
	}
	defer store.Close()
	fmt.Println(store.Features().Durability)
	// Output: written
}
