package persistence

import (
	"testing"
	"testing/synctest"
	"time"
)

// The stores that the tests' envelopes write to.
var (
	cells = storeSet(0).with(Amorphous)
	rows  = storeSet(0).with(Transactional)
)

// writingTo is a lane in whose store so many groups of writes are under way.
func writingTo(s storeSet, groups int) *lane {
	l := newLane(1000, 64)
	for range groups {
		l.push(&held{priority: 5, writes: s})
		l.next(nil, nil, time.Time{})
	}
	return l
}

// taken takes the next group, and says after how long.
func taken(l *lane) (group []*held, after time.Duration) {
	began := time.Now()
	group, _, _ = l.next(nil, nil, time.Time{})
	return group, time.Since(began)
}

// While enough groups of default writes to a store are under way, what arrives
// for it gathers for the next; a handler waits for none of them, nor does a full
// group, nor what is for another store; and when a store hangs, what has gathered
// begins without it.
func TestWritesGatherWhileOthersAreUnderWay(t *testing.T) {
	write := func() *held { return &held{priority: 5, writes: cells} }
	for _, c := range []struct {
		name  string
		push  func(l *lane)
		after time.Duration // in which a worker comes
		want  int
	}{
		{"a write, when one group less is under way", func(l *lane) { l.wrote(cells); l.push(write()) }, 0, 1},
		{"two writes", func(l *lane) { l.push(write()); l.push(write()) }, stall, 2},
		{"a handler", func(l *lane) { l.push(&held{priority: 5}) }, 0, 1},
		{"a handler behind a write", func(l *lane) { l.push(write(), &held{priority: 9}) }, 0, 1},
		{"a write to another store", func(l *lane) { l.push(&held{priority: 9, writes: rows}) }, 0, 1},
		{"a write to both", func(l *lane) { l.push(&held{priority: 9, writes: rows | cells}) }, stall, 1},
		{"a full group", func(l *lane) {
			for range groupMost {
				l.push(write())
			}
		}, 0, groupMost},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := writingTo(cells, writersAtOnce)
			came := make(chan struct{})
			var got []*held
			var after time.Duration
			go func() {
				got, after = taken(l)
				close(came)
			}()
			synctest.Wait()
			c.push(l)
			if <-came; len(got) != c.want || after != c.after {
				t.Errorf("%s: a worker took %d after %v, want %d after %v", c.name, len(got), after, c.want, c.after)
			}
		})
	}
}

// A worker that comes back from a handler keeps the bound too.
func TestAWorkerBackFromAHandlerGathersToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := writingTo(cells, writersAtOnce)
		handler := &held{priority: 9}
		l.push(&held{priority: 5, writes: cells}, handler, &held{priority: 5, writes: cells})
		if group, _ := taken(l); len(group) != 1 || group[0] != handler {
			t.Fatalf("a worker took %d envelopes, want the handler", len(group))
		}
		if group, after := taken(l); len(group) != 2 || after != stall {
			t.Errorf("back from it, it took %d writes after %v, want both after a stall", len(group), after)
		}
	})
}

// Workers that are all busy when a write arrives come back to it, however many
// handlers wait: an urgent one does not wait behind those for as long as a store
// hangs.
func TestWritesPassHandlersInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := writingTo(cells, writersAtOnce)
		for range 60 {
			l.push(&held{priority: 9})
		}
		l.push(&held{priority: 1, writes: cells})
		began, handled := time.Now(), 0
		for {
			group, _ := taken(l)
			if group[0].writes != 0 {
				break
			}
			handled++
			time.Sleep(stall / 4) // it runs
		}
		if took := time.Since(began); took > 2*stall || handled == 0 {
			t.Errorf("the write was taken after %v and %d handlers, want within two stalls", took, handled)
		}
	})
}

// A store that hangs gets a quarter of the workers, one after the other, and no
// more, be its writes as many and as urgent as they like: its siblings have the
// others, at once.
func TestAStoreThatHangsLeavesWorkersToItsSiblings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := writingTo(cells, writersAtOnce)
		const quarter = 64 / 4
		for n := writersAtOnce; n < 10; n++ {
			l.push(&held{priority: 1, writes: cells})
			if _, after := taken(l); after != stall {
				t.Fatalf("a single write was taken after %v, want a stall", after)
			}
		}
		for range 20 * groupMost {
			l.push(&held{priority: 1, writes: cells})
		}
		for n := 10; n < quarter; n++ {
			if group, after := taken(l); len(group) != groupMost || after != 0 {
				t.Fatalf("a full group of %d was taken after %v, want %d at once", len(group), after, groupMost)
			}
		}
		for range 100 {
			l.push(&held{priority: 9, writes: rows})
			if group, after := taken(l); group[0].writes != rows || after != 0 {
				t.Fatalf("a sibling's write was taken after %v, want at once", after)
			}
			l.wrote(rows)
		}
		came := false
		go func() {
			l.next(nil, nil, time.Time{})
			came = true
		}()
		time.Sleep(time.Hour)
		if came {
			t.Error("one worker more writes to the store that hangs")
		}
		l.wrote(cells)
		l.push(&held{priority: 1, writes: cells})
		synctest.Wait()
		if !came {
			t.Error("no worker came when one of its writes had ended")
		}
	})
}

