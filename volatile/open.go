package volatile

import (
	"context"

	"github.com/fourfold-dev/fourfold/internal/schemes"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Source opens a driver when somebody needs it. Opening does not need the
// server to be there: an error means that the source itself is faulty.
type Source interface {
	// OpenDriver gives a driver of its own at each call; the caller closes it.
	OpenDriver(ctx context.Context) (Driver, error)
}

// SourceFunc makes a Source of a function.
type SourceFunc func(ctx context.Context) (Driver, error)

// OpenDriver calls f.
func (f SourceFunc) OpenDriver(ctx context.Context) (Driver, error) { return f(ctx) }

var drivers = schemes.New[Driver](purpose, "embedded", "memcached")

// Register makes a driver known under a URL scheme; a driver's package calls
// it when it is imported. It panics when the scheme is taken or empty, or when
// open is nil.
func Register(scheme string, open func(ctx context.Context, url string) (Driver, error)) {
	drivers.Register(scheme, open)
}

// URL is the Source that a URL names, such as "SCHEME://…". The driver's
// package must be imported; a scheme that nobody registered is fault.ErrInvalid
// with the import that mends it. Passwords in a URL appear in no error.
func URL(url string) Source {
	return SourceFunc(func(ctx context.Context) (Driver, error) { return drivers.Open(ctx, url) })
}

// Open opens the source's driver and returns a Cache over it, which Close closes.
// It does not need a server to be there. opts may be nil; what is wrong with them,
// or with the source, is fault.ErrInvalid.
func Open(ctx context.Context, source Source, opts *Options) (*Cache, error) {
	if source == nil {
		return nil, fault.New(fault.ErrInvalid, purpose, "open", "there is no source; name one, such as embedded.New(nil)")
	}
	driver, err := source.OpenDriver(ctx)
	if err != nil {
		return nil, err
	}
	c, err := New(driver, opts)
	if err != nil {
		driver.Close()
		return nil, err
	}
	return c, nil
}
