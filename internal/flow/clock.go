package flow

// Trusted is how long a store's clock is continued by our own before it is asked
// again, µs.
const Trusted = int64(1_000_000)

// A StoreClock tells the time that leases and due times are measured by. It never
// goes back: what the store's clock went back by is added to it, here and, by
// what is kept in the store, in every other process. at is the moment by our own
// clock, which only ever goes on, µs.
type StoreClock struct {
	Time   int64 // the store's, when it was asked last; zero: never
	At     int64 // the moment of that
	Went   int64 // what the store's clock went back by, as far as we know
	Kept   int64 // of that, what the store keeps
	Leapt  bool  // a process that began now would see the time leap ahead of where another began
	LeapAt int64 // the moment at which that was seen
	Lease  int64 // the longest that was asked for here
}

// Continued is the time, and whether it can be trusted without asking.
func (c StoreClock) Continued(at int64) (now int64, trusted bool) {
	return c.Time + at - c.At, c.Time != 0 && at-c.At < Trusted
}

// Answered is the state after the store has answered: its clock read us, and it
// keeps that clocks went back by kept. The answer may be as old as the question,
// which was put at asked.
func (c StoreClock) Answered(asked, at, us, kept int64) StoreClock {
	c = c.heard(at, kept)
	us += c.Went
	if c.Time != 0 {
		if behind := c.Time + asked - c.At - us; behind > Trusted {
			c.Went += behind
			us += behind
		}
		if ahead := us - c.Time - (at - c.At); ahead > Trusted {
			// If it had gone back before, and nobody was told, it is put right: told
			// now, it would leap once more.
			right := min(c.Went-c.Kept, ahead)
			c.Went, us = c.Went-right, us-right
			c.Leapt, c.LeapAt = true, at
		}
	}
	c.Time, c.At = us, at
	return c
}

// Untold is what the other processes have to be told of, by how much the store's
// clock went back; zero: nothing.
func (c StoreClock) Untold() int64 {
	if c.Went > c.Kept {
		return c.Went
	}
	return 0
}

// Told is the state when the store keeps at least that.
func (c StoreClock) Told(at, kept int64) StoreClock { return c.heard(at, kept) }

// heard is the state when the store is known to keep that. More than before is a
// leap ahead to whoever began since the clock went back, whoever told of it and
// however little it is to us. What it was before we began we cannot know.
func (c StoreClock) heard(at, kept int64) StoreClock {
	if c.Time != 0 && kept > c.Kept {
		c.Leapt, c.LeapAt = true, at
	}
	c.Kept, c.Went = max(c.Kept, kept), max(c.Went, kept)
	return c
}

// Leased notes how long a claim may last.
func (c StoreClock) Leased(lease int64) StoreClock {
	c.Lease = max(c.Lease, lease)
	return c
}

// Unsettled reports whether a lease that is over by our time may have an owner
// that lives: one that began since the clock went back, of which the others were
// not told, or that leased before the time leapt ahead, or within Trusted after
// it, and renews by the new time.
func (c StoreClock) Unsettled(at int64) bool {
	return c.Untold() != 0 || c.Leapt && at-c.LeapAt < c.Lease+Trusted
}
