package memcached_test

import (
	"context"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/volatile"
	"github.com/fourfold-dev/fourfold/volatile/memcached"
)

func ExampleNew() {
	source := memcached.New([]string{"localhost:11211", "/run/memcached.sock"}, &memcached.Options{Timeout: 200 * time.Millisecond})
	cache, err := volatile.Open(context.Background(), source, nil)
	fmt.Println(err) // nil also when no member is up: a cache may be down
	fmt.Println(cache.Features().Name, cache.Features().Shared)
	cache.Close()
	// Output:
	// <nil>
	// memcached true
}

func ExampleOptions() {
	// A cache on another machine needs TLS, or a word that it does not.
	_, err := volatile.Open(context.Background(), memcached.New([]string{"cache.example.org"}, nil), nil)
	fmt.Println(err)
	// Output:
	// volatile: open: invalid: plaintext to cache.example.org:11211, which is not this machine; use TLS (tls=true), or permit it by name (plaintext=true)
}
