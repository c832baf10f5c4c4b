package transactional

import (
	"context"
	"strings"
	"sync"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Source opens a driver when somebody needs it. Opening does not need the
// server to be there: an error means that the source itself is faulty.
type Source interface {
	OpenDriver(ctx context.Context) (Driver, error)
}

// SourceFunc makes a Source of a function.
type SourceFunc func(ctx context.Context) (Driver, error)

// OpenDriver calls f.
func (f SourceFunc) OpenDriver(ctx context.Context) (Driver, error) { return f(ctx) }

var schemes struct {
	sync.RWMutex
	open map[string]func(ctx context.Context, url string) (Driver, error)
}

// Register makes a driver known under a URL scheme; a driver's package calls
// it when it is imported. It panics when the scheme is taken.
func Register(scheme string, open func(ctx context.Context, url string) (Driver, error)) {
	schemes.Lock()
	defer schemes.Unlock()
	if _, taken := schemes.open[scheme]; taken {
		panic("transactional: URL scheme " + scheme + " is registered twice")
	}
	if schemes.open == nil {
		schemes.open = map[string]func(ctx context.Context, url string) (Driver, error){}
	}
	schemes.open[scheme] = open
}

// URL is the Source that a URL names, such as "SCHEME://…". The driver's
// package must be imported; a scheme that nobody registered is fault.ErrInvalid
// with the import that mends it. Passwords in a URL appear in no error.
func URL(url string) Source {
	return SourceFunc(func(ctx context.Context) (Driver, error) {
		scheme, _, found := strings.Cut(url, ":")
		if !found {
			return nil, fault.New(fault.ErrInvalid, purpose, "open", "a URL has the form SCHEME://…")
		}
		schemes.RLock()
		open := schemes.open[scheme]
		schemes.RUnlock()
		if open == nil {
			return nil, fault.New(fault.ErrInvalid, purpose, "open", unregistered(scheme))
		}
		return open(ctx, url)
	})
}

// unregistered names the import that is missing. The scheme is quoted only
// when it looks like one, so that a malformed URL leaks no password.
func unregistered(scheme string) string {
	if !ValidName(scheme) {
		return "the URL's scheme is not a name"
	}
	return "no driver is registered for " + scheme +
		`; import _ "github.com/fourfold-dev/fourfold/transactional/` + scheme + `"`
}

// Open opens a Store on a source, which is the same as New on the driver that
// the source opens. Close closes both.
func Open(ctx context.Context, source Source, opts *Options) (*Store, error) {
	if source == nil {
		return nil, fault.New(fault.ErrInvalid, purpose, "open", "there is no source; name one, such as embedded.Dir(dir, nil)")
	}
	if _, err := opts.withDefaults(); err != nil {
		return nil, err
	}
	driver, err := source.OpenDriver(ctx)
	if err != nil {
		if fault.ClassOf(err) == nil {
			err = fault.Wrap(fault.ErrInvalid, purpose, "open", err)
		}
		return nil, err
	}
	return New(driver, opts)
}
