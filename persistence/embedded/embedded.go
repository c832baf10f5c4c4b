// Package embedded gives a layer four in-process stores: one SQLite file for
// transitory, transactional and amorphous data, behind one group-committing
// writer, and a bounded cache for volatile data. Importing it links them; no
// server is needed.
//
// One process owns a directory at a time: a second one gets an error at once
// that names the first. Files are 0600 in a 0700 directory.
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
