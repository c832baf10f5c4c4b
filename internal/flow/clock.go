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
	Leapt  bool  // the store's clock was seen to leap ahead
	LeapAt int64 // the moment of that
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
	c.Kept, c.Went = max(c.Kept, kept), max(c.Went, kept)
	us += c.Went
	if c.Time != 0 {
		if behind := c.Time + asked - c.At - us; behind > Trusted {
			c.Went += behind
			us += behind
		}
		ahead := us - c.Time - (at - c.At)
		if untold := c.Went - c.Kept; ahead > Trusted && untold > 0 {
			// It was put right before anybody heard that it had gone back. Told
			// after that, it would be a leap of its own.
			right := min(untold, ahead)
			c.Went, us, ahead = c.Went-right, us-right, ahead-right
		}
		if ahead > Trusted {
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

// Told is the state when the store keeps at least that. What the others hear of
// it only now is a leap ahead to whoever began since the clock went back.
func (c StoreClock) Told(at, kept int64) StoreClock {
	if kept > c.Kept {
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

// Unsettled reports whether the store's clock leapt ahead less than a lease ago:
// then a lease that seems to be over may have an owner that lives, and renews it
// by the new time.
func (c StoreClock) Unsettled(at int64) bool { return c.Leapt && at-c.LeapAt < c.Lease }
