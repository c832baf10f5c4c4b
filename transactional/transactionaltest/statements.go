package transactionaltest

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// FuzzStatements is a fuzz target for a dialect: whatever tables and columns are
// called, and whatever the values are, the statements are the same but for what
// stands in their quoted names, each value has its placeholder, and none of them
// is part of a text.
func FuzzStatements(f *testing.F, d transactional.Dialect) {
	f.Add("plays", "user", "ann", false)
	f.Add("p`; DROP TABLE x; --", `u" OR "1"="1`, "' OR 1=1 --", true)
	f.Add("a/*", "b*/", `\' ; SELECT ?`, false)
	f.Fuzz(func(t *testing.T, table, column, value string, reverse bool) {
		want := &statements{dialect: d}
		want.run(t.Context(), "t", "c", "v", reverse)
		got := &statements{dialect: d}
		failed := got.run(t.Context(), table, column, value, reverse)
		if !failed && len(got.said) != len(want.said) || len(want.said) < 5 {
			t.Fatalf("%d statements, want %d", len(got.said), len(want.said))
		}
		if failed && transactional.ValidName(table) && transactional.ValidName(column) && value == "v" {
			t.Fatal("refused, and nothing is wrong with it")
		}
		for i, said := range got.said {
			if said != want.said[i] {
				t.Fatalf("table %q, column %q, value %q: the statement is\n%s\nand was to be\n%s", table, column, value, said, want.said[i])
			}
		}
		if got.wrong != "" {
			t.Fatal(got.wrong)
		}
	})
}

// A statements is a driver of no database, which notes what is said to it.
type statements struct {
	dialect transactional.Dialect
	said    []string
	wrong   string
}

// run says everything that has a name or a value of the program's in it, until
// something is refused.
func (s *statements) run(ctx context.Context, table, column, value string, reverse bool) (failed bool) {
	store, err := transactional.New(s, nil)
	if err != nil {
		return true
	}
	t := &transactional.Table{Name: table, Columns: []transactional.Column{{Name: column, Type: transactional.Text}},
		Index: [][]string{{column}}}
	row := transactional.Row{ID: value, Stamp: transactional.Stamp{Version: 2}, Values: []any{value}}
	letter := transactional.DeadLetter{ID: value, Kind: value, Key: value, Task: value, Reason: value, Died: time.UnixMicro(1), Accepted: time.UnixMicro(1)}
	_, err = store.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{{Table: t, Row: row}}, Bury: []transactional.DeadLetter{letter}})
	if err != nil {
		return true
	}
	filter := transactional.Filter{Equal: map[string]any{column: value}, By: column, From: value, To: value + "z", Reverse: reverse}
	_, _, scanned := store.Scan(ctx, t, filter)
	_, read := store.Read(ctx, t, value)
	_, listed := store.DeadLetters(ctx, transactional.DeadFilter{Kind: value, Task: value, Key: value, After: value})
	return scanned != nil || read != nil || listed != nil
}

// tokens of SQL: quoted names, texts, comments, placeholders, words and signs.
var tokens = regexp.MustCompile("`(?:[^`]|``)*`" + `|"(?:[^"]|"")*"|'(?:[^']|'')*'|--.*|/\*(?s:.*?)\*/|#.*|\?|\w+|\S`)

// note keeps a statement as its tokens, without what stands in quoted names.
func (s *statements) note(query string, args []any) {
	var out []string
	marks := 0
	for _, token := range tokens.FindAllString(query, -1) {
		switch token[0] {
		case '`', '"':
			token = "name"
		case '?':
			marks++
		}
		out = append(out, token)
	}
	s.said = append(s.said, strings.Join(out, " "))
	if marks != len(args) && s.wrong == "" {
		s.wrong = fmt.Sprintf("%d placeholders and %d values: %s", marks, len(args), query)
	}
}

// Exec implements transactional.Conn.
func (s *statements) Exec(_ context.Context, query string, args ...any) (int64, error) {
	s.note(query, args)
	return 1, nil
}

// Query implements transactional.Conn: nothing is there.
func (s *statements) Query(_ context.Context, query string, args []any, _ func(func(...any) error) error) error {
	s.note(query, slices.Clone(args))
	return nil
}

// Run implements transactional.Driver.
func (s *statements) Run(_ context.Context, unit func(transactional.Conn) error) error {
	return unit(s)
}

// View implements transactional.Driver.
func (s *statements) View(_ context.Context, unit func(transactional.Conn) error) error {
	return unit(s)
}

// Features implements transactional.Driver.
func (s *statements) Features() transactional.Features {
	return transactional.Features{Name: "statements", MaxRow: 1 << 20, OwnsSchema: true, Dialect: s.dialect}
}

// Check implements transactional.Driver.
func (s *statements) Check(context.Context) fault.Report { return fault.Report{} }

// Close implements transactional.Driver.
func (s *statements) Close() error { return nil }
