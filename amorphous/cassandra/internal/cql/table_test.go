package cql

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// tokens of CQL: quoted names, texts, comments, placeholders, words and signs.
var tokens = regexp.MustCompile(`"(?:[^"]|"")*"|'(?:[^']|'')*'|--.*|//.*|/\*(?s:.*?)\*/|\?|\w+|\S`)

// shapeOf is a statement as its tokens, without what stands in quoted names.
func shapeOf(text string) string {
	out := tokens.FindAllString(text, -1)
	for i := range out {
		if out[i][0] == '"' {
			out[i] = "name"
		}
	}
	return strings.Join(out, " ")
}

// spoken are all texts of a table, and its statements about a row.
func spoken(keyspace, name string, row *amorphous.Row, now time.Time) (texts []string, wrong string) {
	t := newTable(keyspace, amorphous.Table{Name: name, Placed: true})
	statements := append([]Statement{t.putRow(row, now)}, t.bury(placeOf(row), row.Stamp, now)...)
	for _, m := range registrations([]item{{t, row, new(error)}}) {
		statements = append(statements, m.statements...)
	}
	for _, s := range statements {
		if strings.Count(shapeOf(s.Text), "?") != len(s.Args) {
			wrong = s.Text
		}
		texts = append(texts, s.Text)
	}
	texts = append(texts, t.schema()...)
	return append(texts, t.put, t.putTTL, t.drop, t.dropCell, t.register, t.unlist, t.listed, t.row,
		t.first, t.after, t.rest, t.twins, t.marked, t.buried), wrong
}

// FuzzStatements: whatever a keyspace and a table are called that are not
// refused, and whatever a row holds, the statements are the same but for the
// names, and each value has its placeholder.
func FuzzStatements(f *testing.F) {
	f.Add("music", "plays", "ann", "p1", []byte("o"), []byte("{}"), int64(7), true)
	f.Add(`m"."x" (`, "plays", `'; --`, "?", []byte(`"`), []byte("'"), int64(-1), false)
	f.Add("music", `plays" ; DROP TABLE x`, "*/", "//", []byte(nil), []byte(nil), int64(1), false)
	f.Fuzz(func(t *testing.T, keyspace, name, partition, id string, order, body []byte, version int64, expires bool) {
		if _, err := New(Handed(nil), Options{Keyspace: keyspace}); err != nil || !amorphous.ValidName(name) {
			return
		}
		now := time.Unix(1_000_000, 0)
		row := amorphous.Row{Partition: partition, ID: id, Order: order, Body: body, Stamp: amorphous.Stamp{Version: version}}
		plain := amorphous.Row{Partition: "p", ID: "i", Order: []byte("o"), Body: []byte("b"), Stamp: row.Stamp}
		if expires {
			row.Expires, plain.Expires = now.Add(time.Hour), now.Add(time.Hour)
		}
		got, wrong := spoken(keyspace, name, &row, now)
		want, _ := spoken("k", "t", &plain, now)
		if wrong != "" || len(got) != len(want) {
			t.Fatalf("%d statements, want %d; without a placeholder for each value: %s", len(got), len(want), wrong)
		}
		for i := range got {
			if shapeOf(got[i]) != shapeOf(want[i]) {
				t.Fatalf("keyspace %q, table %q: the statement is\n%s\nand was to be\n%s", keyspace, name, got[i], want[i])
			}
		}
	})
}
