package embedded

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/internal/schemes"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

func init() {
	transactional.Register("embedded", func(ctx context.Context, url string) (transactional.Driver, error) {
		dir, relaxed, err := schemes.Directory(url)
		if err != nil {
			return nil, fault.New(fault.ErrInvalid, "transactional", "open", err.Error())
		}
		return open(ctx, dir, Options{Relaxed: relaxed})
	})
}

// Options of a database in a directory; zero values are the defaults. When a
// directory is opened a second time in one process, the options of the first
// opening hold.
type Options struct {
	// Relaxed gives up the fsync of every commit: a power cut may lose the
	// last ones, a kill of the process does not. Features.Durability says so.
	Relaxed bool
	// UnitTimeout cuts off a transaction that holds the one writer for longer,
	// as transactional.Options.TxTimeout does: the shorter one counts. Default
	// 5 s.
	UnitTimeout time.Duration
}

// Dir is the database that lies in a directory, which is made when it is
// missing. Nothing is opened before OpenDriver is called; opts may be nil.
// Two processes cannot share a directory: the second gets
// fault.ErrMisconfigured, with the pid of the first.
func Dir(dir string, opts *Options) transactional.Source {
	var o Options
	if opts != nil {
		o = *opts
	}
	return transactional.SourceFunc(func(ctx context.Context) (transactional.Driver, error) {
		return open(ctx, dir, o)
	})
}
