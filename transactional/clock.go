package transactional

import (
	"context"
	"sync"
	"time"
)

// trusted is how long the server's clock is continued by ours before it is
// asked again.
const trusted = time.Second

// A clock tells the time that leases and due times are measured by. It never
// goes back: what the server's clock went back by is added to it, here and,
// through a row of ours, in every other process. Otherwise a clock that is put
// back by an hour would keep for an hour what waits for its time, and the
// leases of processes that have ended.
type clock struct {
	mu    sync.Mutex
	us    int64         // the time
	asked time.Time     // when we had it, by our monotonic clock
	back  int64         // what the server's clock went back by, as far as we know
	kept  int64         // of that, what the row has
	leapt time.Time     // when the server's clock was found to have leapt ahead
	lease time.Duration // the longest that was claimed here
}

// backName is the row that has what the server's clock went back by.
const backName = "clock back"

// now is the process clock where nobody else uses the database, else the
// server's: asked for every second, and continued in between, which spares a
// round trip. It never runs ahead of the server by more than two clocks drift
// apart in a second.
func (k *clock) now(ctx context.Context, s *Store, c Conn) (int64, error) {
	if !s.features.SharedLog {
		return time.Now().UnixMicro(), nil
	}
	k.mu.Lock()
	us, since := k.us, time.Since(k.asked)
	k.mu.Unlock()
	if us != 0 && since < trusted {
		return us + since.Microseconds(), nil
	}
	return k.ask(ctx, s, c)
}

// ask reads the server's clock.
func (k *clock) ask(ctx context.Context, s *Store, c Conn) (int64, error) {
	var us, back int64
	began := time.Now()
	err := c.Query(ctx, s.ours.clock, []any{backName}, func(scan func(...any) error) error { return scan(&us, &back) })
	if err != nil {
		return 0, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	k.kept, k.back = max(k.kept, back), max(k.back, back)
	us += k.back
	if k.us != 0 {
		// The answer may be as old as the question, and no older.
		if behind := k.us + began.Sub(k.asked).Microseconds() - us; behind > trusted.Microseconds() {
			k.back += behind
			us += behind
		}
		if us-k.us > (now.Sub(k.asked) + trusted).Microseconds() {
			k.leapt = now
		}
	}
	k.us, k.asked = us, now
	return us, nil
}

// keepBack tells the other processes what the server's clock went back by.
func (s *Store) keepBack(ctx context.Context) error {
	k := &s.clock
	k.mu.Lock()
	back, kept := k.back, k.kept
	k.mu.Unlock()
	if back <= kept {
		return nil
	}
	level, err := s.Raise(ctx, backName, back)
	if err != nil {
		return err
	}
	s.opts.Logger.Warn("the database's clock went back; leases and due times go on as if it had not", "by", time.Duration(back-kept)*time.Microsecond)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept, k.back = max(k.kept, level), max(k.back, level)
	return nil
}

// continued is the server's time as far as it is known without asking, else
// ours.
func (k *clock) continued() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if k.us == 0 {
		return now.UTC()
	}
	return fromMicros(k.us + now.Sub(k.asked).Microseconds())
}

// leased notes how long a claim may last.
func (k *clock) leased(lease time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lease = max(k.lease, lease)
}

// unsettled reports whether the server's clock leapt ahead less than a lease
// ago: then a lease that seems to be over may have an owner that lives, and
// renews it by the new time.
func (k *clock) unsettled() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.leapt.IsZero() && time.Since(k.leapt) < k.lease
}
