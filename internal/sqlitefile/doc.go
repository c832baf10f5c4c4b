// Package sqlitefile is the one SQLite file behind the in-process stores: one
// group-committing writer for everything that three purposes write, so that
// concurrent units share an fsync, and a pool of readers beside it.
//
// # Units
//
// A unit is a function that gets a [Conn]. [File.Write] runs units one after
// another on the writer: those that arrive while a commit is under way form
// the next group, are run each in a savepoint of its own, and become durable
// together with one fsync. Nothing waits for a timer. A unit that fails is
// rolled back alone. [File.Read] runs a unit on a reader, on one snapshot.
//
// A savepoint copies every page that its unit changes. Callers who would run
// their unit again anyway say so in [Terms], and pay for none.
//
// # A unit cannot hold the others up
//
// A unit that holds the writer longer than [Options.UnitTimeout] is cut off:
// its Conn is revoked, its running statement interrupted, its savepoint rolled
// back, and the writer goes on, even though the unit's function may still
// sleep. SQLite has one rough edge here: interrupting a statement that writes
// rolls back the whole transaction. Then the other units of that group are
// told fault.ErrBusy: nothing of them was applied.
//
// # The log is copied beside the writer
//
// SQLite writes to a log first and copies it into the database now and then,
// by default inside some commit, whose whole group then waits. Here a
// goroutine copies it on a connection of its own, and the log stays near
// 128 MiB at most; only a reader that keeps its snapshot for long makes it
// grow beyond that.
//
// # What errors mean
//
// Everything SQLite answers is put into the vocabulary of persistence/fault by
// [Classify]. A full or failing disk takes its whole group with it: before
// COMMIT was tried nothing was applied, and a COMMIT whose answer is an I/O
// error is fault.ErrUnknown. After such an error the connection is closed and
// a new one opened, because a file whose fsync failed once must not be
// believed when the next one succeeds.
//
// # A damaged log
//
// Whoever opens the file replays the log as far as its checksums hold, and takes
// what follows for the remains of an unfinished commit. A log whose end was cut
// off, or one with a flipped bit, is therefore a shorter history, whole and
// consistent, and no error: the commits behind that place are gone
// (TestATornLogKeepsWhatIsBefore_A8_A10, TestAFlippedBitInTheLogIsNoticed_A9).
// Only a disk that gave back other bytes than it had fsynced does this, or
// somebody who copied the database without its log.
//
// # What the library gets wrong
//
// And what is done about it, with the tests that hold it:
//
//   - A commit per unit costs an fsync per unit, and several writers get
//     SQLITE_BUSY: one goroutine writes, in groups, each an immediate transaction
//     (TestWritesShareGroupsAndFailAlone, TestAnotherProgramHoldsTheFile_A15).
//   - By default the last commits are lost with the power: synchronous is FULL
//     (TestSynchronous, TestCrash_A2_A6_A15).
//   - A version of the library works with one version of its C library only, and
//     some cannot be tidied: both are pinned (TestVersionsArePinned).
package sqlitefile
