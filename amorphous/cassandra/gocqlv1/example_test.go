package gocqlv1_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra/gocqlv1"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A session that is missing is found when the store is opened.
func ExampleOptions() {
	source := gocqlv1.FromSession(nil, "shop", &gocqlv1.Options{ReadConsistency: "local_one", Hedge: -1})
	_, err := amorphous.Open(context.Background(), source, nil)
	fmt.Println(errors.Is(err, fault.ErrInvalid))
	// Output: true
}
