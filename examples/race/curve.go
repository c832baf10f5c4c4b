package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
)

// A point is one measurement of the curve: what it costs when one thing grows.
type point struct {
	axis, value string
	kind        *persistence.Handle[Checkin]
	tasks       int
	callers     int
	size        int
	share       int // 1/share of the check-ins of -objects
	slow        persistence.Purpose
	by          time.Duration
}

// A curve is the kinds of its points, on a layer whose stores can be slow.
type curve struct {
	*race
	points []point
}

// curveCallers is how many callers put, but where their number is what grows.
const curveCallers = 64

// declareCurve declares the kinds of the curve.
func declareCurve(ctx context.Context, r *race) (*curve, error) {
	c := &curve{race: r}
	layer := r.system.layer
	later := func(axis string, value any, change func(*point)) {
		p := point{axis: axis, value: fmt.Sprint(value), kind: r.system.later, tasks: 6, callers: curveCallers, share: 1}
		change(&p)
		c.points = append(c.points, p)
	}
	for _, n := range []int{1, 4, 16, 64, 256} {
		later("callers", n, func(p *point) { p.callers = n })
	}
	for _, n := range []int{100, 1000, 10_000, 60_000} {
		later("bytes an object", n, func(p *point) { p.size, p.share = n, 1+n/3000 })
	}
	for _, n := range []int{1, 3, 6, 12} {
		kind := persistence.Declare(layer, fmt.Sprint("tasks", n), tasksPlan(n))
		later("tasks a plan", n, func(p *point) { p.kind, p.tasks = kind, n })
	}
	for _, n := range []int{1, 10, 100, 300} {
		kind := persistence.Declare(layer, fmt.Sprint("rows", n), rowsPlan(n))
		later("derived rows an object", n, func(p *point) { p.kind, p.tasks, p.share = kind, 2, 1+n/5 })
	}
	for store := persistence.Transitory; store <= persistence.Amorphous; store++ {
		for _, by := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond} {
			later(store.String()+" slow by", by, func(p *point) { p.slow, p.by, p.share = store, by, 1+int(by/(5*time.Millisecond)) })
		}
	}
	return c, layer.CreateSchema(ctx)
}

// tasksPlan keeps the check-in, and has handlers that do nothing.
func tasksPlan(n int) persistence.Plan[Checkin] {
	plan := persistence.Plan[Checkin]{{Priority: 1, Name: "object", Purpose: persistence.Amorphous}}
	for i := range n - 1 {
		plan = append(plan, persistence.Task[Checkin]{
			Priority: 2 + i, Name: fmt.Sprint("handler", i), Purpose: persistence.Transitory,
			Do: func(context.Context, Checkin) error { return nil },
		})
	}
	return plan
}

// A Notice is what a friend of who checked in reads.
type Notice struct {
	Checkin string `persistence:"key"`
	Friend  string
	Venue   string
	Text    string
	At      time.Time
}

// rowsPlan keeps the check-in, and a row of it for each of n friends.
func rowsPlan(n int) persistence.Plan[Checkin] {
	notices := func(checkin Checkin) iter.Seq[Notice] {
		return func(yield func(Notice) bool) {
			for i := range n {
				friend := fmt.Sprintf("friend%d-%s", i, checkin.User)
				if !yield(Notice{checkin.ID, friend, checkin.Venue, checkin.Text, checkin.At}) {
					return
				}
			}
		}
	}
	return persistence.Plan[Checkin]{
		{Priority: 1, Name: "object", Purpose: persistence.Amorphous},
		{Priority: 2, Name: "inboxes", Purpose: persistence.Amorphous, Derive: persistence.Rows(notices), PartitionBy: "Friend", Newest: "At"},
	}
}

// A measured is a point with what was found there.
type measured struct {
	point
	rate               float64
	p50, p99           time.Duration // of a Put
	others50, others99 time.Duration // of the tasks of stores that are not slow, from acceptance
}

// measure runs one point.
func (c *curve) measure(ctx context.Context, p point) (measured, error) {
	n := max(c.objects/p.share, 1)
	if p.callers == 1 {
		n = max(c.lone/p.share, 1)
	}
	l := newLap(n, p.size, p.callers, p.tasks)
	l.all = true
	var mu sync.Mutex
	var others []time.Duration
	l.see = func(e persistence.TaskEvent) {
		if e.Purpose != p.slow {
			mu.Lock()
			others = append(others, e.Ended.Sub(e.Accepted))
			mu.Unlock()
		}
	}
	c.laps.current.Store(l)
	defer c.laps.current.Store(nil)
	puts := make([]putter, p.callers)
	for i := range puts {
		puts[i] = func(ctx context.Context, checkin *Checkin) error { return put(ctx, p.kind, checkin) }
	}
	c.faults.Slow(max(p.slow, persistence.Transitory), p.by)
	defer c.faults.Heal()
	read, err := c.time(ctx, l, puts, nil, c.system.work(ctx))
	if err != nil {
		return measured{}, fmt.Errorf("%s %s: %w", p.axis, p.value, err)
	}
	slices.Sort(read.took)
	slices.Sort(others)
	out := measured{point: p, rate: float64(n) / read.all.Seconds(), p50: percentile(read.took, 50), p99: percentile(read.took, 99)}
	if p.slow != 0 {
		out.others50, out.others99 = percentile(others, 50), percentile(others, 99)
	}
	c.faults.Heal()
	return out, c.system.settled(ctx)
}

// draw measures all points and prints them as a table in Markdown.
func (c *curve) draw(ctx context.Context, stdout, stderr io.Writer) error {
	if c.warm > 0 {
		if _, err := c.measure(ctx, c.points[3]); err != nil {
			return err
		}
	}
	tab := tabwriter.NewWriter(stdout, 0, 0, 1, ' ', tabwriter.Debug)
	fmt.Fprintln(tab, "| what grows\t to\t check-ins a second\t `Put` p50\t p99\t tasks of the other stores p50\t p99 |")
	fmt.Fprintln(tab, "| ---\t ---\t ---:\t ---:\t ---:\t ---:\t ---: |")
	for _, p := range c.points {
		m, err := c.measure(ctx, p)
		if err != nil {
			return err
		}
		others50, others99 := "", ""
		if p.slow != 0 {
			others50, others99 = brief(m.others50), brief(m.others99)
		}
		fmt.Fprintf(stderr, "%s %s: %.0f a second\n", p.axis, p.value, m.rate)
		fmt.Fprintf(tab, "| %s\t %s\t %.0f\t %s\t %s\t %s\t %s |\n", p.axis, p.value, m.rate, brief(m.p50), brief(m.p99), others50, others99)
	}
	return tab.Flush()
}

// brief writes a duration with two digits at least.
func brief(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d us", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.0f ms", d.Seconds()*1e3)
}
