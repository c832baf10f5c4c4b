package persistence_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// How long things may be, in lines, so that a function fits on a screen and a
// file can be read at a sitting. A long table of test cases is a variable, and
// counts for nothing.
const (
	longestFunction = 80
	mostFunctions   = 35 // nine of ten
	longestFile     = 400
	longestExample  = 25 // of code: its output and blank lines do not count
)

// "Functions p90 at most 35 lines, none over 80, no file over 400. Every
// exported name documented."
func TestTheHouseReadsLikeAModel(t *testing.T) {
	var lengths []int
	for _, s := range sources(t, parser.ParseComments) {
		text, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(s.path)))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n > longestFile {
			t.Errorf("%s has %d lines, and %d is the most: a part of it is a noun of its own", s.path, n, longestFile)
		}
		line := func(p token.Pos) int {
			return strings.Count(string(text[:p-s.file.FileStart]), "\n") + 1
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				n := line(f.End()) - line(f.Pos()) + 1
				lengths = append(lengths, n)
				if n > longestFunction {
					t.Errorf("%s: %s has %d lines, and %d is the most", s.path, f.Name.Name, n, longestFunction)
				}
			}
		}
		if !s.test && s.file.Name.Name != "main" {
			for _, name := range undocumented(s.file, line) {
				t.Errorf("%s: %s is exported, and nothing says what it is", s.path, name)
			}
		}
	}
	slices.Sort(lengths)
	if p90 := lengths[len(lengths)*9/10]; p90 > mostFunctions {
		t.Errorf("one function of ten has more than %d lines, and %d is the most", p90, mostFunctions)
	}
}

// undocumented returns the exported names of a file that have no comment of
// their own, nor one of the group that they stand in.
func undocumented(file *ast.File, line func(token.Pos) int) (names []string) {
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && receiverIsExported(d) {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				names = append(names, undocumentedSpec(d, spec, line)...)
			}
		}
	}
	return names
}

func undocumentedSpec(d *ast.GenDecl, spec ast.Spec, line func(token.Pos) int) (names []string) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if !spec.Name.IsExported() {
			break
		}
		if d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
			names = append(names, spec.Name.Name)
		}
		names = append(names, undocumentedMembers(spec.Name.Name, spec.Type, line)...)
	case *ast.ValueSpec:
		for _, n := range spec.Names {
			if n.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
				names = append(names, n.Name)
			}
		}
	}
	return names
}

// undocumentedMembers returns the exported fields of a struct, and the exported
// methods of an interface, without a comment. One in front of a field counts for
// those on the lines that follow, up to a blank one. What is embedded is
// documented where its type is.
func undocumentedMembers(name string, typ ast.Expr, line func(token.Pos) int) (names []string) {
	var members *ast.FieldList
	switch typ := typ.(type) {
	case *ast.StructType:
		members = typ.Fields
	case *ast.InterfaceType:
		members = typ.Methods
	default:
		return nil
	}
	group, end := true, line(typ.Pos())-1 // a type on one line has its own comment in front
	for _, m := range members.List {
		start := line(m.Pos())
		if m.Doc != nil {
			start = line(m.Doc.Pos())
		}
		group = m.Doc != nil || group && start <= end+1
		end = line(m.End())
		for _, n := range m.Names {
			if !n.IsExported() {
				continue
			}
			if !group && m.Comment == nil {
				names = append(names, name+"."+n.Name)
			}
			names = append(names, undocumentedMembers(name+"."+n.Name, m.Type, line)...)
		}
	}
	return names
}

func receiverIsExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	exported := false
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && !exported {
			exported = id.IsExported()
			return false
		}
		return true
	})
	return exported
}

// noExample are the types that only a *testing.T can show, each with the Example
// that compiles a test with it.
var noExample = map[string]string{
	"persistence/persistencetest.Options":     "Open",
	"persistence/persistencetest.Scenario":    "Crash",
	"persistence/persistencetest.Recorder":    "Crash",
	"transitory/transitorytest.Harness":       "Run",
	"volatile/volatiletest.Harness":           "Run",
	"volatile/volatiletest.Server":            "Run",
	"transactional/transactionaltest.Harness": "Run",
	"amorphous/amorphoustest.Harness":         "Run",
	"transactional.Statement":                 "Sequencer",
	// It is what its tests do with real servers, and ends with them.
	"persistence/servertest.Servers": "Servers_Kill",
}

// codeLines counts the lines of code in the body of an Example.
func codeLines(t *testing.T, path, name string) (n int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(text), "\nfunc Example"+name+"() {\n")
	body, _, found := strings.Cut(body, "\n}\n")
	if !found {
		t.Fatalf("%s: Example%s is not where it was found", path, name)
	}
	for line := range strings.Lines(body) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "// Output:") || strings.HasPrefix(line, "// Unordered output:") {
			break
		} else if line != "" {
			n++
		}
	}
	return n
}

// "At least one runnable Example per exported type": of its name, in the external
// test package, with an output that is compared.
func TestEveryTypeHasAnExample(t *testing.T) {
	shown := map[string]bool{} // by folder and name; true when it runs
	types := map[string]string{}
	for _, s := range sources(t, parser.ParseComments) {
		if strings.Contains(s.dir, "internal") || strings.HasPrefix(s.dir, "examples") {
			continue
		}
		for _, name := range exportedTypes(s.file) {
			if !s.test {
				types[s.dir+"."+name] = s.path
			}
		}
		if !s.test || !strings.HasSuffix(s.file.Name.Name, "_test") {
			continue
		}
		for _, e := range doc.Examples(s.file) {
			runs := e.Output != "" || e.EmptyOutput
			if n := codeLines(t, s.path, e.Name); runs && n > longestExample {
				t.Errorf("%s: Example%s has %d lines, and %d is the most", s.path, e.Name, n, longestExample)
			}
			name, _, _ := strings.Cut(e.Name, "_")
			for _, name := range []string{name, e.Name} {
				shown[s.dir+"."+name] = shown[s.dir+"."+name] || runs
			}
		}
	}
	for name, path := range types {
		folder, _, _ := strings.Cut(name, ".")
		switch instead, excepted := noExample[name]; {
		case !excepted && !shown[name]:
			t.Errorf("%s: no Example with an output shows %s", path, name)
		case excepted && shown[name]:
			t.Errorf("%s has an Example, and is no exception", name)
		case excepted:
			if _, there := shown[folder+"."+instead]; !there {
				t.Errorf("Example%s is to show %s, and is not there", instead, name)
			}
		}
	}
	for name := range noExample {
		if types[name] == "" {
			t.Errorf("%s is excepted, and no type", name)
		}
	}
	if len(types) < 200 {
		t.Errorf("only %d types were found: the test proves nothing", len(types))
	}
}

// exportedTypes returns the names of a file's exported types.
func exportedTypes(file *ast.File) (names []string) {
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			if t, ok := spec.(*ast.TypeSpec); ok && t.Name.IsExported() {
				names = append(names, t.Name.Name)
			}
		}
	}
	return names
}
