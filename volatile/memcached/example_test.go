package memcached_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

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

// A service that has a client of its own hands it over, and closes it: the cache
// dials as the client does.
func ExampleFromClient() {
	addresses := []string{"localhost:11211"}
	client := memcache.New(addresses...)
	client.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		fmt.Println("dialling", address)
		return nil, fmt.Errorf("the tunnel is closed")
	}
	defer client.Close()
	cache, err := volatile.Open(context.Background(), memcached.FromClient(client, addresses, nil), nil)
	if err != nil {
		panic(err)
	}
	defer cache.Close()
	fmt.Println(cache.Check(context.Background()).Problems)
	// Output:
	// dialling localhost:11211
	// [localhost:11211: it cannot be reached, and its share of the entries is a miss: dial: the tunnel is closed]
}

func ExampleOptions() {
	// A cache on another machine needs TLS, or a word that it does not.
	_, err := volatile.Open(context.Background(), memcached.New([]string{"cache.example.org"}, nil), nil)
	fmt.Println(err)
	// Output:
	// volatile: open: invalid: plaintext to cache.example.org:11211, which is not this machine; use TLS (tls=true), or permit it by name (plaintext=true)
}
