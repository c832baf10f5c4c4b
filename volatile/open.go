package volatile

import (
	"context"
	"fmt"
	"slices"
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

var registry = struct {
	sync.Mutex
	open map[string]func(ctx context.Context, url string) (Driver, error)
}{open: map[string]func(ctx context.Context, url string) (Driver, error){}}

// Register makes a driver known under a URL scheme; a driver's package calls
// it when it is imported. It panics when the scheme is taken.
func Register(scheme string, open func(ctx context.Context, url string) (Driver, error)) {
	registry.Lock()
	defer registry.Unlock()
	if _, taken := registry.open[scheme]; taken {
		panic("volatile: the scheme " + scheme + " is registered twice")
	}
	registry.open[scheme] = open
}

// URL is the Source that a URL names, such as "SCHEME://…". The driver's
// package must be imported; a scheme that nobody registered is fault.ErrInvalid
// with the import that mends it. Passwords in a URL appear in no error.
func URL(url string) Source {
	return SourceFunc(func(ctx context.Context) (Driver, error) {
		scheme, _, found := strings.Cut(url, ":")
		if !found || scheme == "" {
			return nil, fault.New(fault.ErrInvalid, purpose, "open", "a URL without a scheme, such as embedded: or memcached://host:11211")
		}
		registry.Lock()
		open := registry.open[scheme]
		registry.Unlock()
		if open == nil {
			return nil, fault.New(fault.ErrInvalid, purpose, "open", unknownScheme(scheme))
		}
		return open(ctx, url)
	})
}

// unknownScheme is the sentence that mends a scheme without a driver.
func unknownScheme(scheme string) string {
	const module = "github.com/fourfold-dev/fourfold/volatile/"
	if scheme == "embedded" || scheme == "memcached" {
		return fmt.Sprintf("no driver for %s: import _ %q", scheme, module+scheme)
	}
	registry.Lock()
	defer registry.Unlock()
	known := []string{"embedded", "memcached"}
	for name := range registry.open {
		if !slices.Contains(known, name) {
			known = append(known, name)
		}
	}
	slices.Sort(known)
	return fmt.Sprintf("no driver for the scheme %q; known are %s", scheme, strings.Join(known, ", "))
}

// Open opens the source's driver and returns a Cache over it, which Close
// closes.
func Open(ctx context.Context, source Source, opts *Options) (*Cache, error) {
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
