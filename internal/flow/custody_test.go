package flow

import "testing"

func TestOnlyItsOwnerSettlesACustody(t *testing.T) {
	c := Accept(5, 0, 0, 0)
	if c.Mine(0, 0) || !c.Claimable(5, false) {
		t.Fatalf("%+v: nobody's, and anybody may claim it", c)
	}
	c = c.Claim(5, 7, 10)
	if c.Claimable(99, true) || !c.Mine(7, 0) || c.Mine(8, 0) || c.Mine(7, 1) {
		t.Fatalf("%+v: it is 7's, and nothing was settled yet", c)
	}
	if c = c.Keep(); c.Mine(7, 0) || !c.Mine(7, 1) || !c.HeldBy(7) {
		t.Fatalf("%+v: a settlement that comes twice is fenced off", c)
	}
	if c = c.Extend(20, 8, 10); c.Until != 15 {
		t.Fatalf("%+v: another cannot renew the lease", c)
	}
	if c = c.Extend(20, 7, 10); c.Until != 30 || c.Over(29) || !c.Over(30) {
		t.Fatalf("%+v: renewed until 30", c)
	}
	if c = c.Free(); c.Lost != 1 || c.Owner != 0 || c.Mine(7, 1) || c.Extend(31, 7, 10) != c {
		t.Fatalf("%+v: who lost it cannot settle it, nor have it back", c)
	}
}

func TestACustodyWaitsForItsTime(t *testing.T) {
	c := Accept(5, 7, 10, 0).Back(5, 50)
	if c.Claimable(49, false) || !c.Claimable(49, true) || !c.Claimable(50, false) || c.Promote(49) != c {
		t.Fatalf("%+v: due at 50, and taken earlier only by who says so", c)
	}
	if w := c.Wake(20); !w.Claimable(20, false) || w.Due != 20 {
		t.Fatalf("%+v: woken at 20", w)
	}
	held := Accept(5, 7, 10, 0).Wake(20)
	if b := held.Back(30, 50); b.Stand != Ready || b.Due != 30 || b.Woken {
		t.Fatalf("%+v: what it would wait for has come while it was claimed", b)
	}
	if b := held.Free().Claim(40, 8, 10).Back(41, 50); b.Stand != Later {
		t.Fatalf("%+v: who claims it sees what has come before", b)
	}
}

// While the clock leaps or is told of others' by the store, nobody's lease is
// taken for over.
func TestAStoreClockThatJumps_A21(t *testing.T) {
	const hour = 3600 * second
	began := StoreClock{}.Answered(0, 0, 100*hour, 0).Leased(3 * second)
	back := began.Answered(2*second, 2*second, 99*hour, 0)
	if now, trusted := back.Continued(2*second + 5); now != 100*hour+2*second+5 || !trusted || back.Untold() == 0 {
		t.Fatalf("%+v: a clock that went back goes on, and the others are to be told", back)
	}
	if _, trusted := back.Continued(3 * second); trusted {
		t.Error("it is asked for every second")
	}
	if told := back.Told(2*second, back.Untold()); !told.Unsettled(6*second-1) || told.Unsettled(6*second) || told.Untold() != 0 {
		t.Errorf("%+v: who began since the clock went back renews leases by what was told now", told)
	}
	ahead := began.Answered(second, second, 101*hour, 0)
	if !ahead.Unsettled(5*second-1) || ahead.Unsettled(5*second) {
		t.Errorf("%+v: for a lease after a leap, and for as long as others may not have seen it, nobody is taken for dead", ahead)
	}
	if right := back.Answered(4*second, 4*second, 100*hour+4*second, 0); right.Untold() != 0 || right.Time != 100*hour+4*second {
		t.Errorf("%+v: a clock that was put right before anybody was told has not jumped for us", right)
	}
	if half := back.Answered(4*second, 4*second, 100*hour+4*second, hour); half.Untold() != 0 || !half.Unsettled(4*second) {
		t.Errorf("%+v: what was told stays added, and the clock leaps", half)
	}
	if calm := began.Answered(second, second, 100*hour+second, 0); calm.Unsettled(second) || calm.Untold() != 0 {
		t.Errorf("%+v: nothing jumped", calm)
	}
}

// The clock goes back by an hour. Before anybody is told, a process begins and
// claims by the clock as it is; its lease seems to be over to whoever saw the clock
// before, and it lives. Nothing that such a process may then see makes it take the
// claim before the lease is over.
func TestWhoBeganWhileTheClockWasBackKeepsItsLease_A21(t *testing.T) {
	const hour, lease = 3600 * second, 3 * second
	began := StoreClock{}.Answered(0, 0, 100*hour, 0).Leased(lease)
	back := began.Answered(second, second, 99*hour+second, 0)
	claim := Custody{}.Claim(StoreClock{}.Answered(2*second, 2*second, 99*hour+2*second, 0).Time, 7, lease)
	for what, c := range map[string]StoreClock{
		"nobody was told yet":                         back,
		"we tell of it":                               back.Told(2*second, hour),
		"we saw it, and another tells":                back.Answered(2*second, 2*second, 99*hour+2*second, hour),
		"we told, and were not told so":               back.Answered(2*second, 2*second, 99*hour+2*second, hour),
		"another saw and told before we asked":        began.Answered(2*second, 2*second, 99*hour+2*second, hour),
		"it is put right before anybody is told":      back.Answered(2*second, 2*second, 100*hour+2*second, 0),
		"half of it is put right":                     back.Answered(2*second, 2*second, 99*hour+hour/2+2*second, 0),
		"it is put right as another tells of it":      back.Answered(2*second, 2*second, 100*hour+2*second, hour),
		"it goes on ahead of where it was":            back.Answered(2*second, 2*second, 101*hour+2*second, 0),
		"another tells that it went back even longer": back.Answered(2*second, 2*second, 99*hour+2*second, 2*hour),
	} {
		end := 2*second + lease
		if now, _ := c.Continued(end - 1); !claim.Over(now) || !c.Unsettled(end-1) {
			t.Errorf("%s, %+v: a lease that seems to be over at %d is taken from an owner that lives", what, c, now)
		}
		if c = c.Told(end, c.Untold()); c.Unsettled(end + lease + Trusted) {
			t.Errorf("%s, %+v: what a dead owner left is never free", what, c)
		}
	}
}
