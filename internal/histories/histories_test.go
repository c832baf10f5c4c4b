package histories_test

import (
	"flag"
	"testing"

	"github.com/fourfold-dev/fourfold/internal/histories"
	"pgregory.net/rapid"
)

func count(t *testing.T) (n int) {
	rapid.Check(t, func(*rapid.T) { n++ })
	return n
}

// TestFewer: as many as the test says, as many as the command line says, and
// afterwards as many as rapid says itself.
func TestFewer(t *testing.T) {
	checks := flag.Lookup("rapid.checks")
	if checks.Value.String() != checks.DefValue {
		t.Skip("the campaign that -rapid.checks asks for")
	}
	before := count(t)
	t.Run("fewer", func(t *testing.T) {
		histories.Fewer(t, "7")
		if n := count(t); n != 7 {
			t.Errorf("%d histories, want 7", n)
		}
		histories.Fewer(t, "9")
		if n := count(t); n != 7 {
			t.Errorf("%d histories, want the 7 that were asked for before", n)
		}
	})
	if n := count(t); n != before || n <= 7 {
		t.Errorf("afterwards %d histories, want %d", n, before)
	}
}
