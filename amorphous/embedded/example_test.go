package embedded_test

import (
	"context"
	"fmt"
	"os"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/embedded"
)

// Without an fsync per commit writes are faster, and the store says what that
// costs.
func ExampleOptions() {
	ctx := context.Background()
	for _, opts := range []*embedded.Options{nil, {Relaxed: true}} {
		dir, err := os.MkdirTemp("", "example")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		store, err := amorphous.Open(ctx, embedded.Dir(dir, opts), nil)
		if err != nil {
			panic(err)
		}
		fmt.Println(store.Features().Durability, store.Close())
	}
	// Output:
	// fsynced <nil>
	// written <nil>
}
