package transitory

import (
	"context"
	"fmt"
	"maps"
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

type opener = func(ctx context.Context, url string) (Driver, error)

var (
	openersMu sync.Mutex
	openers   = map[string]opener{}
)

// imports are the packages whose import registers a scheme, so that an error
// about a scheme that nobody registered can name the one that is missing.
var imports = map[string]string{
	"embedded":   "github.com/fourfold-dev/fourfold/transitory/embedded",
	"beanstalkd": "github.com/fourfold-dev/fourfold/transitory/beanstalkd",
}

// Register makes a driver known under a URL scheme; a driver's package calls
// it when it is imported. It panics when the scheme is taken, empty, or when
// open is nil.
func Register(scheme string, open func(ctx context.Context, url string) (Driver, error)) {
	openersMu.Lock()
	defer openersMu.Unlock()
	if scheme == "" || open == nil {
		panic("transitory: Register needs a scheme and a function")
	}
	if _, taken := openers[scheme]; taken {
		panic(fmt.Sprintf("transitory: Register called twice for scheme %q", scheme))
	}
	openers[scheme] = open
}

// URL is the Source that a URL names, such as "SCHEME://…". The driver's
// package must be imported; a scheme that nobody registered is fault.ErrInvalid
// with the import that mends it. Passwords in a URL appear in no error.
func URL(url string) Source {
	return SourceFunc(func(ctx context.Context) (Driver, error) {
		open, err := openerOf(url)
		if err != nil {
			return nil, err
		}
		return open(ctx, url)
	})
}

// Open returns the Queue that a URL names; the driver's package must be
// imported. The caller closes it. It does not need the server to be there:
// Check tells whether it is.
func Open(ctx context.Context, url string) (*Queue, error) {
	driver, err := URL(url).OpenDriver(ctx)
	if err != nil {
		return nil, err
	}
	return New(driver), nil
}

// openerOf finds the driver of a URL. No error says more of the URL than its
// scheme: what follows may hold a password.
func openerOf(url string) (opener, error) {
	scheme, _, ok := strings.Cut(url, ":")
	if !ok || scheme == "" || strings.ContainsAny(scheme, "/@ ") {
		return nil, fault.New(fault.ErrInvalid, "transitory", "open", "the URL has no scheme; known schemes: "+known())
	}
	openersMu.Lock()
	open := openers[scheme]
	openersMu.Unlock()
	if open != nil {
		return open, nil
	}
	message := fmt.Sprintf("no driver is registered for scheme %q", scheme)
	if path, ok := imports[scheme]; ok {
		message += fmt.Sprintf("; import _ %q", path)
	}
	return nil, fault.New(fault.ErrInvalid, "transitory", "open", message+"; known schemes: "+known())
}

// known lists every scheme, each with the import that registers it where
// nobody has done so yet.
func known() string {
	openersMu.Lock()
	defer openersMu.Unlock()
	schemes := slices.Collect(maps.Keys(openers))
	for scheme := range imports {
		if !slices.Contains(schemes, scheme) {
			schemes = append(schemes, scheme)
		}
	}
	slices.Sort(schemes)
	for i, scheme := range schemes {
		if openers[scheme] == nil {
			schemes[i] = fmt.Sprintf("%s (import _ %q)", scheme, imports[scheme])
		}
	}
	return strings.Join(schemes, ", ")
}
