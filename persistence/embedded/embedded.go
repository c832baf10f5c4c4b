// Package embedded gives a layer four in-process stores: one SQLite file for
// transitory, transactional and amorphous data, behind one group-committing
// writer, and a bounded cache for volatile data. Importing it links them; no
// server is needed.
//
// One process owns a directory at a time: a second one gets an error at once
// that names the first. Files are 0600 in a 0700 directory.
//
// # Backups, and a damaged disk
//
// The last commits, up to some 128 MiB of them, lie in fourfold.db-wal until
// they are copied into fourfold.db. The two belong together: copy the directory
// while no process has it open, or let SQLite copy it (VACUUM INTO, .backup).
//
// A page of fourfold.db that cannot be read as one is fault.ErrCorrupt. SQLite
// keeps no checksums of its pages, so a bit that flips inside a value passes;
// envelopes have checksums of their own, and Handle.Verify finds a copy that
// differs from the record.
//
// A damaged log is no error at all: SQLite believes it as far as its checksums
// hold. A disk that lost or changed what it had fsynced, or a copy without the
// log, silently takes all four purposes back to one earlier moment. The rows,
// envelopes and marks of that moment agree with each other, so neither
// Layer.Check, nor Handle.Verify, nor PRAGMA integrity_check sees a difference.
// It shows only beside something that lies outside of the directory: the input,
// when it is gone over again (as examples/checkin does at every start), an
// object of a kept receipt that Handle.Get does not find, a number of rows that
// was written down elsewhere. Where a disk is not trusted, one of these has to
// stand beside it, or a server with replicas in place of it.
package embedded

import (
	"context"

	amorphousembedded "github.com/fourfold-dev/fourfold/amorphous/embedded"
	"github.com/fourfold-dev/fourfold/persistence"
	transactionalembedded "github.com/fourfold-dev/fourfold/transactional/embedded"
	transitoryembedded "github.com/fourfold-dev/fourfold/transitory/embedded"
	volatileembedded "github.com/fourfold-dev/fourfold/volatile/embedded"
)

// Stores are all four stores in process, their file in dir, which is created
// when it is not there.
func Stores(dir string) persistence.Stores {
	return persistence.Stores{
		Transitory:    transitoryembedded.Dir(dir, nil),
		Volatile:      volatileembedded.New(nil),
		Transactional: transactionalembedded.Dir(dir, nil),
		Amorphous:     amorphousembedded.Dir(dir, nil),
	}
}

// Open opens a layer over Stores(dir) with these options; nil means the
// defaults.
func Open(ctx context.Context, dir string, opts *persistence.Options) (*persistence.Layer, error) {
	return persistence.Open(ctx, Stores(dir), opts)
}
