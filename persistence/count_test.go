package persistence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	amorphousdisk "github.com/fourfold-dev/fourfold/amorphous/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	rowsdisk "github.com/fourfold-dev/fourfold/transactional/embedded"
)

type post struct {
	ID     string `persistence:"key"`
	Author string
	Tags   []string
	Likes  int64
	Size   uint64
	Score  float64
	At     time.Time
	Draft  bool
	Where  struct{ X, Y int }
}

var perDay = []time.Duration{time.Minute, 24 * time.Hour}

func TestFaultsOfCounts(t *testing.T) {
	for name, c := range map[string]struct {
		task Task[post]
		want []string
	}{
		"no name": {Task[post]{Purpose: Amorphous, Count: &Counts{}},
			[]string{`task 1: it has no Name: a task with a handler, Derive or Count needs one, which stands in queued envelopes and must not change`}},
		"other purpose": {Task[post]{Name: "a", Purpose: Volatile, Count: &Counts{}},
			[]string{`task "a": Count counts in the amorphous store, and its Purpose is volatile: use the Purpose Amorphous`}},
		"with Do": {Task[post]{Name: "a", Purpose: Amorphous, Priority: 1, Count: &Counts{}, Do: func(context.Context, post) error { return nil }},
			[]string{`task "a": it has Count and Do: one task does one thing, so make 2 tasks of it`}},
		"with layout": {Task[post]{Name: "a", Purpose: Amorphous, Count: &Counts{}, PartitionBy: "Author", TTL: time.Hour},
			[]string{`task "a": PartitionBy and TTL lay out rows of the object, and with Count it writes none: leave them out, or write the object in a task of its own`}},
		"all together": {Task[post]{Name: "a", Purpose: Amorphous, Count: &Counts{
			By: []string{"Author", "Author", "Auther", "Where"}, At: "Likes", Sum: "Score", Zone: "Ghana/Accra", Shards: -1,
			Per: []time.Duration{7 * time.Minute, 10 * time.Minute, 15 * time.Minute}}},
			[]string{
				`task "a": Count: By names "Author" twice`,
				`task "a": Count: Per has 7m0s: use a day, or what divides an hour evenly, a second or more, such as a minute`,
				`task "a": Count: Per has 10m0s, which is no multiple of its shortest, 7m0s`,
				`task "a": Count: Per has 15m0s, which is no multiple of its shortest, 7m0s`,
				`task "a": Count: Zone is "Ghana/Accra", which is no time zone that is known here: use a name such as "Europe/Berlin"`,
				`task "a": Count: Shards is -1; use 1 to 256`,
				`task "a": Count.By names "Auther", which is no kept field of post: did you mean "Author"?`,
				`task "a": Count.By has Where, a struct { X int; Y int }, which cannot name what is counted: use a string, a number, a bool, a time.Time, or a slice of them`,
				`task "a": Count.At is Likes, a int64: name a field that is a time.Time`,
				`task "a": Count.Sum is Score, a float64: name a field that is an integer, whose sums are exact in any order`,
			}},
		"Per without At": {Task[post]{Name: "a", Purpose: Amorphous, Count: &Counts{Per: perDay}},
			[]string{`task "a": Per says in which buckets of time it counts, and there is no At: name a time.Time field in At, or leave out Per`}},
		"At without Per": {Task[post]{Name: "a", Purpose: Amorphous, Count: &Counts{At: "At"}},
			[]string{`task "a": At says when an object counts, and there is no Per: say in which buckets, such as Per: []time.Duration{time.Minute, time.Hour, 24 * time.Hour}, or leave out At`}},
	} {
		t.Run(name, func(t *testing.T) {
			err := Plan[post]{c.task}.Validate()
			if err == nil || !errors.Is(err, fault.ErrInvalid) {
				t.Fatalf("got %v", err)
			}
			var got []string
			for line := range strings.Lines(err.Error()) {
				if _, said, found := strings.Cut(line, "plan of post, "); found {
					got = append(got, strings.TrimSpace(said))
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(c.want, "\n\t"))
			}
		})
	}
}

func countingPlan() Plan[post] {
	return Plan[post]{
		{Name: "tags", Purpose: Amorphous, When: func(p post) bool { return !p.Draft },
			Count: &Counts{By: []string{"Author", "Tags"}, At: "At", Per: perDay, Zone: "Asia/Kolkata"}},
		{Name: "likes", Purpose: Amorphous, Count: &Counts{By: []string{"Author"}, Sum: "Likes"}},
	}
}

