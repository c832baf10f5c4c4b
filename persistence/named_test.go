package persistence_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The pages that say which test holds what they promise name tests that are
// there: a page whose tests have other names proves nothing.
func TestPagesNameTestsThatAreThere(t *testing.T) {
	names := strings.Builder{}
	var pages []string
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, name := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w*)\(`).FindAllSubmatch(text, -1) {
			names.WriteString(" " + string(name[1]) + "\n")
		}
		if filepath.Base(path) == "doc.go" && !strings.HasSuffix(filepath.Dir(path), "test") {
			pages = append(pages, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, named := range regexp.MustCompile(`\b((?:Test|Fuzz|Benchmark)[A-Z]\w*)(…?)`).FindAllStringSubmatch(string(text), -1) {
			checked++
			end := "\n"
			if named[2] != "" {
				end = ""
			}
			if !strings.Contains(names.String(), " "+named[1]+end) {
				t.Errorf("%s names %s, and there is no such test", page, named[0])
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d names were looked at", checked)
	}
}
