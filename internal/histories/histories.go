// Package histories says how many random histories a test goes through.
package histories

import "flag"

// TB is what this package needs of a *testing.T.
type TB interface {
	// As testing.TB has them.
	Helper()
	Cleanup(func())
	Error(args ...any)
	Fatal(args ...any)
}

// Fewer makes the random histories of a test n, unless the command line says
// how many by -rapid.checks. A suite that drives files and servers runs once for
// each of many drivers, each step waits for a disk, and every run draws others.
func Fewer(tb TB, n string) {
	tb.Helper()
	checks := flag.Lookup("rapid.checks")
	if checks == nil || checks.Value.String() != checks.DefValue {
		return
	}
	if err := checks.Value.Set(n); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := checks.Value.Set(checks.DefValue); err != nil {
			tb.Error(err)
		}
	})
}
