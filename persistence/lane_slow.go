package persistence

import "time"

// slowAfter is how long all the writers of a store are busy, and none begins anew,
// until the store counts as slow. What waits for it must not fill the lane, nor
// must its siblings' envelopes wait behind it in custody. So it does not count when
// custody is asked for more, and in a full lane it is what gives way, as long as it
// is more than a share of it: it waits in custody as for a store that is down, and
// is left there until no more than that share of the lane waits for the store. Each
// of the slow stores has a share, and what waits for none has the rest. All of it
// is within the lane's bound, which is the same as without slow stores.
const (
	slowAfter = 5 * stall
	share     = 4 // of so many
)

// giveWay takes out the envelope for which there is no room.
func (l *lane) giveWay() *held {
	_, crowd := l.behind()
	q := l.waiting.last(crowd)
	h := l.waiting.remove(q, q.last)
	h.past |= crowd
	return h
}

// behind returns how many envelopes wait for slow stores, and those of the stores
// for which more than their share of the lane waits. The cache is not slow: who
// writes to it waits no longer than its client does, and what is not written is
// skipped.
func (l *lane) behind() (n int, crowd storeSet) {
	var slow storeSet
	atOnce := l.atOnce()
	after := slowAfter * time.Duration(l.writers/atOnce) // of fewer, one ends less often
	for p, writers := range l.writing {
		if writers < atOnce || Purpose(p) == Volatile || time.Since(l.began[p]) <= after {
			continue
		}
		alone := 0
		for _, q := range l.waiting.inOrder {
			if !q.writes.has(Purpose(p)) {
				continue
			}
			if alone += q.len; q.writes&slow == 0 {
				n += q.len // not counted yet
			}
		}
		slow = slow.with(Purpose(p))
		if alone > l.most/share {
			crowd = crowd.with(Purpose(p))
		}
	}
	return n, crowd
}

// crowd returns the slow stores for which more than their share of the lane waits.
func (l *lane) crowd() storeSet {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, crowd := l.behind()
	return crowd
}
