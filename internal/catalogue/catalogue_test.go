package catalogue

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// named finds the rows at the end of a name: TestLostCommit_D1_D2.
var named = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9/]*((?:_[A-F][0-9]{1,2})+)$`)

// rowsOf returns the rows that a name ends in.
func rowsOf(name string) []string {
	m := named.FindStringSubmatch(name)
	if m == nil {
		return nil
	}
	return strings.Split(m[1][1:], "_")
}

// namesIn returns the names in a file that may end in rows: those of its tests
// if it is one, the first arguments of Run, and in the code of a suite those of
// checks, which are the first of a struct or its field name.
func namesIn(file *ast.File, tests bool) (names []string) {
	text := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if name, err := strconv.Unquote(lit.Value); err == nil {
				names = append(names, name)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil && (strings.HasPrefix(n.Name.Name, "Test") || strings.HasPrefix(n.Name.Name, "Fuzz")) && tests {
				names = append(names, n.Name.Name)
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Run" && len(n.Args) == 2 {
				text(n.Args[0])
			}
		case *ast.CompositeLit:
			if tests || len(n.Elts) < 2 {
				break
			}
			if field, ok := n.Elts[0].(*ast.KeyValueExpr); ok {
				if key, ok := field.Key.(*ast.Ident); ok && key.Name == "name" {
					text(field.Value)
				}
			} else if _, list := n.Elts[1].(*ast.BasicLit); !list {
				text(n.Elts[0])
			}
		}
		return true
	})
	return names
}

// proofs finds, below root, the tests and the checks of suites that name rows.
func proofs(t *testing.T, root string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	note := func(name, path string) {
		for _, row := range rowsOf(name) {
			found[row] = append(found[row], name+" in "+filepath.ToSlash(filepath.Dir(strings.TrimPrefix(path, root+string(filepath.Separator)))))
		}
	}
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != root || d.Name() == "catalogue" || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		tests := strings.HasSuffix(path, "_test.go")
		if !tests && !strings.HasSuffix(filepath.Dir(path), "test") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files++
		for _, name := range namesIn(file, tests) {
			note(name, path)
		}
		return nil
	})
	if err != nil || files < 100 {
		t.Fatalf("%d files were read: %v", files, err)
	}
	return found
}

// TestTally: each row has tests or an answer, and not both.
func TestTally(t *testing.T) {
	found := proofs(t, filepath.Join("..", ".."))
	proven, answered := 0, 0
	known := map[string]bool{}
	for _, r := range Rows {
		if known[r.ID] {
			t.Errorf("%s stands here twice", r.ID)
		}
		known[r.ID] = true
		tests := found[r.ID]
		slices.Sort(tests)
		switch {
		case len(tests) > 0 && r.Answer != "":
			t.Errorf("%s has an answer, and tests: %s", r.ID, strings.Join(tests, ", "))
		case len(tests) > 0:
			proven++
			t.Logf("%-4s %s: %s", r.ID, r.Fault, strings.Join(slices.Compact(tests), ", "))
		case r.Answer != "":
			answered++
			t.Logf("%-4s %s. No test: %s", r.ID, r.Fault, r.Answer)
		default:
			t.Errorf("%s has neither a test nor an answer: %s", r.ID, r.Fault)
		}
	}
	for row, tests := range found {
		if !known[row] {
			t.Errorf("there is no row %s, of which %s speaks", row, tests[0])
		}
	}
	t.Logf("%d rows: %d with tests, %d answered", len(Rows), proven, answered)
	if want := 30 + 25 + 19 + 25 + 18 + 14; len(Rows) != want {
		t.Errorf("%d rows, want %d", len(Rows), want)
	}
}

func TestRowsOfNames(t *testing.T) {
	for name, want := range map[string]string{
		"TestLostCommit_D1_D2": "D1 D2", "TestCrash": "", "Cache/Herd_C2": "C2", "TestA1": "",
		"FuzzWire_B17": "B17", "Test_x": "", "TestD1_d2": "", "FOO_BAR": "", "a sentence_A1": "",
	} {
		if got := strings.Join(rowsOf(name), " "); got != want {
			t.Errorf("%q names the rows %q, want %q", name, got, want)
		}
	}
}

// A string that only looks like a row proves nothing.
func TestNamesInFiles(t *testing.T) {
	const code = `package x
		var checks = []check{{"Values_D25", run}, {name: "Swap_C3", run: run}, {what: "Not_C4", run: run}}
		var list = []string{"Not_A1", "Not_A2"}
		func TestReal_A3(t *testing.T) { t.Run("Sub_A4", nil); t.Log("Not_A5"); do("Not_A6", nil) }
		func helper_A7() string { return "Not_A8" }
		func (s suite) TestMethod_A9() {}`
	file, err := parser.ParseFile(token.NewFileSet(), "x.go", code, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for tests, want := range map[bool]string{true: "TestReal_A3 Sub_A4", false: "Values_D25 Swap_C3 Sub_A4"} {
		if got := strings.Join(namesIn(file, tests), " "); got != want {
			t.Errorf("a test file: %v: the names are %q, want %q", tests, got, want)
		}
	}
}
