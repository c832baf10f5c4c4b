package volatile

import "sync/atomic"

// Stats counts what a Cache did since it was opened. Every count only grows.
type Stats struct {
	Hits       uint64 // reads that found an entry, remembered absences included
	Misses     uint64 // reads that found none
	Stale      uint64 // reads that were given the old value while somebody rebuilds
	Ahead      uint64 // reads that found an entry near its end and rebuilt it behind
	Loads      uint64 // calls of load
	Waits      uint64 // readers that waited for another one's rebuild
	Takeovers  uint64 // rebuilds taken over from a reader that was gone
	Skipped    uint64 // reads and fills that went without the cache because it could not be reached
	Refused    uint64 // fills not kept because something newer came in between
	Superseded uint64 // writes that found something newer
	TooLarge   uint64 // values over the driver's limit
	Foreign    uint64 // bytes that were no entry of ours: damage, a later format, another program
}

// counters are Stats in the making.
type counters struct {
	hits, misses, stale, ahead, loads, waits, takeovers, skipped, refused, superseded, tooLarge, foreign atomic.Uint64
}

func (c *counters) snapshot() Stats {
	return Stats{
		Hits: c.hits.Load(), Misses: c.misses.Load(), Stale: c.stale.Load(), Ahead: c.ahead.Load(), Loads: c.loads.Load(),
		Waits: c.waits.Load(), Takeovers: c.takeovers.Load(), Skipped: c.skipped.Load(), Refused: c.refused.Load(),
		Superseded: c.superseded.Load(), TooLarge: c.tooLarge.Load(), Foreign: c.foreign.Load(),
	}
}
