package keys_test

import (
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/internal/keys"
)

func TestPlain(t *testing.T) {
	for key, want := range map[string]bool{
		"": false, "k": true, "user-1/\t \x7f": true, strings.Repeat("k", 64): true, strings.Repeat("k", 65): false,
		"\x00": false, "k\x00": false, "é": false, "k\x80": false, "\xff": false,
	} {
		if got := keys.Plain(key); got != want {
			t.Errorf("%q is plain: %v, want %v", key, got, want)
		}
	}
}
