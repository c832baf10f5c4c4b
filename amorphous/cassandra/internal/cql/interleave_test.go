package cql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// A schedule runs the statements of several drivers one at a time, in an order
// that it is told: at each step the choice among those that wait.
type schedule struct {
	mu      sync.Mutex
	waiting []*turn
}

type turn struct {
	label string
	do    chan struct{}
}

// A gated session waits for its turn before every statement.
type gated struct {
	*emulator
	schedule *schedule
	label    string
}

func (g *gated) wait(ctx context.Context, what string) error {
	t := &turn{label: g.label + " " + what, do: make(chan struct{})}
	g.schedule.mu.Lock()
	g.schedule.waiting = append(g.schedule.waiting, t)
	g.schedule.mu.Unlock()
	<-t.do
	return ctx.Err()
}

func describe(s Statement) string { return fmt.Sprintf("%s %v", s.Text, s.Args) }

func (g *gated) Exec(ctx context.Context, c Consistency, s Statement) error {
	if err := g.wait(ctx, describe(s)); err != nil {
		return err
	}
	return g.emulator.Exec(ctx, c, s)
}

func (g *gated) Batch(ctx context.Context, c Consistency, s []Statement) error {
	if err := g.wait(ctx, describe(s[0])); err != nil {
		return err
	}
	return g.emulator.Batch(ctx, c, s)
}

func (g *gated) Each(ctx context.Context, c Consistency, s Statement, n int, row func(scan func(dest ...any) error) error) error {
	if err := g.wait(ctx, describe(s)); err != nil {
		return err
	}
	return g.emulator.Each(ctx, c, s, n, row)
}

// run lets the writers go, one statement at a time, as choices say; it returns
// how many could be chosen from at each step.
func (s *schedule) run(choices []int, done *bool) (widths []int) {
	for step := 0; ; step++ {
		synctest.Wait()
		s.mu.Lock()
		if *done {
			s.mu.Unlock()
			return widths
		}
		slices.SortFunc(s.waiting, func(a, b *turn) int { return cmp.Compare(a.label, b.label) })
		choice := 0
		if step < len(choices) {
			choice = choices[step]
		}
		next := s.waiting[choice]
		widths = append(widths, len(s.waiting))
		s.waiting = slices.Delete(s.waiting, choice, choice+1)
		s.mu.Unlock()
		next.do <- struct{}{}
	}
}

// TestEveryInterleaving_E9 runs two writers of one ID through every order in which
// their statements can reach the servers. Whatever the order, exactly the
// newest row must be left, at its place only.
func TestEveryInterleaving_E9(t *testing.T) {
	at := func(part string, version int64, shape uint64) amorphous.Row {
		return amorphous.Row{Partition: part, ID: "i", Shape: shape, Stamp: amorphous.Stamp{Version: version, Tie: 1}, Body: fmt.Appendf(nil, `{"v":%d}`, version)}
	}
	gone := func(version int64) amorphous.Row {
		return amorphous.Row{ID: "i", Deleted: true, Stamp: amorphous.Stamp{Version: version, Tie: 1}}
	}
	cases := map[string]struct{ before, writers []amorphous.Row }{
		"two places":            {nil, []amorphous.Row{at("p1", 1, 1), at("p2", 2, 1)}},
		"moved from a third":    {[]amorphous.Row{at("p0", 1, 1)}, []amorphous.Row{at("p1", 2, 1), at("p2", 3, 1)}},
		"back to the old place": {[]amorphous.Row{at("p0", 1, 1)}, []amorphous.Row{at("p1", 2, 1), at("p0", 3, 2)}},
		"write and delete":      {[]amorphous.Row{at("p0", 1, 1)}, []amorphous.Row{at("p1", 2, 1), gone(3)}},
		"delete and write":      {[]amorphous.Row{at("p0", 1, 1)}, []amorphous.Row{gone(2), at("p1", 3, 1)}},
		"late write, old place": {[]amorphous.Row{at("p0", 1, 1), at("p1", 5, 1)}, []amorphous.Row{at("p0", 2, 2), at("p2", 4, 1)}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			runs := 0
			for choices := []int{}; choices != nil; runs++ {
				var widths []int
				synctest.Test(t, func(t *testing.T) { widths = interleave(t, c.before, c.writers, choices) })
				choices = advance(choices, widths)
				if t.Failed() || testing.Short() && runs > 500 {
					break
				}
			}
			t.Logf("%d interleavings", runs)
		})
	}
}

