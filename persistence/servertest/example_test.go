package servertest_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/servertest"
)

// A test of what a program does while Cassandra is away.
func ExampleStart() {
	_ = func(t *testing.T) { // TestCheckinWithoutCassandra
		servers := servertest.Start(t, servertest.Options{Own: true})
		layer, err := persistence.Open(t.Context(), servers.Stores(), servers.Options())
		if err != nil {
			t.Fatal(err)
		}
		defer layer.Close()
		servers.Kill(persistence.Amorphous)
		// … put check-ins: they are accepted
		servers.Restart(persistence.Amorphous)
		// … and their last two tasks are done now
	}
}

// One beanstalkd of two dies, and the other one goes on.
func ExampleServers_Kill() {
	_ = func(t *testing.T) {
		servers := servertest.Start(t, servertest.Options{
			Purposes: []persistence.Purpose{persistence.Transitory},
			Nodes:    map[persistence.Purpose]int{persistence.Transitory: 2},
		})
		servers.Kill(persistence.Transitory, 0)
	}
}

// A server that the environment names is the one that is used.
func ExampleMain() {
	os.Setenv("FOURFOLD_VOLATILE", "memcached://cache.example:11211?tls=true")
	defer os.Unsetenv("FOURFOLD_VOLATILE")
	m := tests{func(t testing.TB) {
		servers := servertest.Start(t, servertest.Options{Purposes: []persistence.Purpose{persistence.Volatile}})
		fmt.Println(servers.URL(persistence.Volatile))
	}}
	servertest.Main(m, servertest.Options{Purposes: []persistence.Purpose{persistence.Volatile}})
	// Output: memcached://cache.example:11211?tls=true
}

// A test starts what it needs, and nothing else.
func ExampleOptions() {
	os.Setenv("FOURFOLD_VOLATILE", "memcached://cache.example:11211?tls=true")
	defer os.Unsetenv("FOURFOLD_VOLATILE")
	opts := servertest.Options{Purposes: []persistence.Purpose{persistence.Volatile}}
	m := tests{func(t testing.TB) {
		stores := servertest.Start(t, opts).Stores()
		fmt.Println(stores.Volatile != nil, stores.Amorphous != nil)
	}}
	servertest.Main(m, opts)
	// Output: true false
}

// tests stand for the *testing.M of a TestMain.
type tests []func(testing.TB)

func (ts tests) Run() int {
	for _, test := range ts {
		test(new(testing.T))
	}
	return 0
}
