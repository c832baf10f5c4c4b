package embedded_test

import (
	"testing"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
	_ "github.com/fourfold-dev/fourfold/transitory/embedded"
)

func TestFaultyURLs(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, url := range []string{
		"embedded:", "embedded://host/dir", "embedded:d?relaxed=maybe", "embedded:d?fast=true", "embedded:d?relaxed=%zz", "embedded:d?relaxed=true;x=1",
	} {
		if _, err := transitory.Open(t.Context(), url); fault.ClassOf(err) != fault.ErrInvalid {
			t.Errorf("%s: %v", url, err)
		}
	}
}
