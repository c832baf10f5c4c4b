package embedded

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

func init() {
	transactional.Register("embedded", func(ctx context.Context, url string) (transactional.Driver, error) {
		dir, opts, err := parseURL(url)
		if err != nil {
			return nil, err
		}
		return open(ctx, dir, opts)
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

// parseURL reads embedded:///absolute/dir, embedded:relative/dir, and the
// query relaxed=true.
func parseURL(text string) (string, Options, error) {
	invalid := func(reason string) (string, Options, error) {
		return "", Options{}, fault.New(fault.ErrInvalid, "transactional", "open", reason)
	}
	u, err := url.Parse(text)
	if err != nil {
		return invalid("the URL cannot be read; write embedded:///absolute/directory or embedded:relative/directory")
	}
	if u.Host != "" || u.User != nil {
		return invalid("an embedded URL names no host; write three slashes before an absolute directory")
	}
	dir := u.Path
	if u.Opaque != "" {
		if dir, err = url.PathUnescape(u.Opaque); err != nil {
			return invalid("the directory of the URL cannot be read")
		}
	}
	if dir == "" {
		return invalid("the URL names no directory")
	}
	var opts Options
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return invalid("the options of the URL cannot be read; the only one is relaxed=true")
	}
	for name, values := range query {
		value := values[len(values)-1]
		switch {
		case name != "relaxed":
			return invalid(fmt.Sprintf("unknown option %q; the only one is relaxed=true", name))
		case value != "true" && value != "false":
			return invalid("option relaxed is true or false")
		}
		opts.Relaxed = value == "true"
	}
	return dir, opts, nil
}
