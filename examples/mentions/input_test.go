package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeStream writes a stream as the file that it could have come from.
func writeStream(t *testing.T, s *stream) string {
	t.Helper()
	var out bytes.Buffer
	out.WriteString(strings.Join(header, ",") + "\n")
	for _, r := range s.rows {
		out.WriteString(strings.Join([]string{r.Tweet, r.At.Format("2006-01-02T15:04:05.999Z"), r.Group, r.Entity}, ",") + "\n")
	}
	return write(t, out.Bytes())
}

func write(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mentions.csv")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestARowThatCannotBeReadIsCountedAndShown(t *testing.T) {
	s, err := load(write(t, []byte(`tweet_id,utc,group,entity
1,2022-11-18T00:00:18.374Z,players,Ann
x1,2022-11-18T00:00:18.374Z,players,Ann
2,yesterday,players,Ann
3,2022-11-18T00:00:19Z,players
4,2022-11-18T00:00:19Z,players,
5,2022-11-18T00:00:19Z,"play"ers,Bob
6,2022-11-18T01:00:20+01:00,players,"  Bob,  the second "
`)))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.rows) != 2 || s.bad != 5 {
		t.Errorf("%d rows, %d bad; want 2 and 5: %q", len(s.rows), s.bad, s.rejects)
	}
	for i, want := range []string{`line 3: the tweet id "x1"`, `line 4: the time "yesterday"`, "line 5: it has 3 columns", "line 6: the entity", "line 7:"} {
		if i >= len(s.rejects) || !strings.HasPrefix(s.rejects[i], want) {
			t.Errorf("reject %d: %q, want %q", i, s.rejects, want)
		}
	}
	last := s.rows[len(s.rows)-1]
	if m := mentionOf(last); last.ID != rowKey(8) || m.Entity != "Bob, the second" || m.At.Format(minuteLayout) != "2022-11-18T00:00" {
		t.Errorf("the last row is %+v, its mention %+v", last, m)
	}
}

// A quote that is never closed would take everything that follows into its field.
func TestAnOpenQuoteCostsItsOwnRowOnly(t *testing.T) {
	s, err := load(write(t, []byte("\ufeff"+`"tweet_id",utc,group,entity
1,2022-11-18T00:00:18.374Z,players,Ann
"2,2022-11-18T00:00:18.374Z,players,Ann
3,2022-11-18T00:00:19Z,"players,Ann

4,2022-11-18T00:00:19Z,"players","Ann"
`)))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.rows) != 2 || s.rows[1].ID != rowKey(6) || s.rows[1].Entity != "Ann" {
		t.Errorf("rows %+v; want those of lines 2 and 6", s.rows)
	}
	if s.bad != 2 || !strings.HasPrefix(s.rejects[0], "line 3:") || !strings.HasPrefix(s.rejects[1], "line 4:") {
		t.Errorf("%d bad rows: %q; want lines 3 and 4", s.bad, s.rejects)
	}
}

func TestAnotherFileIsRefused(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "of other columns": "uid\tfid\n1\t2\n", "of a header only": strings.Join(header, ",") + "\n",
		"of bad rows only": strings.Join(header, ",") + "\nx,y,z,\n", "half a gzip": "\x1f\x8b\x08",
	} {
		if s, err := load(write(t, []byte(content))); err == nil {
			t.Errorf("a file %s makes %d rows", name, len(s.rows))
		}
	}
}

func TestPlainAndGzipAreTheSame(t *testing.T) {
	path := writeStream(t, generate(50))
	plain, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	w.Write(plain)
	w.Close()
	a, errA := load(path)
	b, errB := load(write(t, zipped.Bytes()))
	if errA != nil || errB != nil || a.digest() != b.digest() {
		t.Errorf("%v, %v", errA, errB)
	}
	if a.digest() == generate(51).digest() {
		t.Error("two streams have one digest")
	}
}

func TestWhatAStreamImplies(t *testing.T) {
	s := &stream{}
	at := "2022-11-20T20:15:00Z"
	text := strings.Join(header, ",") + "\n"
	for i := range 40 {
		text += string(rune('1'+i%9)) + strings.Repeat("0", i/9) + "," + at + ",g,Ann\n"
	}
	text += "1," + at + ",g,Ann\n1," + at + ",g,Bob\n"
	if err := s.read(strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	want := totals{Rows: 42, Mentions: 41, Duplicates: 1, Entities: 2, Top: top{"Ann", 40}, Busiest: minute{"2022-11-20T20:15", 41},
		Alerts: 2, objects: 41, timelines: 41, raised: "Ann 16 2022-11-20T20:15, Ann 32 2022-11-20T20:15"}
	if got := s.implied(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
