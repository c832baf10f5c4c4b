// Package cassandra is the amorphous store on Cassandra 4 and later, through
// the client github.com/apache/cassandra-gocql-driver/v2.
//
//	store, err := amorphous.Open(ctx, amorphous.URL("cassandra://h1,h2/keyspace?consistency=local_quorum"), nil)
//
// Importing the package registers the scheme. A program that already has a
// session hands it over with [FromSession]; one whose session is of the older
// client github.com/gocql/gocql, of which v1.7.0 is the last release, does so
// with package gocqlv1 below this one, and then links that client only.
//
// # URLs
//
// cassandra://USER@HOST:PORT,HOST:PORT/KEYSPACE, with these options as a query; a
// PASSWORD may follow the USER, but one in a file or in the environment is seen
// by fewer:
//
//	consistency=NAME     of writes and reads, default local_quorum; write= and read= for one of the two
//	dc=NAME              prefer the hosts of a data centre
//	timeout=10s          bounds one statement
//	connect_timeout=5s   bounds the making of one connection
//	conns=2              connections per host
//	in_flight=256        statements under way at once
//	hedge=250ms          a statement without an answer is sent once more, where there are several nodes; 0: never
//	coalesce=200us       a request waits so long for others to share its packet
//	password-env=NAME    the password is in an environment variable
//	password-file=PATH   the password is in a file, read when a session is opened
//	tls=true             TLS also on the loopback interface
//	ca=PATH              certificates that the servers' must be signed by
//	servername=NAME      the name that every server's certificate must be for
//	plaintext=true       no TLS, although a server is on another machine
//
// Servers on other machines are reached by TLS, and their certificates verified,
// unless plaintext=true says otherwise by name. The client knows servers by their
// addresses, which is what a certificate must be for, unless servername names
// one for all. Passwords appear in no error and no log, and go only to the
// server's PasswordAuthenticator, or to what Options.Authenticators names.
//
// # Tables
//
// The store creates no tables by itself. Store.CreateSchema does, and
// Store.Schema returns the statements for whoever reviews them. They only ever
// add. Until then a call is fault.ErrMisconfigured with the statement that
// mends it. The keyspace must exist: how it is replicated is not ours to say.
//
// # Promises
//
// Acknowledged means that as many replicas as the consistency asks have the
// write in memory and in a commit log that each of them syncs in its own time:
// with commitlog_sync: periodic, which is the server's default, every ten seconds
// (commitlog_sync_period), so that a power cut of all replicas loses as much of
// what was acknowledged. Durability is replication. A write is blind,
// so the store does not tell which one was superseded. An answer that does not
// come leaves the outcome unknown, and nothing beneath the store repeats a
// statement; every one of ours may be repeated with the same stamp.
//
// Versions are write timestamps. All programs that write must take theirs from
// clocks that agree, or from numbers of their own.
//
// Rows of a Placed table have one place each as long as reads and writes
// overlap: quorum for both. A process that dies between two steps of a move
// leaves both places until the write is repeated.
//
// An amorphous.Counter needs the same of reads and writes. It uses no counter
// columns, which cannot be repeated safely, and no lightweight transactions.
//
// Two writes of the same version and other content which also expire are told
// apart by when they expire, to the second, before their Tie: that is
// Cassandra's rule.
//
// # Limits
//
// A body has at most 1 MiB. Tombstones and markers outlive gc_grace_seconds
// (ten days by default) only as far as repairs run; a write that is older than
// that must not be made.
//
// # What the client and the server get wrong
//
// And what is done about it, with the tests that hold it:
//
//   - The client's old path has no releases any more, and known hangs: the new one
//     is used here, the old one only by package gocqlv1, and neither links the
//     other (live.TestReal runs the suite over both, TestAdaptersAreApart).
//   - Opening a session needs the server, has no context, and may hang: it happens
//     when the store is first used, beside the caller, with a deadline and growing
//     pauses (cql.TestConnectLazily, cql.TestConnectHangs). Closing one may hang
//     too: it is left behind after five seconds (cql.TestCloseHangs).
//   - Version 5 of the protocol is a draft in the old client: sessions of ours leave
//     it to the negotiation (TestConfiguration); package gocqlv1 says what those
//     that are handed over must be.
//   - The old client's retry policies also repeat what is not idempotent: none is
//     used, a session's own is not obeyed (TestConfiguration,
//     fakecql.TestAnswers_E1_E3_E4_E5_E10), and every statement of ours may be
//     repeated, and is marked so (fakecql.TestDefaults, cql.TestLostAnswers_E1_E3).
//   - Consistency is a default of the client's: here it is LOCAL_QUORUM for reads
//     and writes unless the options name another (fakecql.TestDefaults), and
//     requests go to a node that has the row (TestConfiguration).
//   - Every request waits 200 µs for others to join its packet: not by default
//     (TestConfiguration).
//   - Batches over partitions are refused when they are large, and many statements
//     at once overload a node: batches keep under the limits (cql.TestPack_E6,
//     fakecql.TestBatchSplits_E6), and statements are bounded
//     (cql.TestStatementsUnderWayAreBounded_E17).
//   - The latest write wins by the writer's clock: the time of a write is the
//     object's version, whatever the order of the writes (cql.TestEveryInterleaving_E9,
//     the suite's Newest and Placed).
//   - A NULL is a tombstone, a collection is read whole: a row is cells of one
//     column that is always set (cql.TestNothingIsBoundToNull_E15).
//   - TLS does not verify names unless asked to, and the password goes to any
//     authenticator that asks (TestPlaintextOnlyByName, TestConfiguration,
//     live.TestGuarded).
//   - By default a write is acknowledged before it is on a disk: see Promises.
//   - A session may find no host until its process is started again: it is
//     replaced (cql.TestSessionReplaced). One whose node is killed under it, or whose
//     connections are cut, goes on, and leaves no goroutine and no socket behind
//     when it is closed (live.TestReal/Killed), also while the client connects
//     again, which by itself would never end (fakecql.TestClosedWhileItConnects,
//     TestClosedBeforeItLooksAround): it logs when it is done, and is closed then.
//     A program closes what it handed over; there the client does as it does.
//   - A node that hangs keeps its connections, and the client needs half a minute to
//     leave it: a statement that has no answer for a moment is sent once more
//     (cql.TestHedge, cql.TestALoneNodeIsNotAskedAgain, live.TestRing_E18).
//   - What an answer means for a write depends on its kind (fakecql.TestAnswers_E1_E3_E4_E5_E10,
//     cql.TestClassesByCode).
//   - The client logs to stderr: it gets our logger (TestConfiguration, TestLogger,
//     live.TestGuarded).
package cassandra