// "A quarter of them, and one at least, writes to one store at a time … with seven
// or fewer that is one group per store."
func TestFewWorkersWriteOneGroupPerStore(t *testing.T) {
	for workers, want := range map[int]int{1: 1, 3: 1, 7: 1, 8: 2, 12: 3} {
		l, groups := newLane(1000, workers), 0
		for range want + 1 {
			for range groupMost { // a full group gathers no more
				l.push(&held{priority: 1, writes: cells})
			}
			l.push(&held{priority: 9})
			if group, _ := taken(l); group[0].writes == cells {
				groups++
			}
		}
		if groups != want {
			t.Errorf("of %d workers %d write to one store, want %d", workers, groups, want)
		}
	}
}

// The least lane that Options.MaxHeld allows takes from custody too.
func TestALaneOfOneAsksCustody(t *testing.T) {
	if got := newLane(1, 64).room(); got != 1 {
		t.Errorf("an empty lane of one asks custody for %d", got)
	}
}

// What waits for a slow store takes no room from its siblings, whatever is more
// urgent, but for a quarter of the lane; and the lane never holds more than its most.
func TestWhatWaitsForASlowStoreGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 1000
		l := writingTo(cells, 64/4)
		state := func(when string, room int, sibling, same bool) {
			t.Helper()
			if got := l.room(); got != room {
				t.Errorf("%s: the lane asks custody for %d, want %d", when, got, room)
			}
			for _, s := range []storeSet{rows, 0} {
				if got := l.accepts(&held{priority: 9, writes: s}); got != sibling {
					t.Errorf("%s: it accepts what writes to %v: %v", when, s, got)
				}
			}
			if got := l.accepts(&held{priority: 2, writes: cells}); got != same {
				t.Errorf("%s: it accepts one more for the store: %v", when, got)
			}
			if !l.accepts(&held{priority: 1, writes: cells}) {
				t.Errorf("%s: it does not accept what is more urgent", when)
			}
		}
		push := func(h *held) *held {
			t.Helper()
			evicted := l.push(h)
			if len(evicted) != 1 || l.waiting.len != most {
				t.Fatalf("%d were evicted, %d wait, want 1 and %d", len(evicted), l.waiting.len, most)
			}
			return evicted[0]
		}
		for range most {
			l.push(&held{priority: 2, writes: cells})
		}
		state("the store is busy", 0, false, false)
		time.Sleep(slowAfter + 1)
		state("the store is slow", most/2, true, false)
		for n := range most - most/share {
			if h := push(&held{priority: 9, writes: rows}); h.writes != cells || h.past != cells {
				t.Fatalf("sibling %d made %+v give way", n, h)
			}
			if h := push(&held{priority: 3, writes: cells}); h.priority != 3 {
				t.Fatalf("for one more of the store %+v gave way", h)
			}
		}
		state("a quarter of the lane waits for it", 0, false, true)
		if h := push(&held{priority: 8, writes: rows}); h.priority != 9 || h.past != 0 {
			t.Errorf("then %+v gave way, want the least urgent of all", h)
		}
		l.wrote(cells)
		taken(l)
		state("the store goes on", 0, true, true)
	})
}

