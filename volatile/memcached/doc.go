// Package memcached is the volatile driver for memcached servers, one or many,
// by way of github.com/bradfitz/gomemcache.
//
//	cache, err := volatile.Open(ctx, volatile.URL("memcached://localhost:11211"), nil)
//
//	memcached://h1:11211,h2:11211?tls=true      two members
//	memcached:///run/memcached.sock             a Unix socket
//
//	timeout=500ms    bounds dialling and every operation
//	conns=64         connections per member; sixteen times as many operations are under way
//	max=1047552      the largest value, in bytes: the servers' -I less a kilobyte
//	tls=true         encrypt, and verify the servers by the system's roots
//	ca=FILE          verify them by these certificates only
//	servername=NAME  verify them under this name
//	plaintext=true   permit plaintext to other machines
//
// [New] takes the same without a URL, and [FromClient] a *memcache.Client that
// the program has already: its servers are named again, and its DialContext,
// Timeout and MaxIdleConns hold for the driver's own connections.
//
// memcached's text protocol has neither encryption nor a password: plaintext
// to anything but loopback and Unix sockets is refused unless it is permitted
// by name.
//
// # Members
//
// Keys are spread over the members by consistent hashing of the addresses as
// they are written. Every process must name the same ones. A member that is
// down keeps its share, which is a miss until it is back: were its keys moved
// to the others, every outage would leave old versions on two members.
//
// A member that does not answer costs its timeout once; then its operations
// fail at once with fault.ErrUnavailable, while a probe looks for its return,
// which takes a second at most to be noticed.
//
// # The pipe
//
// A lone operation has a connection of its own. From eight at a time on they
// share one: what is asked while a write is under way leaves with the next,
// without a timer, and one answer follows the other. Groups (Set, Delete and
// SwapAll of many entries) always go that way, up to 128 commands at a time;
// values from 16 KiB on never do. A caller that leaves gives up its answer
// only; a server that is silent, or out of step, ends the pipe and fails
// everything that waits on it, as unknown where it writes.
//
// # Nothing stale after an outage
//
// What the driver could not write, or wrote with an unknown outcome, it
// remembers by key, up to 1,024 per member. Before a member that was down is
// used again these keys are deleted on it, and once more within a second, for
// a request that was under way may land late.
//
// Where that is not enough (more lost writes, or an outage of five seconds,
// in which another process may have lost some and died) the member gets a new
// generation. A generation is a random word that lies on the member and stands
// before every key that is stored there; with another one, everything that the
// member remembers cannot be asked for any more. A process reads it on every
// connection that it makes, and again when it has not done so for a second: so
// nothing old is served by any process one second after a member's return.
//
// In that second some processes write under the old generation, and others
// must not keep what those writes would have replaced. So a member settles
// into a new generation for three to four seconds, by its own clock: readers
// get a miss, a write becomes a delete and returns fault.ErrUnavailable.
//
// A member that was restarted is empty, and gets a generation from the first
// process that comes. It need not settle: no connection has survived. One that
// was flushed, or whose generation was evicted, does.
//
// # Tokens
//
// memcached numbers its writes from one again when it starts, so an old number
// could win against a new entry. A token is a number together with the epoch
// of this driver in which it was read. An epoch ends when the member goes down
// or shows another generation, and each of its connections has seen the same
// one, so a token never reaches a server that did not give it.
//
// # Expiry
//
// TTLs have the resolution of a second and are never short: an entry may live
// up to two seconds longer. Past 30 days they are sent as a Unix time, and end
// in 2038 at the latest, because the client's protocol has no later time.
//
// # Counters
//
// Counters are the server's own. A sum over 64 bits is fault.ErrConflict, and
// the counter begins again.
//
// # What the client and the server get wrong
//
// And what is done about it, with the tests that hold it:
//
//   - An empty key makes the server execute the value, and 250 bytes of printable
//     ASCII are all that a key may be: keys are encoded injectively, and hashed
//     where they are long (FuzzWireKey_C11, TestWireKeyLong).
//   - The client keeps two idle connections and opens any number: as many are
//     kept as may be under way, and no more are opened (TestConnectionsAreBounded_C15,
//     TestOptions, TestServerAtItsConnectionLimit_C16).
//   - A connection that the server closed costs an operation: it is noticed before
//     anything is sent (TestStaleConnectionsCostNothing_C14), and a member that is
//     dead costs its timeout once (TestDeadMemberCostsItsTimeoutOnce_C1).
//   - A value that is too large is refused, and the old one deleted: it is
//     fault.ErrTooLarge before it is sent, and Check compares with the server's
//     limit (the suite's Limits, TestServerWithSmallItems_C8).
//   - A TTL of more than 30 days is taken for a date long past, and a negative one
//     for now (TestExpiry_C10).
//   - The server's errors are texts, for which the client has no class
//     (TestClassify).
//   - A write that failed may leave the old value: it is remembered, and deleted
//     before the member is used again; a write of the layer never fails by it
//     (TestSilentMemberReturnsWithNothingStale_C5, persistence.TestVolatileDown_F1_C6,
//     servertest.TestOneOfThreeCachesLeavesAndComesBack).
//   - The client knows no context: operations end with their timeout or their
//     context, whichever is first (TestContextEndsDuringAWrite, TestWaitForAPlace,
//     TestDribblingServer_F11).
//   - It sends one command per round trip: a pipe under it sends many
//     (TestConformancePiped), which frames commands itself and fails all that
//     wait when an answer is odd (FuzzFramer, TestHostileAnswers_C18, TestCutAnswers_C18).
//   - Another number of members moves nearly every key, and an address is looked
//     up once: hashing is consistent, and names are resolved at every dial
//     (TestRing, TestDeadShareIsAMiss).
//   - TLS is none of its business: the driver dials, and verifies (TestTLS).
//   - It hides its servers and its connections: of a caller's client the driver
//     uses what it exports, and closes nothing (TestFromClient, TestFromClientRestart_C14,
//     TestFromClientRefusals).
package memcached