// advance is the next schedule: an odometer whose digits are choices.
func advance(choices, widths []int) []int {
	next := make([]int, len(widths))
	copy(next, choices)
	for i := len(next) - 1; i >= 0; i-- {
		if next[i]+1 < widths[i] {
			next[i]++
			return next[:i+1]
		}
	}
	return nil
}

func interleave(t *testing.T, before, writers []amorphous.Row, choices []int) (widths []int) {
	e := &emulator{}
	table := amorphous.Table{Name: "t", Placed: true}
	quiet := newEmulated(e)
	defer quiet.Close()
	if err := quiet.CreateSchema(t.Context(), []amorphous.Table{table}); err != nil {
		t.Fatal(err)
	}
	all := append(slices.Clone(before), writers...)
	for _, r := range before {
		if err := quiet.Write(t.Context(), table, []amorphous.Row{r})[0]; err != nil {
			t.Fatal(err)
		}
	}
	s := &schedule{}
	var wg sync.WaitGroup
	done := false
	for i, r := range writers {
		d, err := New(Handed(&gated{emulator: e, schedule: s, label: fmt.Sprint(i)}), Options{Keyspace: "ks"})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := d.Write(t.Context(), table, []amorphous.Row{r})[0]; err != nil {
				t.Errorf("write: %v", err)
			}
			d.Close()
		})
	}
	go func() {
		wg.Wait()
		s.mu.Lock()
		done = true
		s.mu.Unlock()
	}()
	widths = s.run(choices, &done)
	checkNewest(t, quiet, table, all, fmt.Sprint(choices))
	return widths
}

// checkNewest compares a read and a scan with what the newest write implies;
// writes of these tests differ in place or are alone at it.
func checkNewest(t *testing.T, d *Driver, table amorphous.Table, writes []amorphous.Row, when string) {
	t.Helper()
	newest := slices.MaxFunc(writes, func(a, b amorphous.Row) int { return a.Stamp.Compare(b.Stamp) })
	want := ""
	if !newest.Deleted {
		want = newest.Partition + string(newest.Body)
	}
	page, err := d.Scan(t.Context(), table, amorphous.Range{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	read, err := d.Read(t.Context(), table, []amorphous.Address{{ID: "i"}})
	if err != nil {
		t.Fatal(err)
	}
	for how, rows := range map[string][]amorphous.Row{"scan": page.Rows, "read": read} {
		var got strings.Builder
		for _, r := range rows {
			got.WriteString(r.Partition + string(r.Body))
		}
		if got.String() != want {
			t.Errorf("%s after %s: got %q, want %q", how, when, &got, want)
		}
	}
}

// TestDeathBetween lets a writer die after each of its statements. Other
// writers go on, a reader always finds a version, and the dead writer's task,
// run again, leaves exactly the newest row.
func TestDeathBetween(t *testing.T) {
	row := func(part string, version int64) amorphous.Row {
		return amorphous.Row{Partition: part, ID: "i", Shape: 1, Stamp: amorphous.Stamp{Version: version, Tie: 1}, Body: fmt.Appendf(nil, `{"v":%d}`, version)}
	}
	table := amorphous.Table{Name: "t", Placed: true}
	for lives := range 8 {
		t.Run(fmt.Sprintf("after %d statements", lives), func(t *testing.T) {
			ctx := t.Context()
			e := &emulator{}
			d := newEmulated(e)
			defer d.Close()
			if err := d.CreateSchema(ctx, []amorphous.Table{table}); err != nil {
				t.Fatal(err)
			}
			write := func(r amorphous.Row) error { return d.Write(ctx, table, []amorphous.Row{r})[0] }
			if err := write(row("p0", 1)); err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			left := lives
			e.before = func(context.Context, Statement) error {
				mu.Lock()
				defer mu.Unlock()
				if left == 0 {
					return errLost
				}
				left--
				return nil
			}
			died := write(row("p1", 2))
			e.before = nil
			read, err := d.Read(ctx, table, []amorphous.Address{{ID: "i"}})
			if err != nil || len(read) != 1 {
				t.Errorf("a reader finds a version while a move stands half way: %v, %v", read, err)
			}
			if err := errors.Join(write(row("p0", 1)), write(row("p1", 2))); err != nil {
				t.Fatal(err)
			}
			checkNewest(t, d, table, []amorphous.Row{row("p0", 1), row("p1", 2)}, fmt.Sprint(died))
			if err := write(row("p2", 3)); err != nil {
				t.Fatal(err)
			}
			checkNewest(t, d, table, []amorphous.Row{row("p2", 3)}, "one more move")
		})
	}
}