// What real-time workers pass is taken although the lane is full. Its own workers
// give back what is too much, the last that came first, before they do anything else.
func TestALaneIsExceededByWhatIsPassed(t *testing.T) {
	const most = 100
	l := newLane(most, 64)
	var all []*held
	for n := range most + groupMost + 2 {
		h := &held{priority: 5}
		if all = append(all, h); !l.pass(h) {
			t.Fatal("an open lane takes nothing")
		}
		if got, want := l.overfull(), n >= most+most/excess; got != want {
			t.Fatalf("with %d of %d it is overfull: %v", n+1, most, got)
		}
	}
	for _, want := range []int{groupMost, 1} { // what it will take leaves room
		group, evicted, _ := l.next(nil, nil, time.Time{})
		if len(group) != 0 || len(evicted) != want || evicted[0] != all[len(all)-1] {
			t.Fatalf("a worker gets %d to do and %d to give back, want 0 and %d", len(group), len(evicted), want)
		}
		all = all[:len(all)-want]
	}
	if group, evicted, _ := l.next(nil, nil, time.Time{}); len(group) != 1 || group[0] != all[0] || len(evicted) != 0 {
		t.Errorf("then it gets %d to do and %d to give back", len(group), len(evicted))
	}
	for round := range aged { // so many came over and over again
		for range groupMost {
			l.pass(&held{priority: 5})
		}
		switch group, evicted, _ := l.next(nil, nil, time.Time{}); {
		case len(group) == 1:
			return // what waits has its turn all the same
		case len(evicted) == 0 || round == aged-1:
			t.Fatalf("in round %d a worker gets %d to do and %d to give back", round, len(group), len(evicted))
		}
	}
}

func TestALaneThatIsStoppedTakesNothing(t *testing.T) {
	l := newLane(1, 1)
	l.stop()
	if l.pass(&held{}) {
		t.Error("a lane that is stopped took an envelope")
	}
}

// Nor does it take the share of other slow stores; and of what nothing would give
// way to, none is asked for.
func TestEachSlowStoreHasItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 1000
		jobs := storeSet(0).with(Transitory)
		l := newLane(most, 4)
		for _, s := range []storeSet{cells, rows, jobs} {
			l.push(&held{priority: 1, writes: s})
			taken(l)
		}
		for range most {
			l.push(&held{priority: 1, writes: cells})
		}
		time.Sleep(slowAfter + 1)
		for _, s := range []storeSet{rows, jobs, 0} {
			if got := l.crowd(); got != cells || l.room() != most/2 {
				t.Errorf("the lane is crowded by %v and asks for %d, want %v and %d", got, l.room(), cells, most/2)
			}
			for range most / share {
				if h := l.push(&held{priority: 9, writes: s})[0]; h.writes != cells {
					t.Fatalf("what writes to %v gave way to what writes to %v", h.writes, s)
				}
			}
		}
		if got := l.crowd(); got != 0 || l.room() != 0 {
			t.Errorf("the lane is crowded by %v and asks for %d, want all to have their share", got, l.room())
		}
	})
}

// What writes to two stores is not left behind for ever by what writes to one of
// them each, though one of the two is always full.
func TestWritesToTwoStoresHaveTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane(1000*groupMost, 64)
		for range 200 * groupMost {
			l.push(&held{priority: 9, writes: cells}, &held{priority: 9, writes: rows})
		}
		var under []storeSet
		for range 64 / 2 {
			group, _ := taken(l)
			under = append(under, group[0].writes)
		}
		l.push(&held{priority: 1, writes: rows | cells})
		began := time.Now()
		for {
			l.wrote(under[0]) // one ends, and its worker comes back
			group, _ := taken(l)
			if group[0].priority == 1 {
				break
			}
			under = append(under[1:], group[0].writes)
			time.Sleep(stall)
			if time.Since(began) > 10*patience {
				t.Fatal("it is not taken")
			}
		}
		if took := time.Since(began); took > 2*patience {
			t.Errorf("it was taken after %v, want %v or so", took, patience)
		}
	})
}

// While something more urgent waits all the time, a class whose first envelope
// has waited for half a minute gets one slot in ten, for as long as that holds.
func TestNoClassStarves(t *testing.T) {
	synctest.Test(t, func(*testing.T) {
		l := newLane(1000, 8)
		for range 100 {
			l.push(&held{priority: 9})
		}
		low := func(slots int) (n int) {
			for range slots {
				l.push(&held{priority: 1})
				if group, _ := taken(l); group[0].priority == 9 {
					n++
				}
			}
			return n
		}
		time.Sleep(starving - time.Second)
		if n := low(100); n != 0 {
			t.Errorf("before its time the less urgent class got %d slots of 100", n)
		}
		time.Sleep(2 * time.Second)
		if n := low(200); n != 200/aged {
			t.Errorf("the class that waits got %d slots of 200, want one in ten", n)
		}
	})
}

// Wake has the lanes look into custody.
func TestWakeTellsTheLanes(t *testing.T) {
	l := &Layer{}
	l.engine = &engine{layer: l, realTime: newLane(1, 1), background: newLane(1, 1)}
	l.engine.working.Store(1)
	l.Wake()
	for _, ln := range []*lane{l.engine.realTime, l.engine.background} {
		if len(ln.woken) != 1 || !ln.mayHold.Load() {
			t.Error("a lane does not know that custody may hold more")
		}
	}
}
