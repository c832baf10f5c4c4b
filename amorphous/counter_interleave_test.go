package amorphous_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/amorphoustest"
)

// A server is a store of rows in memory that several programs use.
type server struct {
	mu     sync.Mutex
	read   int // rows that were read of members
	tables map[amorphous.Table]*amorphoustest.Model
}

func (s *server) table(t amorphous.Table) *amorphoustest.Model {
	if s.tables[t] == nil {
		if s.tables == nil {
			s.tables = map[amorphous.Table]*amorphoustest.Model{}
		}
		s.tables[t] = &amorphoustest.Model{}
	}
	return s.tables[t]
}

// A schedule lets programs take one step at a time, in an order that it is
// told.
type schedule struct {
	mu      sync.Mutex
	waiting []*step
}

type step struct {
	program string
	do      chan error
}

// A program is the driver of one program that uses the server. Each row that
// it writes, each address that it reads and each page is a step of its own.
type program struct {
	*server
	schedule *schedule
	name     string
}

// turn waits for the program's turn. Finding partitions is no part of the
// protocol, and takes none.
func (p *program) turn(t amorphous.Table) error {
	if p.schedule == nil || strings.HasSuffix(t.Name, "__index") {
		return nil
	}
	s := &step{p.name, make(chan error)}
	p.schedule.mu.Lock()
	p.schedule.waiting = append(p.schedule.waiting, s)
	p.schedule.mu.Unlock()
	return <-s.do
}

func (p *program) Write(_ context.Context, t amorphous.Table, rows []amorphous.Row) []error {
	errs := make([]error, len(rows))
	for i, row := range rows {
		if errs[i] = p.turn(t); errs[i] == nil {
			p.mu.Lock()
			p.table(t).Write(row)
			p.mu.Unlock()
		}
	}
	return errs
}

func (p *program) live(t amorphous.Table, keep func(r *amorphous.Row) bool) (out []amorphous.Row) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, row := range p.table(t).Live() {
		if keep(&row) {
			out = append(out, row)
		}
	}
	return out
}

func (p *program) Read(_ context.Context, t amorphous.Table, at []amorphous.Address) (out []amorphous.Row, err error) {
	for _, a := range at {
		if err := p.turn(t); err != nil {
			return nil, err
		}
		out = append(out, p.live(t, func(r *amorphous.Row) bool {
			return r.ID == a.ID && r.Partition == a.Partition && string(r.Order) == string(a.Order)
		})...)
	}
	return out, nil
}

func (p *program) Scan(_ context.Context, t amorphous.Table, r amorphous.Range) (page amorphous.Page, err error) {
	if err := p.turn(t); err != nil {
		return page, err
	}
	page.Rows = p.live(t, func(row *amorphous.Row) bool {
		return row.Partition == r.Partition && (r.From == nil || string(row.Order) >= string(r.From)) && (r.To == nil || string(row.Order) < string(r.To))
	})
	if t.Name == "ff_c" {
		p.mu.Lock()
		p.read += len(page.Rows)
		p.mu.Unlock()
	}
	return page, nil
}

func (p *program) Prepare(context.Context, []amorphous.Table) error      { return nil }
func (p *program) Schema([]amorphous.Table) []string                     { return nil }
func (p *program) CreateSchema(context.Context, []amorphous.Table) error { return nil }
func (p *program) Close() error                                          { return nil }
func (p *program) Features() amorphous.Features                          { return amorphous.Features{Name: "memory"} }

