// Package transactional keeps data that must be correct: the whole change or
// none of it. It is a transaction runner, versioned rows, and an outbox, over
// a SQL database.
//
// # The nouns
//
// A [Store] holds the current version of objects, one [Row] per id in a
// [Table], with the [Stamp] that orders the versions. A [Unit] is one atomic
// change: rows to write, each under a [Mode] that says when it may, records
// for the outbox, settlements of records, dead letters. [Store.Apply] commits
// a unit, and what arrives while one commit is under way is committed together
// in multi-row statements, so a single writer is not slow and many are fast.
// [Store.Tx] runs a function in an interactive transaction, where the same
// units and plain SQL go together.
//
// The outbox holds [Record]s: work that was accepted in the same transaction
// as the rows it belongs to. [Store.Claim] hands due records to a worker under
// a lease; a [Settlement] in a unit says what became of one, and applies only
// while that worker still holds it. So a record's effect and the note that it
// is done commit together, exactly once.
//
//	store, err := transactional.Open(ctx, embedded.Dir("data", nil), nil)
//	...
//	users := &transactional.Table{
//		Name:    "users",
//		Columns: []transactional.Column{{Name: "email", Type: transactional.Text}},
//		Unique:  [][]string{{"email"}},
//	}
//	_, err = store.Apply(ctx, &transactional.Unit{
//		Writes: []transactional.Write{{Table: users, Row: row, Mode: transactional.Insert}},
//		Add:    []transactional.Record{welcomeMail},
//	})
//
// Store.Enter bounds what runs at a time under a name and key, over all processes
// that share the database: a [Slot] is held under a lease until Store.Leave.
//
// Programs with Go structs use [Rows], which makes the table from the type.
//
// # Drivers
//
// A [Driver] runs units of SQL in one server's dialect, and nothing else: the
// tables, the guarded writes and the grouping are written once, here. Package
// embedded is a SQLite file in the process, package mysql is MySQL and MariaDB.
// Package transactionaltest is the contract made executable.
//
// # Versions and deletes
//
// A write wins when its stamp is newer than the row's. Who loses is told, as
// superseded or by an error, whichever the mode says; a repeat of the same
// write changes nothing. A delete is a version too: a tombstone, which has no
// values, collides with nobody in a unique index, and keeps a late older write
// from bringing the object back until [Store.PurgeTombstones].
//
// # Errors
//
// Every error has a class of package fault. A unit that fails by the contract's
// rules (a duplicate, a lost claim, another version) fails alone, whoever
// shared its commit. A COMMIT whose answer was lost is fault.ErrUnknown and is
// never run again by itself. Deadlocks and lock waits are: the whole unit, or
// the transaction's function, from the start.
//
// # Places
//
// What belongs to an object may lie in another store, at a place that its
// content says. A [Placement] registers the place of a version in the commit of
// its unit. The versions of one object wait for each other there, so each is
// told where older ones lie, or may come to lie yet ([Result.Placed]), and can
// remove what is there at its own version, in whatever order they go on.
//
// # Schema
//
// Where the driver owns its schema, tables appear when they are first used and
// get the columns they lack. Elsewhere [Store.Schema] prints the SQL,
// [Store.CreateSchema] executes it, and a missing table is a [SchemaError] that
// says what to run. Nothing is ever dropped or changed.
package transactional
