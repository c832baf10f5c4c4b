package persistence_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/fourfold-dev/fourfold"

var purposes = []string{"transitory", "volatile", "transactional", "amorphous"}

// testOnly are packages of others that production code must not link.
var testOnly = []string{"testing", "testing/synctest", "testing/quick", "net/http/httptest", "pgregory.net/rapid", "go.uber.org/goleak"}

// A source is one parsed file of the module.
type source struct {
	path    string // from the module's root, with slashes
	dir     string
	test    bool
	imports []string
	file    *ast.File
}

// sources parses every Go file of the module, so that no build cache and no
// build tag can hide one.
func sources(t *testing.T, mode parser.Mode) []source {
	t.Helper()
	var out []source
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(name, ".."+string(filepath.Separator)))
		if d.IsDir() {
			if base := d.Name(); base == "testdata" || strings.HasPrefix(base, ".") && base != ".." {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, mode)
		if err != nil {
			return err
		}
		s := source{path: rel, dir: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"), file: file}
		for _, imp := range file.Imports {
			p, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, p)
		}
		out = append(out, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 100 {
		t.Fatalf("only %d files were found: the test proves nothing", len(out))
	}
	return out
}

// room is the part of the house that a directory belongs to.
type room struct {
	floor   string // "examples", "above", "persistence", "purpose", "driver", "suite", "fault", "internal", "tool"
	purpose string // of a purpose, its drivers and its suite
}

func roomOf(dir string) room {
	parts := strings.Split(dir, "/")
	switch {
	case parts[0] == "examples":
		return room{floor: "examples"}
	case dir == "persistence":
		return room{floor: "persistence"}
	case dir == "persistence/fault":
		return room{floor: "fault"}
	case parts[0] == "persistence":
		return room{floor: "above"} // embedded, persistencetest, servertest
	case slices.Contains(purposes, dir):
		return room{floor: "purpose", purpose: dir}
	case slices.Contains(purposes, parts[0]) && parts[1] == parts[0]+"test":
		return room{floor: "suite", purpose: parts[0]}
	case slices.Contains(purposes, parts[0]):
		return room{floor: "driver", purpose: parts[0]}
	case parts[0] == "internal" && (strings.HasPrefix(dir, "internal/cmd/") || isTool(dir)):
		return room{floor: "tool"}
	case parts[0] == "internal":
		return room{floor: "internal"}
	}
	return room{floor: "outside"}
}

// isTool names what serves tests and checks only, under a name that does not say
// so; no production code may import it.
func isTool(dir string) bool {
	return slices.Contains([]string{"internal/servers", "internal/sim", "amorphous/cassandra/internal/live"}, dir)
}

// may says whether a file may import a package of this module, by the arrows of
// the house: examples → persistence → the four purposes → fault.
func (s *source) may(dir string) bool {
	from, to := roomOf(s.dir), roomOf(dir)
	own := dir == s.dir || strings.HasPrefix(dir, s.dir+"/")
	if s.test && dir == s.dir {
		return true
	}
	switch from.floor {
	case "examples":
		// What several examples share, and nobody learns from, lies in one place.
		return to.floor != "examples" || own || strings.HasPrefix(dir, "examples/internal/")
	case "above", "tool":
		return to.floor != "examples"
	case "fault":
		return false
	case "internal":
		return to.floor == "fault" || to.floor == "internal"
	case "persistence":
		if s.test && (to.floor == "above" || to.floor == "driver" || to.floor == "tool") {
			return true
		}
		return slices.Contains([]string{"purpose", "fault", "internal"}, to.floor)
	case "purpose":
		if s.test && to.purpose == from.purpose {
			return true // its own drivers and suite
		}
		return to.floor == "fault" || to.floor == "internal"
	case "driver", "suite":
		if to.floor == "purpose" || own {
			return to.purpose == from.purpose
		}
		if s.test && (to.purpose == from.purpose || to.floor == "tool") {
			return true
		}
		return to.floor == "fault" || to.floor == "internal" || to.floor == "driver" && to.purpose == from.purpose && from.floor == "driver"
	}
	return false
}

// The arrows: "examples → persistence → the four purposes → fault. A purpose
// never imports another; a driver imports its own purpose, fault and its client
// library; nothing imports persistence but what stands above it; internal
// imports only fault."
func TestArrows(t *testing.T) {
	checked := map[string]int{}
	for _, s := range sources(t, parser.ImportsOnly) {
		checked[roomOf(s.dir).floor]++
		for _, imp := range s.imports {
			dir, ours := strings.CutPrefix(imp, module+"/")
			if imp == module || ours && !s.may(dir) {
				t.Errorf("%s imports %s: %v must not import %v", s.path, imp, roomOf(s.dir), roomOf(dir))
			}
		}
	}
	for _, floor := range []string{"examples", "above", "persistence", "purpose", "driver", "suite", "fault", "internal"} {
		if checked[floor] == 0 {
			t.Errorf("no file of %s was checked", floor)
		}
	}
	if n := checked["outside"]; n > 0 {
		t.Errorf("%d files lie outside of the house", n)
	}
}

// Test-only packages never reach production code: neither those of others, nor
// ours.
func TestTestOnlyPackagesStayInTests(t *testing.T) {
	forTests := func(dir string) bool {
		return strings.HasSuffix(path.Base(dir), "test") || isTool(dir) || strings.HasPrefix(dir, "internal/cmd/") ||
			dir == "examples/race" // a measurement, which starts the servers that it measures
	}
	for _, s := range sources(t, parser.ImportsOnly) {
		if s.test || forTests(s.dir) {
			continue
		}
		for _, imp := range s.imports {
			dir, ours := strings.CutPrefix(imp, module+"/")
			if slices.Contains(testOnly, imp) || ours && forTests(dir) {
				t.Errorf("%s links %s, which is for tests", s.path, imp)
			}
		}
	}
}

// The purposes have the same rooms, so that learning one teaches all.
func TestEveryPurposeHasTheSameRooms(t *testing.T) {
	have := map[string]bool{}
	for _, s := range sources(t, parser.ImportsOnly) {
		have[s.path] = true
		have[s.dir+"/"] = true
	}
	for _, p := range purposes {
		for _, name := range []string{"doc.go", "driver.go", "open.go", "embedded/", p + "test/"} {
			if !have[p+"/"+name] {
				t.Errorf("%s has no %s", p, name)
			}
		}
	}
}

// crashPoints are the names of all crash points, by where they stand.
func crashPoints(t *testing.T) map[string][]string {
	points := map[string][]string{}
	for _, s := range sources(t, 0) {
		if s.test || !slices.Contains(s.imports, module+"/internal/crash") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || fmt.Sprint(sel.X) != "crash" || sel.Sel.Name != "Point" {
				return true
			}
			name := "(no literal)"
			if lit, ok := call.Args[0].(*ast.BasicLit); ok {
				name, _ = strconv.Unquote(lit.Value)
			}
			points[name] = append(points[name], s.path)
			return true
		})
	}
	return points
}

// Every crash point has a name of its own, and there are enough of them.
func TestCrashPointsHaveNames(t *testing.T) {
	points := crashPoints(t)
	for name, where := range points {
		if len(where) > 1 || !strings.Contains(name, ".") {
			t.Errorf("crash point %q stands in %v: a name stands once, as ROOM.WHEN", name, where)
		}
	}
	if len(points) < 40 {
		t.Errorf("%d crash points; 40 are promised", len(points))
	}
}