// counted opens a layer whose only store counts.
func counted(t *testing.T) (*Layer, *Handle[post]) {
	t.Helper()
	dir := t.TempDir()
	l, err := Open(t.Context(), Stores{Amorphous: amorphousdisk.Dir(dir, nil), Transactional: rowsdisk.Dir(dir, nil)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, Declare(l, "post", countingPlan())
}

func TestOutlineOfCounts(t *testing.T) {
	want := "0  before Put returns  tags   amorphous  counts objects by Author, Tags, per minute, day of At in Asia/Kolkata; when its condition holds\n" +
		"0  before Put returns  likes  amorphous  sums Likes by Author\n"
	if got := countingPlan().Outline(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestExplainCounts(t *testing.T) {
	l, posts := counted(t)
	at := time.Date(2026, 11, 21, 12, 0, 30, 0, time.UTC)
	e, err := posts.Explain(post{ID: "p", Author: "ann", Tags: []string{"a", "b"}, Likes: 3, At: at})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		`count "p" in post__tags, once: ["ann" "a"] at 2026-11-21T12:00:30Z, ["ann" "b"] at 2026-11-21T12:00:30Z`,
		`count "p" in post__likes, once: ["ann"] with 3`,
	} {
		if got := e.Tasks[i].Does; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if e, err = posts.Explain(post{ID: "p", Draft: true}); err != nil || !e.Tasks[0].Skipped || e.Tasks[0].Does != `count "p" nowhere in post__tags` {
		t.Errorf("a draft: %+v, %v", e.Tasks[0], err)
	}
	schema := strings.Join(l.Schema(), "\n")
	for _, table := range []string{"ff_post__tags$members", "ff_post__tags$tallies", "ff_post__tags__index", "ff_post__likes$members"} {
		if !strings.Contains(schema, table) {
			t.Errorf("the schema lacks %s", table)
		}
	}
}

// TestCountsFollowVersions: an object counts as its newest version says.
func TestCountsFollowVersions(t *testing.T) {
	_, posts := counted(t)
	ctx := t.Context()
	at := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC) // the 22nd in Kolkata
	base := post{ID: "p", Author: "ann", Tags: []string{"a", "b", "a"}, Likes: 3, At: at}
	edited, moved, draft := base, base, base
	edited.Tags, edited.Likes = []string{"b", "c"}, 5
	moved.Author = "bob"
	draft.Draft = true
	day := time.Date(2026, 11, 22, 0, 0, 0, 0, time.FixedZone("IST", 5*3600+1800))
	for _, step := range []struct {
		say  string
		do   func() error
		want string
	}{
		{"put", func() error { _, err := posts.Put(ctx, base); return err }, "[ann a] 1, [ann b] 1 | [ann] 3"},
		{"again", func() error { _, err := posts.Put(ctx, base); return err }, "[ann a] 1, [ann b] 1 | [ann] 3"},
		{"other tags", func() error { _, err := posts.Put(ctx, edited); return err }, "[ann b] 1, [ann c] 1 | [ann] 5"},
		{"other author", func() error { _, err := posts.Put(ctx, moved); return err }, "[bob a] 1, [bob b] 1 | [bob] 3"},
		{"When no longer holds", func() error { _, err := posts.Put(ctx, draft); return err }, " | [ann] 3"},
		{"back", func() error { _, err := posts.Put(ctx, base); return err }, "[ann a] 1, [ann b] 1 | [ann] 3"},
		{"deleted", func() error { _, err := posts.Delete(ctx, "p"); return err }, " | "},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.say, err)
		}
		if got := tops(t, posts, "tags") + " | " + tops(t, posts, "likes"); got != step.want {
			t.Errorf("%s: got %s, want %s", step.say, got, step.want)
		}
		series, err := posts.Series(ctx, CountQuery{Task: "tags", Per: 24 * time.Hour})
		if err != nil || len(series) > 0 && !series[0].At.Equal(day) {
			t.Errorf("%s: the day is %v, %v", step.say, series, err)
		}
	}
}

func tops(t *testing.T, h *Handle[post], task string) string {
	t.Helper()
	top, err := h.Top(t.Context(), CountQuery{Task: task}, 0)
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, c := range top {
		parts = append(parts, fmt.Sprint(c.Of, c.N))
	}
	return strings.Join(parts, ", ")
}

// TestCountsRefuseEarly: what could not be counted is refused by Put.
func TestCountsRefuseEarly(t *testing.T) {
	_, posts := counted(t)
	ctx := t.Context()
	var many []string
	for i := range amorphous.MaxCounts + 1 {
		many = append(many, fmt.Sprint(i))
	}
	for name, c := range map[string]struct {
		post post
		want error
	}{
		"long name":    {post{ID: "p", Author: strings.Repeat("x", 300)}, fault.ErrTooLarge},
		"NUL":          {post{ID: "p", Author: "a\x00"}, fault.ErrInvalid},
		"many":         {post{ID: "p", Tags: many}, fault.ErrTooLarge},
		"largest part": {post{ID: "p", Likes: -1 << 63}, fault.ErrInvalid},
	} {
		if _, err := posts.Put(ctx, c.post); !errors.Is(err, c.want) || fault.Accepted(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := posts.Total(ctx, CountQuery{Task: "tags"}); n != 0 || err != nil {
		t.Errorf("refused objects count: %d, %v", n, err)
	}
}

func TestCountQueries(t *testing.T) {
	_, posts := counted(t)
	ctx := t.Context()
	for name, c := range map[string]struct {
		q    CountQuery
		want string
	}{
		"which task":    {CountQuery{}, "the kind has 2 tasks with Count: name one in Task"},
		"no such task":  {CountQuery{Task: "other"}, `Task "other" is none that counts`},
		"too many":      {CountQuery{Task: "likes", Of: []any{"a", "b"}}, `Of has 2 values, and task "likes" counts by 1 fields`},
		"wrong type":    {CountQuery{Task: "likes", Of: []any{1.5}}, "Of, Author: "},
		"unknown Per":   {CountQuery{Task: "tags", Per: time.Hour}, "Per is 1h0m0s, and the counter has [1m0s 24h0m0s]"},
		"without time":  {CountQuery{Task: "likes", From: time.Unix(1, 0)}, "the counter has no Per, so its counts have no time"},
		"Per, timeless": {CountQuery{Task: "likes", Per: time.Hour}, "Per is 1h0m0s, and the counter has []"},
	} {
		if _, err := posts.Series(ctx, c.q); !errors.Is(err, fault.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := posts.Top(ctx, CountQuery{Task: "tags"}, -1); !errors.Is(err, fault.ErrInvalid) {
		t.Errorf("negative k: %v", err)
	}
}
