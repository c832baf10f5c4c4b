// Package servers starts the four real servers for tests: beanstalkd, memcached,
// MariaDB and Cassandra, each as a child process in the foreground, on a free
// port, in a temporary directory, with nothing of the machine's own
// configuration.
//
//	server, err := servers.Start(ctx, servers.Beanstalkd{}, nil)
//	defer server.Close()
//	… server.URL() …
//	server.Kill() // as kill -9 does
//	server.Restart(ctx)
//
// In a test, [Test] does the same in a line; where a program is missing the test
// is skipped, aloud:
//
//	server := servers.Test(t, servers.MariaDB{Args: []string{"--max-allowed-packet=1M"}})
//
// [Shared] takes the server that the environment names, where it does. [Ring]
// starts a ring of Cassandra nodes, and [URL] names several servers at
// once. A [Cable] to a server can be cut.
//
// Start returns when the server answers in its own protocol. A server that ends
// before, or does not answer in time, is an error with the last lines that it
// printed. A server ends with whoever started it: by Close, and by the kernel
// when the process dies without (on Linux; elsewhere a killed test leaves its
// servers behind). Directories that a killed process left are removed by the
// next Start.
//
// Nothing is installed, but for [FetchCassandra], which only the command that
// checks this module calls.
package servers
