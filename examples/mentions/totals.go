package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fourfold-dev/fourfold/examples/internal/console"
	"github.com/fourfold-dev/fourfold/persistence"
)

// Totals are what the stores hold, or what the input implies.
type totals struct {
	Rows       int64  `json:"rows"`
	Mentions   int64  `json:"mentions"`   // a repeated pair of tweet and entity counts once
	Duplicates int64  `json:"duplicates"` // rows that repeat a pair
	Entities   int64  `json:"entities"`
	Top        top    `json:"top"`
	Busiest    minute `json:"busiest_minute"` // over all entities
	Alerts     int64  `json:"alerts"`

	objects, timelines int64  // the mentions, as two more tasks have stored them
	raised             string // the alerts themselves, sorted
}

type top struct {
	Entity string `json:"entity"`
	Count  int64  `json:"count"`
}

type minute struct {
	Minute string `json:"minute"` // UTC
	Count  int64  `json:"count"`
}

// readBack reads all totals from the stores.
func (m *monitor) readBack(ctx context.Context, show *console.Progress) (totals, error) {
	t := totals{}
	counts := persistence.CountQuery{Task: "counts"}
	var err error
	if t.Mentions, err = m.mentions.Total(ctx, counts); err != nil {
		return t, err
	}
	tops, err := m.mentions.Top(ctx, counts, 0)
	if err != nil {
		return t, err
	}
	if t.Entities = int64(len(tops)); t.Entities > 0 {
		t.Top = top{tops[0].Of[0], tops[0].N}
	}
	if t.Busiest, err = m.busiest(ctx); err != nil {
		return t, err
	}
	if t.Rows, err = number(m.rows.Find(ctx, persistence.Query{}), show, "rows"); err != nil {
		return t, err
	}
	if t.objects, err = number(m.mentions.Find(ctx, persistence.Query{}), show, "mentions"); err != nil {
		return t, err
	}
	for _, c := range tops {
		query := persistence.Query{Task: "timeline", Where: map[string]any{"Entity": c.Of[0]}}
		n, err := number(m.mentions.Find(ctx, query), show, "mentions of "+c.Of[0])
		if err != nil {
			return t, err
		}
		t.timelines += n
	}
	t.Alerts, t.raised, err = listed(m.alerts.Find(ctx, persistence.Query{}))
	t.Duplicates = t.Rows - t.Mentions
	return t, err
}

// busiest is the minute with the most mentions over all entities, the earliest
// of several.
func (m *monitor) busiest(ctx context.Context) (minute, error) {
	series, err := m.mentions.Series(ctx, persistence.CountQuery{Task: "counts", Per: time.Minute})
	var out minute
	for _, c := range series {
		if c.N > out.Count {
			out = minute{c.At.UTC().Format(minuteLayout), c.N}
		}
	}
	return out, err
}

// listed counts and lists alerts.
func listed(found func(yield func(Alert, error) bool)) (int64, string, error) {
	var all []string
	for alert, err := range found {
		if err != nil {
			return 0, "", err
		}
		all = append(all, fmt.Sprint(alert.Entity, " ", alert.Level, " ", alert.Minute.UTC().Format(minuteLayout)))
	}
	slices.Sort(all)
	return int64(len(all)), strings.Join(all, ", "), nil
}

// number counts what a query finds.
func number[T any](found func(yield func(T, error) bool), show *console.Progress, what string) (n int64, err error) {
	for _, err := range found {
		if err != nil {
			return n, err
		}
		if n++; n%1000 == 0 {
			show.Say("reading back: %s %s", console.Comma(n), what)
		}
	}
	return n, nil
}

// implied computes what a stream implies.
func (s *stream) implied() totals {
	t := totals{Rows: int64(len(s.rows))}
	pairs := map[string]bool{}
	entities, minutes := map[string]int64{}, map[string]int64{}
	each := map[slot]int64{}
	for _, row := range s.rows {
		mention := mentionOf(row)
		if pairs[mention.ID] {
			continue
		}
		pairs[mention.ID] = true
		at := mention.At.Format(minuteLayout)
		entities[mention.Entity]++
		minutes[at]++
		each[slot{mention.Entity, mention.At.Truncate(time.Minute)}]++
	}
	t.Mentions, t.Entities = int64(len(pairs)), int64(len(entities))
	t.Duplicates, t.objects, t.timelines = t.Rows-t.Mentions, t.Mentions, t.Mentions
	for entity, n := range entities {
		if n > t.Top.Count || n == t.Top.Count && entity < t.Top.Entity {
			t.Top = top{entity, n}
		}
	}
	for at, n := range minutes {
		if n > t.Busiest.Count || n == t.Busiest.Count && at < t.Busiest.Minute {
			t.Busiest = minute{at, n}
		}
	}
	t.Alerts, t.raised, _ = listed(alertsOf(each))
	return t
}

// A slot is a minute of an entity.
type slot struct {
	entity string
	at     time.Time
}

// alertsOf are the alerts that the sums of minutes are worth: for every level
// that an entity reaches, the earliest minute that does.
func alertsOf(sums map[slot]int64) func(yield func(Alert, error) bool) {
	first := map[Alert]time.Time{}
	for s, n := range sums {
		for level := int64(firstLevel); level <= n; level *= 2 {
			alert := Alert{Entity: s.entity, Level: level}
			if at, seen := first[alert]; !seen || s.at.Before(at) {
				first[alert] = s.at
			}
		}
	}
	return func(yield func(Alert, error) bool) {
		for alert, at := range first {
			alert.Minute = at
			if !yield(alert, nil) {
				return
			}
		}
	}
}

// compare prints the totals side by side, and reports whether they agree.
func compare(out io.Writer, stored, implied totals) bool {
	tab := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "\n\tread back from the stores\tthe input implies")
	right := true
	line := func(what string, a, b any) {
		verdict := ""
		if a != b {
			verdict, right = "WRONG", false
		}
		fmt.Fprintf(tab, "  %s\t%v\t%v\t%s\n", what, a, b, verdict)
	}
	line("rows", console.Comma(stored.Rows), console.Comma(implied.Rows))
	line("mentions, counted", console.Comma(stored.Mentions), console.Comma(implied.Mentions))
	line("mentions, as objects", console.Comma(stored.objects), console.Comma(implied.objects))
	line("mentions, in timelines", console.Comma(stored.timelines), console.Comma(implied.timelines))
	line("entities", stored.Entities, implied.Entities)
	line("most mentioned", fmt.Sprint(stored.Top.Entity, ": ", console.Comma(stored.Top.Count)), fmt.Sprint(implied.Top.Entity, ": ", console.Comma(implied.Top.Count)))
	line("busiest minute", fmt.Sprint(stored.Busiest.Minute, ": ", stored.Busiest.Count), fmt.Sprint(implied.Busiest.Minute, ": ", implied.Busiest.Count))
	line("alerts", stored.Alerts, implied.Alerts)
	if stored.raised != implied.raised {
		line("alerts, with levels and minutes", stored.raised, implied.raised)
	}
	tab.Flush()
	return right
}

// printJSON prints the totals as one line.
func (t totals) printJSON(out io.Writer, seconds float64, bad int) error {
	line, err := json.Marshal(struct {
		totals
		BadRows int     `json:"bad_rows"`
		Seconds float64 `json:"seconds"`
	}{t, bad, float64(int(seconds*1000)) / 1000})
	if err == nil {
		_, err = fmt.Fprintln(out, string(line))
	}
	return err
}
