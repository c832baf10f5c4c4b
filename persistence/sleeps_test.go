package persistence_test

import (
	"fmt"
	"go/ast"
	"slices"
	"testing"
)

// maySleep are the functions of tests that sleep outside of a bubble, each with
// the reason. A function named eventually may, in every package: it waits for
// what holds, with a limit, and says what did not hold.
var maySleep = map[string]string{
	"transactional/mysql/proxy_test.go: serve":                                        "it is a slow network",
	"persistence/clocks_test.go: pass":                                                "in a bubble, and in campaigns over real servers",
	"persistence/stopped_unix_test.go: TestAStoppedProcessLosesItsClaims_A19_A20_A22": "a process is stopped for longer than its lease, and nothing happens meanwhile",
}

// "Timing tests run in testing/synctest; no sleeps in tests." What waits for a
// real server, a process or a disk waits for the event itself, or asks again and
// again in its package's eventually. A receive from time.After is a sleep, too,
// unless a select has it beside something else.
func TestNoTestSleeps(t *testing.T) {
	packages := map[string]*bubbles{}
	for _, s := range sources(t, 0) {
		if name := s.dir + "." + s.file.Name.Name; s.test {
			if packages[name] == nil {
				packages[name] = &bubbles{}
			}
			packages[name].files = append(packages[name].files, s)
		}
	}
	sleeps, excepted := 0, map[string]bool{}
	beside := map[ast.Node]bool{} // one case of a select of several
	for _, b := range packages {
		b.find()
		b.each(func(s source, d *ast.FuncDecl, n ast.Node) {
			if s, ok := n.(*ast.SelectStmt); ok && len(s.Body.List) > 1 {
				for _, c := range s.Body.List {
					beside[c.(*ast.CommClause).Comm] = true
				}
			}
			if !isSleep(n) || beside[n] {
				return
			}
			sleeps++
			name := s.path + ": " + d.Name.Name
			switch {
			case b.inside(s.file, n) || d.Name.Name == "eventually":
			case maySleep[name] != "":
				excepted[name] = true
			default:
				t.Errorf("%s sleeps outside of a synctest bubble: let it wait for what is to happen, or ask in eventually", name)
			}
		})
	}
	for name := range maySleep {
		if !excepted[name] {
			t.Errorf("%s is excepted, and does not sleep", name)
		}
	}
	if sleeps < 100 {
		t.Errorf("only %d sleeps were found: the test proves nothing", sleeps)
	}
}

// isSleep says whether a node is a call of time.Sleep, or a statement that waits
// for time.After alone.
func isSleep(n ast.Node) bool {
	if s, ok := n.(*ast.ExprStmt); ok {
		u, ok := s.X.(*ast.UnaryExpr)
		return ok && calls(u.X, "time.After")
	}
	return calls(n, "time.Sleep")
}

func calls(n ast.Node, name string) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && fmt.Sprint(sel.X, ".", sel.Sel) == name
}

// bubbles knows what runs in bubbles of virtual time only, in the test files of a
// package: what is passed to synctest.Test, what is passed to a function that
// calls it in a bubble, functions that are named in bubbles only, and the methods
// of types that are. It goes by names, and where that misleads it says too often
// that something sleeps.
type bubbles struct {
	files   []source
	spans   map[*ast.File][]ast.Node
	named   map[string][]named // where a name stands, but for declarations
	runners map[string]int     // the parameter that a function calls in bubbles only
}

// A named is a place that names something.
type named struct {
	file *ast.File
	id   *ast.Ident
	in   *ast.FuncDecl
}

// each calls visit for all nodes of all functions.
func (b *bubbles) each(visit func(s source, d *ast.FuncDecl, n ast.Node)) {
	for _, s := range b.files {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				ast.Inspect(f.Body, func(n ast.Node) bool { visit(s, f, n); return true })
			}
		}
	}
}

func (b *bubbles) inside(file *ast.File, n ast.Node) bool {
	return slices.ContainsFunc(b.spans[file], func(in ast.Node) bool { return in.Pos() <= n.Pos() && n.End() <= in.End() })
}

// find finds the bubbles: one leads to others, so until no more are found.
func (b *bubbles) find() {
	b.spans, b.named, b.runners = map[*ast.File][]ast.Node{}, map[string][]named{}, map[string]int{"Test": 1}
	b.each(func(s source, d *ast.FuncDecl, n ast.Node) {
		if id, ok := n.(*ast.Ident); ok {
			b.named[id.Name] = append(b.named[id.Name], named{s.file, id, d})
		}
	})
	for known := -1; known < b.known(); {
		known = b.known()
		b.each(func(s source, d *ast.FuncDecl, n ast.Node) {
			if call, ok := n.(*ast.CallExpr); ok {
				b.passed(s.file, call)
			}
		})
		for _, s := range b.files {
			for _, d := range s.file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
					b.declared(s.file, f)
				}
			}
		}
	}
}

func (b *bubbles) known() (n int) {
	for _, spans := range b.spans {
		n += len(spans)
	}
	return n + len(b.runners)
}

// passed finds what a call passes to one that runs it in a bubble.
func (b *bubbles) passed(file *ast.File, call *ast.CallExpr) {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name = f.Name
	case *ast.SelectorExpr:
		name = f.Sel.Name
	}
	i, runs := b.runners[name]
	if name == "Test" {
		runs = calls(call, "synctest.Test")
	}
	if runs && i < len(call.Args) && !b.inside(file, call.Args[i]) {
		b.spans[file] = append(b.spans[file], call.Args[i])
	}
}

// declared finds out whether a function runs in bubbles only, or what it is
// passed does.
func (b *bubbles) declared(file *ast.File, f *ast.FuncDecl) {
	name := f.Name.Name
	if !b.inside(file, f.Body) && (b.only(name, f) || f.Recv != nil && b.only(receiver(f), f)) {
		b.spans[file] = append(b.spans[file], f.Body)
	}
	i := 0
	for _, field := range f.Type.Params.List {
		for _, p := range field.Names {
			_, is := field.Type.(*ast.FuncType)
			if _, known := b.runners[name]; is && !known && b.onlyParam(p, f) {
				b.runners[name] = i
			}
			i++
		}
	}
}

// only says whether a name stands in bubbles only, and somewhere outside of the
// function itself. A variable of the same name is another thing.
func (b *bubbles) only(name string, but *ast.FuncDecl) bool {
	n := 0
	for _, at := range b.named[name] {
		if at.in == but || at.id.Obj != nil && at.id.Obj.Kind == ast.Var {
			continue
		}
		if n++; !b.inside(at.file, at.id) {
			return false
		}
	}
	return n > 0
}

// onlyParam says whether a function uses its parameter in bubbles only.
func (b *bubbles) onlyParam(p *ast.Ident, f *ast.FuncDecl) bool {
	n := 0
	for _, at := range b.named[p.Name] {
		if at.in != f || at.id.Obj != p.Obj {
			continue
		}
		if n++; !b.inside(at.file, at.id) {
			return false
		}
	}
	return n > 0
}

// receiver returns the name of a method's type.
func receiver(f *ast.FuncDecl) (name string) {
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name
		}
		return true
	})
	return name
}
