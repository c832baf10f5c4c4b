// Package servertest gives integration tests the real servers: beanstalkd,
// memcached, MariaDB and Cassandra.
//
//	func TestCheckin(t *testing.T) {
//		servers := servertest.Start(t)
//		layer, err := persistence.Open(t.Context(), servers.Stores(), servers.Options())
//		…
//		servers.Kill(persistence.Amorphous)
//		… // what the program does without it
//		servers.Restart(persistence.Amorphous)
//	}
//
// The program that is tested imports the drivers, as it does in production.
//
// # Where the servers come from
//
// A variable of the environment names a server that runs already:
// FOURFOLD_TRANSITORY, FOURFOLD_VOLATILE, FOURFOLD_TRANSACTIONAL and
// FOURFOLD_AMORPHOUS, each with the URL of a store. compose.yaml, in the
// repository, starts four servers and says their URLs.
//
// A purpose that no variable names gets a server of the test's own: the program
// on PATH (Debian packages beanstalkd, memcached, mariadb-server), or, for
// Cassandra, Java 17 with the jars in the user's cache directory, where
// "go run ./internal/cmd/check install", in a clone of Fourfold's repository,
// puts them with Maven. It listens on a free port of the loopback
// interface, keeps its files in a temporary directory, reads no configuration
// of the machine, and ends with the test; on Linux also when the test is
// killed.
//
// Where neither is there, the test is skipped with a message that says what is
// missing. Nothing is ever installed.
//
// # One start for many tests
//
// Cassandra takes ten seconds to start. [Main] starts the servers once for all
// tests of a package:
//
//	func TestMain(m *testing.M) { os.Exit(servertest.Main(m)) }
//
// [Servers.Options] has a namespace of its own for every call of Start, so that
// tests which share servers do not see each other's data.
//
// # Tests that kill
//
// [Servers.Kill], [Servers.Pause] and [Servers.Restart] take the server of one
// purpose down and bring it back, at the same address and with the same files.
// They refuse to touch a server that the environment named, which others may be
// using; with Options.Own a test gets servers of its own all the same.
package servertest
