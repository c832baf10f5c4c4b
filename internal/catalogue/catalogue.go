// Package catalogue lists the faults that Fourfold is built to survive: what
// can break in the program itself (A), in beanstalkd (B), memcached (C), MySQL
// and MariaDB (D), Cassandra (E), and between several stores and the network
// (F).
//
// Each row has either tests or a sentence. A test says which rows it proves by
// the end of its name, as in TestLostCommit_D1_D2, and so does a check of a
// conformance suite, so that
//
//	grep -rE '_D12\b' --include='*.go' .
//
// finds what proves row D12. A row for which there is no test says why it cannot
// do harm in this design, or that nothing is promised and what the harm is. The
// tally is computed by a test, which fails when a row has neither or both:
//
//	go test -v -run Tally ./internal/catalogue
package catalogue

// A Row is one fault.
type Row struct {
	ID    string // such as D12
	Fault string // what happens
	// Answer says why there is no test: how the design makes the fault impossible,
	// or the same as another one, or "Not promised" and what it costs. Empty when
	// tests prove the row.
	Answer string
}

// Rows are all faults, in order.
var Rows = []Row{
	{"A1", "the process is killed before an object is accepted", ""},
	{"A2", "the process is killed between a write to its file and the fsync", ""},
	{"A3", "the process is killed after acceptance is durable and before Put returns", ""},
	{"A4", "the process is killed between two tasks of an object, at each of them", ""},
	{"A5", "the process is killed after a store applied a task and before custody knows", ""},
	{"A6", "the process is killed while the log is copied into the database file", ""},
	{"A7", "the process is killed during its recovery, again and again", ""},
	{"A8", "the last record of the log is torn, at any byte", ""},
	{"A9", "bits flip in what is stored", ""},
	{"A10", "the log ends in zeros, as a file system leaves it after a power cut", ""},
	{"A11", "an fsync fails once and the next one succeeds", ""},
	{"A12", "the disk is full", ""},
	{"A13", "the disk is slow", ""},
	{"A14", "the file cannot be read when the program starts", ""},
	{"A15", "two processes open one directory", ""},
	{"A16", "the directory is missing, read-only or somebody else's", ""},
	{"A17", "the process has no file descriptors left", ""},
	{"A18", "far more is pending than memory would hold", ""},
	{"A19", "the process gets no processor time for longer than its lease", ""},
	{"A20", "the process is stopped for longer than its lease and goes on", ""},
	{"A21", "the wall clock jumps by hours, forward and back", ""},
	{"A22", "the machine is suspended and resumes", ""},
	{"A23", "a handler panics", ""},
	{"A24", "a handler ignores its context and does not return", ""},
	{"A25", "layers are opened, worked and closed while everything else goes on", ""},
	{"A26", "the program is stopped while much is pending and a store is down", ""},
	{"A27", "an older program reads what a newer one wrote, and the other way round", ""},
	{"A28", "one token comes twice, the second time with other content", ""},
	{"A29", "payloads are empty, huge, or no valid text", ""},
	{"A30", "objects come ten times as fast as the stores take them", ""},

	{"B1", "the server is down when the program starts", ""},
	{"B2", "the server is killed and comes back with its log", ""},
	{"B3", "the server is killed and comes back empty, counting its jobs from 1 again", ""},
	{"B4", "the power goes before the server's late fsync", "A receipt of transitory custody says \"written\", which promises a kill and not a power cut; in transactional custody the queue holds hints only, and losing all of them loses a second."},
	{"B5", "an fsync of the server's log fails, and it says INSERTED all the same", "INSERTED never counts as fsynced here: a receipt of transitory custody names the durability \"written\", and in transactional custody the queue holds nothing that is not in the outbox."},
	{"B6", "one write to the server's log fails, after which it logs nothing more", ""},
	{"B7", "the disk of the server's log is full", ""},
	{"B8", "the server cannot start again because its disk is full", ""},
	{"B9", "the server's log is torn or bits flip in it, and it serves what is left without an error", ""},
	{"B10", "releases with a delay, and buried jobs, make the server's log grow for ever", "Nothing is buried, dead letters are rows of their own, and what waits for its time is put anew with a delay of one minute at most and the old job deleted, so that no old file of the log is pinned."},
	{"B11", "a job's reservation ends while its handler runs", ""},
	{"B12", "DEADLINE_SOON is answered instead of a job", ""},
	{"B13", "the connection breaks while jobs are reserved", ""},
	{"B14", "a reserve that waits holds up a put", ""},
	{"B15", "the server is stopped and goes on", ""},
	{"B16", "packets are dropped, connections are reset, only the answers are lost", ""},
	{"B17", "answers are cut at any byte, or are garbage", ""},
	{"B18", "tubes, priorities, delays or bodies are what the protocol cannot say", ""},
	{"B19", "the server is draining", ""},
	{"B20", "the server has no descriptors left: it accepts connections and never answers", ""},
	{"B21", "the server is out of memory", ""},
	{"B22", "the server's clock is ahead, so that delayed jobs come early", ""},
	{"B23", "somebody else pauses tubes, or kicks, deletes or buries our jobs", "In transactional custody the queue holds hints only, so whatever is done to them loses a second at most; in transitory custody a job that an operator deletes is deleted by an operator, and nothing can bring back what was recorded nowhere else."},
	{"B24", "a task ends the process each time that it runs", ""},
	{"B25", "two servers stand behind one name, and one of them is stale", ""},

	{"C1", "a server is down, refuses, or does not answer", ""},
	{"C2", "a server comes back empty, and everybody asks at once", ""},
	{"C3", "a server comes back and counts its cas tokens from 1 again", ""},
	{"C4", "a slow reader fills in an old version after a newer one was written", ""},
	{"C5", "a set that was given up is applied late", ""},
	{"C6", "an invalidation is lost", ""},
	{"C7", "an invalidation meets somebody who is loading", ""},
	{"C8", "a value that is too large removes the old one", ""},
	{"C9", "entries are evicted, or the server has no memory for a value", ""},
	{"C10", "a time to live is more than 30 days, a second, or negative", ""},
	{"C11", "keys are long, hold spaces, control characters or commands", ""},
	{"C12", "a counter passes its bounds, or is no number", ""},
	{"C13", "a command without an answer is malformed, and the stream is out of step", "No command is sent without an answer: every request reads the answer to each of its commands, and a connection on which one is missing is closed."},
	{"C14", "pooled connections are stale after a restart", ""},
	{"C15", "connections are opened and closed all the time", ""},
	{"C16", "the server is at its limit of connections", ""},
	{"C17", "somebody flushes the server", ""},
	{"C18", "answers are swapped, truncated, or lie about their length", ""},
	{"C19", "a hot key is lost while the store of record is slow or down", ""},

	{"D1", "the answer to COMMIT is lost", ""},
	{"D2", "COMMIT is lost before it arrives", ""},
	{"D3", "the server is killed in the middle of transactions", ""},
	{"D4", "the server is configured so that its COMMIT is not durable", ""},
	{"D5", "connections are killed, idle and inside a transaction", ""},
	{"D6", "transactions deadlock, and a statement on a dead transaction would be committed alone", ""},
	{"D7", "a lock wait ends, and COMMIT would keep half a transaction", ""},
	{"D8", "the server becomes read-only", ""},
	{"D9", "a transaction is read-only", ""},
	{"D10", "the server takes no more connections", ""},
	{"D11", "the server is stopped and goes on", ""},
	{"D12", "the disk of the server is full", ""},
	{"D13", "a row, or many together, are more than a packet holds", ""},
	{"D14", "one row of a group has data that its column refuses", ""},
	{"D15", "the server would cut data silently", ""},
	{"D16", "the server's collation takes different keys for one", ""},
	{"D17", "somebody locks a table's metadata", ""},
	{"D18", "a column or a table is missing", ""},
	{"D19", "the database is restored from a backup, so that numbers go backward", "Versions come from a clock that never goes behind the wall clock, whatever its high-water mark says, and no number of the server's own is used: an AUTO_INCREMENT stands in no table of ours."},
	{"D20", "a failover loses acknowledged commits", "Not promised: that a commit outlives the loss of its server is the server's to promise, by synchronous replication. What a promoted replica lacks is lost here, too, with its outbox rows, as whole objects, and what it has goes on."},
	{"D21", "the server restarts under prepared statements", ""},
	{"D22", "the network is slow, and delivers single bytes", ""},
	{"D23", "one slow transaction uses up the connections of the others", ""},
	{"D24", "a certificate is expired, or another host's", ""},
	{"D25", "times, time zones and fractions of a second", ""},

	{"E1", "a write times out at the server: some replicas may have it", ""},
	{"E2", "a counter's update times out", "No Cassandra counter is used: counts are rows of their own, summed when they are read, and a repeated row replaces itself."},
	{"E3", "the outcome of a conditional write is unknown", ""},
	{"E4", "Unavailable, Overloaded, IsBootstrapping", ""},
	{"E5", "a logged batch times out, before or after its log was written", ""},
	{"E6", "a batch is larger than the server takes", ""},
	{"E7", "a writer's clock is slow, and its writes would lose silently", ""},
	{"E8", "a delete and an insert have equal timestamps", ""},
	{"E9", "conditional and plain writes meet in one column", ""},
	{"E10", "a read meets too many tombstones", ""},
	{"E11", "what was deleted comes back after gc_grace without a repair", "Deletes are rows of a newer version, kept until Purge, which says that it must not run before a repair; no row of ours depends on the server's tombstones to stay deleted."},
	{"E12", "schemas disagree, and statements must be prepared again after a restart", ""},
	{"E13", "a contact point is down, or says another protocol version", ""},
	{"E14", "a statement that must not be repeated is sent speculatively", "The clients are told never to speculate and never to retry; what is sent once more after a silence, by ourselves, are statements that carry their own timestamp and leave the state of one when they are repeated."},
	{"E15", "a null is written where nothing should be", ""},
	{"E16", "a read at a low consistency returns an older version than one before", "Writes and reads wait for a quorum by default, so that a read meets the newest acknowledged write; who names a lower consistency is told what needs a quorum."},
	{"E17", "more requests are in flight than a connection has numbers for", ""},
	{"E18", "one node of three is killed, stopped and brought back", ""},

	{"F1", "each store is down in turn, and then all of them, under load", ""},
	{"F2", "all stores are down at the start and come up one by one", ""},
	{"F3", "a store flaps", ""},
	{"F4", "a partition lasts longer than every timeout, and heals", ""},
	{"F5", "retries keep a store down that would be back", ""},
	{"F6", "a name is gone, changes, or takes 30 s to resolve", "Names are resolved by the dialers of the four clients, each under the timeout of its connection; a name that does not resolve is a server that cannot be reached (B1, C1, E13), and connections that are open stay."},
	{"F7", "the classics of two writes: a crash between them, publish before rollback, relays that reorder, consumers that do not deduplicate", ""},
	{"F8", "an operator runs again what has run", ""},
	{"F9", "somebody reads cache, rows and cells while the object is on its way", ""},
	{"F10", "one tenant floods the others", "There are no tenants in this design: kinds share workers by priority, a task's Concurrency and PerKey bound what one key can take, and fair shares per customer are the program's, by its keys."},
	{"F11", "a server answers one byte per second", ""},
	{"F12", "random faults, one after the other, of all kinds", ""},
	{"F13", "one store is restored to an older point in time", "Not promised: the SDK cannot know what a backup lacks, and the stores differ until the objects are put again. That brings the restored store to the others' state and overwrites nothing newer, for every row carries its version; Verify finds the differences."},
	{"F14", "kinds, tasks and tubes are renamed while there is a backlog", ""},
}
