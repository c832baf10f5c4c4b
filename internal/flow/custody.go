package flow

// A Stand is where an envelope's record in an outbox stands.
type Stand uint8

// The stands.
const (
	Ready   Stand = iota // whoever comes first may claim it
	Claimed              // Owner holds it, until Until
	Later                // it is ready when it is Due
	Gone                 // it was ended, and is no longer there
)

// A Custody is the state of one envelope's record in an outbox: who may have it
// and when. Its methods are the steps, each from one state to the next; package
// transactional takes them, here or as the statement that changes the row.
type Custody struct {
	Stand Stand  // zero: Ready
	Owner uint64 // who claimed it; zero: nobody
	Until int64  // µs since 1970, by the store's clock: when the lease of a claimed one ends
	Due   int64  // not claimed earlier; zero: at once
	Seq   uint64 // settlements that were applied
	Lost  int    // claims that ended without one
	Woken bool   // what it waits for came while it was claimed
}

// Accept is the state of a new record: claimed by whoever hands it over to
// itself, until the end of a lease, or waiting for its time.
func Accept(now int64, owner uint64, lease, due int64) Custody {
	c := Custody{Due: due}
	switch {
	case owner != 0:
		c.Stand, c.Owner, c.Until = Claimed, owner, now+lease
	case due > now:
		c.Stand = Later
	}
	return c
}

// Claimable reports whether a claim may take it: nobody holds it, and it is due,
// or is taken before its time. A lease that is over is for a sweep to end: only
// a sweep knows whether the store's clock can be trusted.
func (c Custody) Claimable(now int64, early bool) bool {
	return c.Stand == Ready || c.Stand == Later && (early || c.Due <= now)
}

// Claim makes owner hold what is claimable.
func (c Custody) Claim(now int64, owner uint64, lease int64) Custody {
	c.Stand, c.Owner, c.Until, c.Woken = Claimed, owner, now+lease, false
	return c
}

// HeldBy reports whether owner holds it, whatever was settled meanwhile. That is
// so also after the end of a lease, until a sweep frees it.
func (c Custody) HeldBy(owner uint64) bool { return c.Stand == Claimed && c.Owner == owner }

// Mine is the fence in front of every settlement: owner holds it, and nothing
// settled it since seq.
func (c Custody) Mine(owner, seq uint64) bool { return c.HeldBy(owner) && c.Seq == seq }

// Extend renews the lease of an owner that holds it; another's stays as it is.
func (c Custody) Extend(now int64, owner uint64, lease int64) Custody {
	if c.HeldBy(owner) {
		c.Until = now + lease
	}
	return c
}

// Keep is the state after a settlement that keeps the claim.
func (c Custody) Keep() Custody {
	c.Seq++
	return c
}

// Back is the state after a settlement that gives it back until it is due; one
// that was woken while it was claimed does not wait for what has come already.
func (c Custody) Back(now, due int64) Custody {
	c.Seq++
	if due > now && c.Woken {
		due = now
	}
	c.Stand, c.Owner, c.Until, c.Due, c.Woken = Ready, 0, 0, due, false
	if due > now {
		c.Stand = Later
	}
	return c
}

// End is the state after a settlement that ends it.
func (c Custody) End() Custody { return Custody{Stand: Gone} }

// Wake tells it that what it may wait for has come.
func (c Custody) Wake(now int64) Custody {
	switch c.Stand {
	case Later:
		c.Stand, c.Due = Ready, now
	case Claimed:
		c.Woken = true
	}
	return c
}

// Promote makes it ready when it has become due.
func (c Custody) Promote(now int64) Custody {
	if c.Stand == Later && c.Due <= now {
		c.Stand = Ready
	}
	return c
}

// Over reports whether its owner has not renewed the lease in time.
func (c Custody) Over(now int64) bool { return c.Stand == Claimed && c.Until <= now }

// Free takes it from an owner that is taken for dead, which counts as a loss.
func (c Custody) Free() Custody {
	c.Stand, c.Owner, c.Until = Ready, 0, 0
	c.Lost++
	return c
}
