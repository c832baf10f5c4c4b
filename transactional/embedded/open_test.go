package embedded_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

func TestURLs(t *testing.T) {
	for _, url := range []string{
		"embedded:", "embedded://host/dir", "embedded://user:pw@/dir", "embedded:///d?relaxed=maybe", "embedded:///d?fast=true", "embedded:///d?relaxed=%zz", "embedded:///d?relaxed=true;x=1",
		"embedded:%zz", "nosuch://x", "no scheme at all", "",
	} {
		if _, err := transactional.Open(t.Context(), transactional.URL(url), nil); !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("%q: a faulty URL is ErrInvalid: %v", url, err)
		}
	}
	t.Chdir(t.TempDir())
	for _, url := range []string{"embedded:data", "embedded://" + filepath.Join(t.TempDir(), "a b"), "embedded:with%20space?relaxed=false"} {
		store, err := transactional.Open(t.Context(), transactional.URL(url), nil)
		if err != nil {
			t.Fatalf("%q: %v", url, err)
		}
		if err := store.Prepare(t.Context()); err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat("with space"); err != nil {
		t.Errorf("a relative directory lies where the program runs: %v", err)
	}
}