// counter is the counter as one program has it.
func (p *program) counter(t *testing.T) *amorphous.Counter {
	store, err := amorphous.New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := amorphous.NewCounter(store, "c", &amorphous.Counts{By: []string{"x"}, Per: []time.Duration{time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	c.SealAll()
	return c
}

// An act is what a program does; nil reads, and seals what it read.
type act *amorphous.Counted

// overAt is over when a synctest bubble begins, in the year 2000.
var overAt = time.Date(1999, 12, 31, 12, 0, 0, 0, time.UTC)

func version(n int64, of ...string) act {
	obj := &amorphous.Counted{Key: "o", Stamp: amorphous.Stamp{Version: n, Tie: 1}}
	for _, x := range of {
		obj.Counts = append(obj.Counts, amorphous.Count{Of: []string{x}, At: overAt, N: 1})
	}
	return obj
}

// histories are what was done before, and what is done at the same time.
var histories = map[string]struct{ before, acts []act }{
	"write and read":     {nil, []act{version(1, "p"), nil}},
	"move and read":      {[]act{version(1, "p"), nil}, []act{version(2, "q"), nil}},
	"delete and read":    {[]act{version(1, "p"), nil}, []act{version(2), nil}},
	"late and read":      {[]act{version(3, "q"), nil}, []act{version(2, "p"), nil}},
	"two places":         {[]act{nil}, []act{version(1, "p"), version(2, "q")}},
	"back":               {[]act{version(1, "p"), nil}, []act{version(2, "q"), version(3, "p")}},
	"delete and write":   {[]act{version(1, "p"), nil}, []act{version(2), version(3, "p")}},
	"two readers":        {[]act{version(1, "p")}, []act{nil, nil}},
	"repeat":             {[]act{version(1, "p"), version(2, "q"), nil}, []act{version(2, "q"), version(1, "p")}},
	"move and two read":  {[]act{version(1, "p")}, []act{version(2, "q"), nil, nil}},
	"two moves and read": {[]act{version(1, "p"), nil}, []act{version(2, "q"), version(3, "r"), nil}},
	"crowd":              {[]act{version(1, "p", "q"), nil}, []act{version(2, "q", "r"), version(3, "p"), version(2, "q", "r"), nil, nil}},
}

var orders = flag.Int("orders", 100, "in how many random orders each history of TestCounterInEveryOrder runs; 0: of two programs in every order")

// TestCounterInEveryOrder runs writers and readers through orders in which
// their steps can reach the store. In half of them one dies at some step, and
// is repeated. Whatever the order, what is read afterwards is what the newest
// version says.
func TestCounterInEveryOrder(t *testing.T) {
	for name, h := range histories {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			runs := 0
			run := func(choices []int, dies int) (widths []int) {
				runs++
				synctest.Test(t, func(t *testing.T) { widths = runHistory(t, h.before, h.acts, choices, dies) })
				return widths
			}
			if *orders == 0 && len(h.acts) == 2 {
				for choices := []int{}; choices != nil && !t.Failed(); {
					choices = advance(choices, run(choices, -1))
				}
			}
			for n := 0; n < max(*orders, 100) && !t.Failed(); n++ {
				choices := make([]int, 30)
				for i := range choices {
					choices[i] = random.IntN(len(h.acts))
				}
				run(choices, random.IntN(2*16)-16)
			}
			t.Logf("%d orders", runs)
		})
	}
}

// advance is the next order: an odometer whose digits are choices.
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

var errDied = errors.New("the process died")

// runHistory runs acts, one step at a time, as choices say. The program whose
// turn is the step number dies fails there.
func runHistory(t *testing.T, before, acts []act, choices []int, dies int) (widths []int) {
	s := &server{}
	perform := func(p *program, a act) error {
		c := p.counter(t)
		if a == nil {
			_, err := c.Total(t.Context(), amorphous.CountQuery{})
			return err
		}
		return c.Put(t.Context(), *a)
	}
	newest := amorphous.Counted{}
	for _, a := range slices.Concat(before, acts) {
		if a != nil && a.Stamp.Compare(newest.Stamp) > 0 {
			newest = *a
		}
	}
	for _, a := range before {
		if err := perform(&program{server: s}, a); err != nil {
			t.Fatal(err)
		}
	}
	sched := &schedule{}
	var wg sync.WaitGroup
	done := false
	failed := make([]bool, len(acts))
	for i, a := range acts {
		wg.Go(func() { failed[i] = perform(&program{s, sched, fmt.Sprint(i)}, a) != nil })
	}
	go func() { wg.Wait(); done = true }()
	widths = sched.run(choices, dies, &done)
	for i, a := range acts {
		if failed[i] {
			if err := perform(&program{server: s}, a); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 2 { // the second one reads what the first one sealed
		check(t, (&program{server: s}).counter(t), newest, fmt.Sprintf("%v, dies at %d", choices, dies))
	}
	return widths
}

func check(t *testing.T, c *amorphous.Counter, newest amorphous.Counted, order string) {
	t.Helper()
	top, err := c.Top(t.Context(), amorphous.CountQuery{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, one := range top {
		got = append(got, fmt.Sprint(one.Of[0], one.N))
	}
	for _, one := range newest.Counts {
		want = append(want, fmt.Sprint(one.Of[0], one.N))
	}
	if !slices.Equal(got, want) {
		t.Fatalf("in the order %s: counted %v, want %v", order, got, want)
	}
}

func (s *schedule) run(choices []int, dies int, done *bool) (widths []int) {
	dead := ""
	for n := 0; ; n++ {
		synctest.Wait()
		s.mu.Lock()
		if *done {
			s.mu.Unlock()
			return widths
		}
		slices.SortFunc(s.waiting, func(a, b *step) int { return cmp.Compare(a.program, b.program) })
		choice := 0
		if n < len(choices) {
			choice = choices[n] % len(s.waiting)
		}
		next := s.waiting[choice]
		widths = append(widths, len(s.waiting))
		s.waiting = slices.Delete(s.waiting, choice, choice+1)
		s.mu.Unlock()
		if n == dies {
			dead = next.program
		}
		if next.program == dead {
			next.do <- errDied
		} else {
			next.do <- nil
		}
	}
}

// TestSealsSpareReading: what is over is read once, and then its sum is; only a
// chunk that changed is read again.
func TestSealsSpareReading(t *testing.T) {
	p := &program{server: &server{}}
	store, err := amorphous.New(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := amorphous.NewCounter(store, "c", &amorphous.Counts{Per: []time.Duration{time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	var objs []amorphous.Counted
	for i := range 1000 {
		objs = append(objs, amorphous.Counted{Key: fmt.Sprint(i), Counts: []amorphous.Count{{At: overAt.Add(time.Duration(i%600) * time.Minute), N: 1}}})
	}
	put := func(obj ...amorphous.Counted) {
		t.Helper()
		if err := c.Put(t.Context(), obj...); err != nil {
			t.Fatal(err)
		}
	}
	total := func(sentence string, want int64, rows int) {
		t.Helper()
		p.read = 0
		if n, err := c.Total(t.Context(), amorphous.CountQuery{}); err != nil || n != want {
			t.Errorf("%s: the total is %d, want %d: %v", sentence, n, want, err)
		}
		if p.read != rows {
			t.Errorf("%s: %d rows were read, want %d", sentence, p.read, rows)
		}
	}
	put(objs...)
	perHour := []int{120, 120, 120, 120, 120, 120, 100, 60, 60, 60}
	large := 0 // rows of hours that are worth sealing
	for _, n := range perHour {
		if n >= 64 {
			large += n
		}
	}
	total("the first reader reads all, and what it seals once more", 1000, 1000+large)
	total("the next one reads what is small", 1000, 1000-large)
	put(amorphous.Counted{Key: "new", Counts: []amorphous.Count{{At: overAt, N: 1}}})
	total("a change makes one sum void", 1001, 1000-large+2*(perHour[0]+1))
	total("and it is made again", 1001, 1000-large)
}
