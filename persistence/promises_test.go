package persistence_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testsOf names the tests that a folder declares.
func testsOf(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in %s: %v", dir, err)
	}
	found := map[string]bool{}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				found[f.Name.Name] = true
			}
		}
	}
	return found
}

// Each promise of the package documentation names tests that hold it, and those
// exist.
func TestPromisesNameTheirTests(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, promises, found := strings.Cut(string(text), "// # Promises\n")
	promises, _, ended := strings.Cut(promises, "// # Not promised\n")
	if !found || !ended {
		t.Fatal("doc.go has no list of promises")
	}
	inFolder := map[string]map[string]bool{}
	name := regexp.MustCompile(`(?:([a-z][a-z/]*)\.)?(Test\w+)`)
	items := strings.Split(promises, "//   - P")[1:]
	for i, item := range items {
		number, _, _ := strings.Cut(item, " ")
		tests := name.FindAllStringSubmatch(item, -1)
		if len(tests) == 0 {
			t.Errorf("promise P%s names no test", number)
		}
		for _, m := range tests {
			dir := "."
			if m[1] != "" {
				dir = filepath.Join("..", filepath.FromSlash(m[1]))
			}
			if inFolder[dir] == nil {
				inFolder[dir] = testsOf(t, dir)
			}
			if !inFolder[dir][m[2]] {
				t.Errorf("promise P%s names %s, which is not in %s", number, m[0], dir)
			}
		}
		if i == 0 && number != "1" {
			t.Errorf("the first promise is P%s", number)
		}
	}
	if len(items) != 11 {
		t.Errorf("%d promises, want 11", len(items))
	}
}
