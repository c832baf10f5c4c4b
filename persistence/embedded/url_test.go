package embedded_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
)

// One URL is one directory for the three purposes that lie in one, and what is
// wrong with it is wrong for each of them, and said by each.
func TestOneURLIsOneDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	open := func(url string, of ...persistence.Purpose) error {
		var stores persistence.Stores
		for _, p := range of {
			switch p {
			case persistence.Transitory:
				stores.Transitory = transitory.URL(url)
			case persistence.Transactional:
				stores.Transactional = transactional.URL(url)
			case persistence.Amorphous:
				stores.Amorphous = amorphous.URL(url)
			}
		}
		layer, err := persistence.Open(t.Context(), stores, nil)
		if err != nil {
			return err
		}
		return layer.Close()
	}
	all := []persistence.Purpose{persistence.Transitory, persistence.Transactional, persistence.Amorphous}
	if err := open("embedded:a%20shop?relaxed=true", all...); err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadDir(".")
	if err != nil || len(made) != 1 || made[0].Name() != "a shop" {
		t.Errorf("the URL's directory is %v, %v", made, err)
	}
	for url, want := range map[string]string{
		"embedded:d?relaxed=true&relaxed=false": "more than once",
		"embedded://shop/data":                  "names no host",
		"embedded:":                             "names no directory",
	} {
		for _, p := range all {
			if err := open(url, p); !errors.Is(err, fault.ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v %s: %v; want %q", p, url, err, want)
			}
		}
	}
}
