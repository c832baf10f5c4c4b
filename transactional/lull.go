package transactional

import (
	"context"
	"database/sql"
	"math"
	"strings"
	"sync"
	"time"
)

// Whoever works on an outbox looks into it every second: for what other
// processes put there, for what is due again, for claims that nobody renews.
// Where all that changes a database goes through this process, a look that
// found nothing finds nothing until something was committed, or until the
// moment at which time alone makes something due. So a layer at rest does not
// touch its file.

// lullMost is how long such a look is believed at most: somebody may have
// written into the file by hand, and a commit whose outcome nobody knows may
// yet come to light.
const lullMost = 30 * time.Second

// maxLulls bounds how many looks are remembered. A layer has three.
const maxLulls = 64

// A lull is a look that found nothing.
type lull struct {
	commits uint64    // how many there were before it
	at      time.Time // when it began
	until   int64     // when something is due by itself, Unix microseconds
}

// lulls are the looks that found nothing, by what they looked for.
type lulls struct {
	mu sync.Mutex
	by map[string]lull
}

// Commits is the driver's count (see Counting), and false where it has none: then
// others may write there too, and what was not found must be looked for again.
func (s *Store) Commits() (n uint64, ok bool) {
	if counting, ok := s.driver.(Counting); ok {
		return counting.Commits()
	}
	return 0, false
}

// lull begins a look, and reports whether it would find nothing again. The
// returned function is called when it found nothing, with the moment at which
// it may find something by itself.
func (s *Store) lull(look string) (still bool, found func(until int64)) {
	n, counts := s.Commits()
	if !counts {
		return false, func(int64) {}
	}
	now := time.Now()
	l := &s.lulls
	l.mu.Lock()
	defer l.mu.Unlock()
	last, there := l.by[look]
	if there && last.commits == n && now.Sub(last.at) < lullMost && now.UnixMicro() < last.until {
		return true, nil
	}
	return false, func(until int64) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.by == nil || len(l.by) >= maxLulls {
			l.by = map[string]lull{}
		}
		l.by[look] = lull{commits: n, at: now, until: until}
	}
}

// looksFor names a look into lanes.
func looksFor(lanes []string) string { return strings.Join(lanes, "\x00") }

// earliest is the least of the n times that a query returns in one row; those
// that are NULL never come.
func earliest(ctx context.Context, c Conn, query string, n int) (int64, error) {
	next := int64(math.MaxInt64)
	err := c.Query(ctx, query, nil, func(scan func(...any) error) error {
		times, into := make([]sql.NullInt64, n), make([]any, n)
		for i := range times {
			into[i] = &times[i]
		}
		err := scan(into...)
		for _, t := range times {
			if t.Valid {
				next = min(next, t.Int64)
			}
		}
		return err
	})
	return next, err
}
