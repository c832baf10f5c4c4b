package servers

import "os"

// A Purpose is one of the four, with the server that is made for it.
type Purpose struct {
	Name string // as persistence.Purpose prints it, such as "transitory"
	// Variable names a server that is given, such as FOURFOLD_TRANSITORY, in the
	// environment. Its value is the URL that opens the store.
	Variable string
	// Kind is what is started where none is given.
	Kind Kind
}

// The four purposes.
var (
	Transitory    = Purpose{"transitory", "FOURFOLD_TRANSITORY", Beanstalkd{}}
	Volatile      = Purpose{"volatile", "FOURFOLD_VOLATILE", Memcached{}}
	Transactional = Purpose{"transactional", "FOURFOLD_TRANSACTIONAL", MariaDB{}}
	Amorphous     = Purpose{"amorphous", "FOURFOLD_AMORPHOUS", Cassandra{}}
)

// Purposes are the four, in the usual order.
func Purposes() []Purpose { return []Purpose{Transitory, Volatile, Transactional, Amorphous} }

// Given is the URL that the environment names, or "".
func (p Purpose) Given() string { return os.Getenv(p.Variable) }

// Shared returns the URL of a server that other tests may be using: the one that
// the environment names, else one that ends with the test. It must not be killed;
// Test starts one that may.
func Shared(tb TB, p Purpose) string {
	tb.Helper()
	if url := p.Given(); url != "" {
		return url
	}
	return Test(tb, p.Kind).URL()
}
