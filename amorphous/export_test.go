package amorphous

// SealAll makes every chunk worth sealing that has a member.
func (c *Counter) SealAll() {
	if l, ok := c.ledger.(*rowLedger); ok {
		l.seals.worth = 1
	}
}

// Bound sets how many rows an origin may imply.
func (d *DerivedRows) Bound(most int) { d.most = most }
