// Package embedded is the amorphous store in this process: partitions of rows
// in one SQLite file, for programs that need no server, and for tests.
//
//	store, err := amorphous.Open(ctx, embedded.Dir("data", nil), nil)
//
// By URL it is embedded:///absolute/dir or embedded:relative/dir, with
// ?relaxed=true for Options.Relaxed. Importing the package registers the scheme.
//
// # Promises
//
// A Write that returned nil is fsynced (with [Options].Relaxed: written, see
// fault.Durability). Writes that arrive while one commit is under way share
// the next one. The outcome of a newest-wins write is exact: ErrSuperseded
// when, and only when, something newer is stored. Reads run beside the writer,
// each on one snapshot. The file is shared with the other in-process stores of
// the same directory, and can be opened with any SQLite tool: the tables are
// called amorphous$NAME.
//
// # Growth
//
// Tombstones, the places of deleted rows and expired cells stay until
// Store.Purge removes them.
//
// A disk that loses or changes what it had fsynced of the write-ahead log takes
// the file back to an earlier moment, without an error: see "Backups, and a
// damaged disk" in package persistence/embedded.
package embedded
