package cassandra_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Servers on other machines need TLS, or a word that they do not.
func ExampleOptions() {
	ctx := context.Background()
	opts := cassandra.Options{Hosts: []string{"db1.example.org", "db2.example.org"}, Keyspace: "shop", LocalDC: "dc1", ReadConsistency: "local_one"}
	store, err := amorphous.Open(ctx, cassandra.Open(opts), nil)
	if err != nil {
		panic(err)
	}
	fmt.Println(store.Features().Name, store.Close()) // nothing has connected
	opts.Plaintext, opts.ReadConsistency = true, "most"
	_, err = amorphous.Open(ctx, cassandra.Open(opts), nil)
	fmt.Println(errors.Is(err, fault.ErrInvalid))
	// Output:
	// cassandra <nil>
	// true
}

// A session that the program has already is its own to close; one that is
// missing is found when the store is opened.
func ExampleSessionOptions() {
	source := cassandra.FromSession(nil, "shop", &cassandra.SessionOptions{ReadConsistency: "local_one", Hedge: -1})
	_, err := amorphous.Open(context.Background(), source, nil)
	fmt.Println(errors.Is(err, fault.ErrInvalid))
	// Output: true
}
