package transactional

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "_": true, "A1_": true, strings.Repeat("x", MaxName): true,
		"": false, "1a": false, "a-b": false, "a b": false, "a`": false, `a"`: false, "é": false, "a\x00": false, "a;": false, strings.Repeat("x", MaxName+1): false,
	} {
		if ValidName(name) != want {
			t.Errorf("ValidName(%q) is %v", name, !want)
		}
	}
}

// FuzzValidName: what is valid needs no quoting anywhere.
func FuzzValidName(f *testing.F) {
	f.Add("a`; DROP")
	f.Fuzz(func(t *testing.T, name string) {
		if ValidName(name) && strings.ContainsFunc(name, func(r rune) bool {
			return !(r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
		}) {
			t.Fatalf("%q is valid", name)
		}
	})
}

func TestEscapeIsInjective(t *testing.T) {
	seen := map[string]string{}
	for _, base := range []string{"orders", "Orders", "order", "meta", "user", "outbox"} {
		for n := range 4 {
			name := base + strings.Repeat("_", n)
			got := escape(name, ourTables)
			if other, there := seen[got]; there {
				t.Errorf("%q and %q are both %q", name, other, got)
			}
			seen[got] = name
			if slices.Contains(ourTables, strings.ToLower(got)) {
				t.Errorf("%q is %q, one of ours", name, got)
			}
		}
	}
}

// TestChunks: the sizes of the statements add up, there are few of them, and
// none has more arguments than the server takes. What every commit has is one
// statement, up to 32 rows.
func TestChunks(t *testing.T) {
	for z, most := range map[*sized]int{{}: 16, {fine: true}: 36} {
		sizes := map[int]bool{}
		rapid.Check(t, func(t *rapid.T) {
			s := &Store{maxArgs: rapid.IntRange(1, 70_000).Draw(t, "args")}
			width, n := rapid.IntRange(1, 400).Draw(t, "width"), rapid.IntRange(1, 1000).Draw(t, "rows")
			left := n
			for left > 0 {
				c := s.chunk(z, left, width)
				if c < 1 || c > left || c > maxChunk || c > 1 && c*width > s.maxArgs {
					t.Fatalf("chunk of %d for %d rows of %d", c, left, width)
				}
				if z.fine && n <= 32 && n*width <= s.maxArgs && c != n {
					t.Fatalf("%d rows are one statement, not one of %d and another", n, c)
				}
				sizes[c] = true
				left -= c
			}
		})
		if len(sizes) > most {
			t.Errorf("%d sizes, want %d at most: %v", len(sizes), most, sizes)
		}
	}
}

// TestFirstTablesAreFine: on a server the first tables of a program have a
// statement for each number of rows, and not so many that a connection could not
// keep them; in a file, where a statement is no round trip, none has.
func TestFirstTablesAreFine(t *testing.T) {
	for _, server := range []bool{true, false} {
		s := &Store{features: Features{SharedLog: server}, plans: map[*Table]*plan{}}
		s.dialect.Quote, s.dialect.Upsert = quoted, func(key, set []string) string { return "" }
		for n := range fineTables + 2 {
			p, err := s.compiled(&Table{Name: fmt.Sprint("t", n)})
			if err != nil {
				t.Fatal(err)
			}
			if want := server && n < fineTables; p.upsert.fine != want || p.insert.fine != want || p.lock.fine {
				t.Errorf("server %v, table %d: upsert %v, insert %v", server, n, p.upsert.fine, p.insert.fine)
			}
		}
	}
}

func quoted(name string) string { return `"` + name + `"` }

func TestPadded(t *testing.T) {
	for n := 1; n <= maxChunk; n++ {
		if p := padded(n); p < n || p&(p-1) != 0 || p >= 2*n && n > 1 {
			t.Errorf("padded(%d) is %d", n, p)
		}
	}
	var sizes []int
	ids := make([]int, 300)
	for i := range ids {
		ids[i] = i
	}
	seen := map[any]bool{}
	_ = inChunks(ids, func(i int) any { return i }, func(args []any) error {
		sizes = append(sizes, len(args))
		for _, a := range args {
			seen[a] = true
		}
		return nil
	})
	if fmt.Sprint(sizes) != "[128 128 64]" || len(seen) != 300 {
		t.Errorf("%v with %d ids", sizes, len(seen))
	}
}

// TestWaves: units of one wave touch nothing in common, and units that do
// stand in their order.
func TestWaves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &plan{physical: "t"}
		var jobs []*job
		for range rapid.IntRange(1, 30).Draw(t, "jobs") {
			j := &job{unit: &Unit{}}
			for _, id := range rapid.SliceOfNDistinct(rapid.IntRange(0, 20), 1, 3, rapid.ID).Draw(t, "rows") {
				j.writes = append(j.writes, &write{plan: p, id: fmt.Sprint(id)})
			}
			jobs = append(jobs, j)
		}
		at := map[*job]int{}
		total := 0
		for i, wave := range waves(jobs) {
			seen := map[string]bool{}
			for _, j := range wave {
				at[j] = i
				total++
				for _, w := range j.writes {
					if seen[w.id] {
						t.Fatalf("row %s twice in wave %d", w.id, i)
					}
					seen[w.id] = true
				}
			}
		}
		if total != len(jobs) {
			t.Fatalf("%d of %d units", total, len(jobs))
		}
		for i, a := range jobs {
			for _, b := range jobs[i+1:] {
				meet := slices.ContainsFunc(a.writes, func(w *write) bool {
					return slices.ContainsFunc(b.writes, func(x *write) bool { return x.id == w.id })
				})
				if meet && at[a] >= at[b] {
					t.Fatal("units that touch one row stand in another order")
				}
			}
		}
	})
}
