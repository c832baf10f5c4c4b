package embedded_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
	"github.com/fourfold-dev/fourfold/volatile/embedded"
)

// The size of the cache is all that there is to say.
func ExampleOptions() {
	ctx := context.Background()
	cache, err := volatile.Open(ctx, embedded.New(&embedded.Options{Size: 1 << 20}), nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(cache.Close())
	_, err = volatile.Open(ctx, embedded.New(&embedded.Options{Size: 1}), nil)
	fmt.Println(errors.Is(err, fault.ErrInvalid))
	// Output:
	// <nil>
	// true
}
