package sqlitefile

import (
	"os"
	"strings"
	"testing"
)

// modernc.org/sqlite v1.61.1 cannot be tidied, and each version of it works with
// the modernc.org/libc of its own go.mod only. Who raises one looks at the other.
func TestVersionsArePinned(t *testing.T) {
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"modernc.org/sqlite v1.60.1\n", "modernc.org/libc v1.77.1\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("go.mod does not have %q", want)
		}
	}
}
