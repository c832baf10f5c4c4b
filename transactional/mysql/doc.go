// Package mysql is the transactional database on a server: MySQL 8.0.17 or
// newer, MariaDB 10.6 or newer, and servers that speak their protocol.
//
//	store, err := transactional.Open(ctx, mysql.Open("mysql://app@db.example.org/app?password-env=DB_PASSWORD", nil), nil)
//
// A service that has a *sql.DB of github.com/go-sql-driver/mysql hands it over
// with [FromDB], and may then run units inside its own *sql.Tx by
// transactional.Store.Join.
//
// # URLs
//
// mysql://USER@HOST:PORT/DATABASE, with these options as a query; a PASSWORD
// may follow the USER, but one in a file or in the environment is seen by fewer:
//
//	password-env=NAME    the password is in an environment variable
//	password-file=PATH   the password is in a file, read at each connection
//	socket=PATH          connect by a Unix socket instead of HOST:PORT
//	tls=true             TLS also on the loopback interface
//	ca=PATH              certificates that the server's must be signed by
//	plaintext=true       no TLS, although the server is on another machine
//	durability=written   accept innodb_flush_log_at_trx_commit = 2; memory accepts 0 as well
//	conns=N              connections at most, default 12
//
// A server on another machine is reached by TLS, and its certificate verified,
// unless plaintext=true says otherwise by name. An option that is unknown,
// malformed or given twice is refused, and so is one that contradicts another.
// Passwords appear in no error and no log.
//
// # What the server must be
//
// Sessions that we open get a strict sql_mode, READ COMMITTED and a short
// lock wait. A server that does not fsync at COMMIT is refused unless the
// durability option accepts it. Tables are not created by themselves: use
// transactional.Store.Schema or CreateSchema.
//
// # Clusters
//
// None takes part in the tests. What the store asks of one: that it greets as
// MySQL 8.0.17 or MariaDB 10.6 at least, that SELECT ... FOR UPDATE SKIP LOCKED
// locks what it returns, that a transaction is atomic over all of our tables and
// can go back to a savepoint, and that what was committed is read by the next
// transaction. The URL names one host: the one that takes writes, or what stands
// before the servers and sends all connections to it.
//
//   - Group Replication with one primary, and Aurora by its writer endpoint: a
//     server that is no longer the writer answers 1290, which is an outage, and
//     its connection is dropped, so that the next one finds the new writer.
//   - Galera, and Group Replication with several primaries: row locks are not
//     known to the other servers. Two that write the same row, or claim the same
//     record, get an error instead of COMMIT for one of them (1213, 3101), and that
//     one runs again: nothing is given out twice, and much is done twice. Reads on
//     another server may be older than what was acknowledged. Let all processes
//     write to one server, and keep the others for when it dies.
//   - Vitess before 19 refuses SKIP LOCKED as a syntax error, and commits shards one
//     by one: our tables belong into a keyspace of one shard.
//   - TiDB is refused, whatever version it greets with: it takes SKIP LOCKED, locks
//     no row, and two workers would get the same record
//     (TestTiDBIsRefusedForItsLocks).
//
// Any of them that is not MySQL or MariaDB should have passed TestConformanceGiven
// before it is trusted.
//
// # Outcomes
//
// A transaction whose COMMIT was sent and not answered is fault.ErrUnknown, and
// is never repeated by itself; all else that fails is known not to have been
// applied, because its connection is closed or its ROLLBACK was answered.
// After an error no further statement of that transaction reaches the server:
// after a deadlock the server would execute it on its own, and COMMIT after a
// lock wait would keep half of the transaction.
//
// # What the client and the server get wrong
//
// And what is done about it, with the tests that hold it:
//
//   - A statement per row is slow, and one text per number of rows fills the
//     caches of prepared statements: rows go together, in any number up to 32 for
//     what every commit has, else in few different numbers, within the limits of
//     placeholders and packets (transactional.TestPadded, transactional.TestChunks,
//     TestPackets_D13).
//   - A transaction is a round trip for its beginning, one for each statement and one
//     for its end, and a lone caller waits for all of them: MariaDB prepares a
//     compound statement that is the whole of what a lone Put writes. When its answer
//     is lost the outcome is unknown, whichever statement it had come to; when one is
//     refused, or leaves its row alone, nothing is applied, and the unit goes
//     statement by statement, as all do on MySQL, and on a caller's pool
//     (TestALoneAcceptanceIsOneStatement, TestLostSequence_D1_D2).
//   - Rows in random order deadlock: those of a transaction are sorted by key
//     (TestRowsAreInTheOrderOfTheirKeys). Where units want the same row, each of
//     them writes it, one after the other in their order, and the newest stays
//     (transactional.TestWaves, the suite's Units and Load). Rows of other keys
//     still meet in a unique index: such a unit runs again
//     (TestDeadlockThroughAUniqueValue_D6).
//   - A deadlock ends the transaction on the server, and a lock wait only its
//     statement; what comes after would be committed on its own: after an error
//     nothing more is sent, and the transaction runs again as a whole (TestDeadlock_D6,
//     TestLockWait_D7). One bad row of a group fails alone (TestDataErrors_D14).
//   - The pool has no bounds, two idle connections, and no timeouts, and the client
//     writes to stderr: ours are bounded, kept and renewed, and have our logger
//     (TestPool, TestConnectionsAreKept, TestSessionsBoundWhatTheServerWaits,
//     TestTooManyConnections_D10).
//   - When a context ends, the statement may still be executed: that is
//     fault.ErrUnknown once COMMIT was sent, and the connection is never used again
//     (TestLostCommit_D1_D2, TestStoppedServer_D11).
//   - A full disk refuses a statement, makes MariaDB abort in the middle of one, and
//     says of a COMMIT nothing: the first two are an outage, the last is
//     fault.ErrUnknown (TestTheDiskOfTheServerIsFull_D12).
//   - A row over max_allowed_packet ends the connection, and one more statement
//     of the pool: rows are measured before, and a connection that broke is dropped
//     (TestPackets_D13, TestKilledConnections_D5, TestKilledServer_D3_D21).
//   - MySQL and MariaDB differ: statements are such as both take. MySQL 8 was not
//     to be had where this is tested, so every text that the suite executes on
//     MariaDB is held to what MySQL's manual says (TestConformance, TestRefusals),
//     and who has one runs the suite on it (TestConformanceGiven, with -given);
//     VALUES(column) in an upsert is what MySQL calls deprecated and still takes.
//   - Identity columns ignore case and trailing spaces, and a value that is too
//     long is cut unless the session is strict: keys are binary, lengths checked,
//     sessions strict (the suite's Values/Identity and Refusals, TestStrictMode_D15,
//     TestDurability_D4 for COMMITs that do not last).
//   - Times are rounded by the one and cut by the other: they are numbers of
//     microseconds (the suite's Values/Extremes).
//   - Names cannot be bound, and a URL holds a password: names are checked and
//     quoted, URLs are never repeated, several statements in one are off
//     (TestIdentifiers, TestURLs, TestPlaintextOnlyByName, TestPasswords).
//   - A service whose transactions hold every connection of its pool waits for
//     Join, and Join would wait for a connection: it asks by the transaction alone
//     where that is. A random number in the store's own table tells, because
//     @@hostname is another one on each server behind a load balancer
//     (TestJoinNeedsNoSecondConnection, TestJoinOnAnotherNode,
//     TestJoinLeavesTheSnapshot, transactional.TestJoinKnowsItsDatabase).
//   - The outbox must not grow, nor claims become slow (TestOutboxStaysSmall,
//     TestPlans).
package mysql
