package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/internal/flow"
)

// A clocks is a history of nothing but a store's clock that is set, and of processes
// that lease by it. It costs so little that many thousands are played where the
// outbox plays a few, and its oracle excuses only what nobody could know.
type clocks struct {
	*tape
	now    int64 // by all processes' own clocks
	step   int   // counts what happens
	skew   int64 // of the store's clock
	kept   int64 // what the store keeps that it went back by
	moves  []move
	owners []*owner
	began  int // how many of them did
	leases []*leased
	log    strings.Builder
	broken string
}

// An owner is a process that leases, and frees what others have leased.
type owner struct {
	flow.StoreClock
	id   int
	asks []question
}

// A leased is a claim, until it is freed.
type leased struct {
	flow.Custody
	asked question // for the time of it
	end   int64    // the moment at which it is over
}

func (w *clocks) note(format string, args ...any) {
	fmt.Fprintf(&w.log, "%d "+format+"\n", append([]any{w.now / ms}, args...)...)
}

func (w *clocks) violated(format string, args ...any) {
	if w.broken == "" {
		w.broken = fmt.Sprintf(format, args...)
		w.note("VIOLATED %s", w.broken)
	}
}

// ask is one look at the store's clock.
func (w *clocks) ask(p *owner) {
	w.step++
	was, _ := p.Continued(w.now)
	p.StoreClock = p.Answered(w.now, w.now, 100*hour+w.now+w.skew, w.kept)
	if p.asks != nil && p.Time < was {
		w.violated("the time of %d goes back by %d ms", p.id, (was-p.Time)/ms)
	}
	p.asks = append(p.asks, question{w.step, w.now, w.skew, w.kept})
}

func (w *clocks) begin() *owner {
	w.began++
	p := &owner{id: w.began, StoreClock: flow.StoreClock{}.Leased(lease)}
	w.ask(p)
	return p
}

// event is one thing that happens. Zero is nothing.
func (w *clocks) event() {
	w.step++
	i := w.choose(len(w.owners))
	p := w.owners[i]
	switch w.choose(10) {
	case 1, 2, 3:
		w.lease(p)
	case 4, 5, 6:
		w.sweep(p)
	case 7:
		w.note("%d asks", p.id)
		w.ask(p)
	case 8:
		w.owners[i] = w.begin()
		w.note("%d is killed, %d begins", p.id, w.owners[i].id)
	case 9:
		by := []int64{2 * second, hour, -2 * second, -hour}[w.choose(4)]
		w.note("the clock is set by %d s", by/second)
		w.skew += by
		w.moves = append(w.moves, move{step: w.step, by: by})
	}
	w.now += []int64{0, ms, 400 * ms, second, 2 * second}[w.choose(5)]
}

// lease claims something new, or renews.
func (w *clocks) lease(p *owner) {
	if _, trusted := p.Continued(w.now); !trusted {
		w.ask(p)
	}
	now, _ := p.Continued(w.now)
	l := &leased{Custody: flow.Custody{}.Claim(now, uint64(p.id), lease)}
	of := func(l *leased) bool { return l.HeldBy(uint64(p.id)) }
	if i := slices.IndexFunc(w.leases, of); i >= 0 && w.chance(2) {
		l = w.leases[i]
		l.Custody = l.Extend(now, uint64(p.id), lease)
	} else {
		w.leases = append(w.leases, l)
	}
	l.asked, l.end = p.asks[len(p.asks)-1], w.now+lease
	w.note("%d leases until %d", p.id, l.Until/ms)
}

// sweep is what a sweep does: it asks, tells, and frees.
func (w *clocks) sweep(p *owner) {
	w.ask(p)
	if back := p.Untold(); back > 0 {
		answer := []answer{applied, applied, lost, dropped}[w.choose(4)]
		if w.step++; answer != dropped && back > w.kept {
			w.kept = back
			w.moves = append(w.moves, move{step: w.step, told: back})
		}
		if w.note("%d tells of %d s: %d", p.id, back/second, answer); answer != applied {
			return
		}
		p.StoreClock = p.Told(w.now, w.kept)
	}
	w.ask(p)
	now, _ := p.Continued(w.now)
	unsettled := p.Unsettled(w.now)
	w.note("%d sweeps, unsettled: %t", p.id, unsettled)
	w.leases = slices.DeleteFunc(w.leases, func(l *leased) bool {
		free := !unsettled && l.Over(now)
		switch early := l.end - w.now; {
		case free && early > 0 && !excused(w.moves, p.asks, l.asked):
			w.violated("%d takes from %d what is over in %d ms", p.id, l.Owner, early/ms)
		case free && early > 0:
			w.note("nobody could know: %d ms", early/ms)
		case free:
			w.note("freed")
		case l.Until <= 100*hour+w.now+w.skew+w.kept && w.calm(p):
			w.violated("%d leaves to %d what was over %d ms ago", p.id, l.Owner, -early/ms)
		}
		return free
	})
}

// calm reports whether a process has asked for longer than anybody's lease since
// the time moved last.
func (w *clocks) calm(p *owner) bool {
	last := 0
	for _, m := range w.moves {
		last = m.step
	}
	i := slices.IndexFunc(p.asks, func(q question) bool { return q.step > last })
	return w.now-p.asks[i].at >= lease+flow.Trusted
}

func playClocks(t *tape) *clocks {
	w := &clocks{tape: t}
	for range 3 {
		w.owners = append(w.owners, w.begin())
	}
	for n := 0; n < 60 && w.broken == ""; n++ {
		w.event()
	}
	return w
}

// However a store's clock is set, and in whatever order processes see that and tell
// of it: what one that lives has leased nobody takes before that is over who could
// know; and what is over is freed by whoever looks, a lease and a second after the
// clock was set at the latest.
func TestClockHistories_A21(t *testing.T) {
	counts := map[string]int{}
	happens := []string{"nobody could know", "freed", "unsettled: true", "tells of 3600 s: 2", "tells of 2 s: 0"}
	for i := range *seeds * 20 {
		w := playClocks(newTape(*first + uint64(i)))
		if w.broken != "" {
			small := shrink(w.choices, func(t *tape) bool { return gist(playClocks(t).broken) == gist(w.broken) })
			again := playClocks(&tape{choices: small, fixed: true})
			t.Fatalf("seed %d: %s\n%s", w.seed, w.broken, again.log.String())
		}
		for _, what := range happens {
			counts[what] += strings.Count(w.log.String(), what)
		}
	}
	t.Logf("%d histories from seed %d: %v", *seeds*20, *first, counts)
	for _, what := range happens {
		if counts[what] == 0 {
			t.Errorf("no history has %q: nothing is proved about it", what)
		}
	}
}
