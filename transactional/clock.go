package transactional

import (
	"context"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/internal/flow"
)

// A clock tells the time that leases and due times are measured by. It never
// goes back: what the server's clock went back by is added to it, here and,
// through a row of ours, in every other process. Otherwise a clock that is put
// back by an hour would keep for an hour what waits for its time, and the
// leases of processes that have ended.
type clock struct {
	mu    sync.Mutex
	began time.Time // the moments of state count from here, by our monotonic clock
	state flow.StoreClock

	watched bool  // sweeps follow each other every second
	swept   int64 // the time of the last sweep
	gap     bool  // there was none for so long that owners may have missed a renewal
	gapAt   int64 // the moment at which that was seen
	before  int64 // the time of the last sweep before it
}

// backName is the row that has what the server's clock went back by.
const backName = "clock back"

// at is the moment, by our own clock. The mutex is held.
func (k *clock) at() int64 {
	if k.began.IsZero() {
		k.began = time.Now()
	}
	return time.Since(k.began).Microseconds()
}

// now is the process clock where nobody else uses the database, else the
// server's: asked for every second, and continued in between, which spares a
// round trip. It never runs ahead of the server by more than two clocks drift
// apart in a second.
func (k *clock) now(ctx context.Context, s *Store, c Conn) (int64, error) {
	if us, trusted := k.known(); trusted {
		return us, nil
	}
	return k.ask(ctx, s, c)
}

// known is the server's clock, if it need not be asked.
func (k *clock) known() (us int64, trusted bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.Continued(k.at())
}

// ask is now, asked for whatever is known: the server's clock may have gone back
// since, and who began after that leases by it. So nothing is taken from anybody by
// a time that was not asked for.
func (k *clock) ask(ctx context.Context, s *Store, c Conn) (int64, error) {
	if !s.features.SharedLog {
		return time.Now().UnixMicro(), nil
	}
	k.mu.Lock()
	asked := k.at()
	k.mu.Unlock()
	var us, back int64
	err := c.Query(ctx, s.ours.clock, []any{backName}, func(scan func(...any) error) error { return scan(&us, &back) })
	if err != nil {
		return 0, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state = k.state.Answered(asked, k.at(), us, back)
	return k.state.Time, nil
}

// keepBack tells the other processes what the server's clock went back by.
func (s *Store) keepBack(ctx context.Context) error {
	k := &s.clock
	k.mu.Lock()
	back, kept := k.state.Untold(), k.state.Kept
	k.mu.Unlock()
	if back == 0 {
		return nil
	}
	level, err := s.Raise(ctx, backName, back)
	if err != nil {
		return err
	}
	s.opts.Logger.Warn("the database's clock went back; leases and due times go on as if it had not", "by", time.Duration(back-kept)*time.Microsecond)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state = k.state.Told(k.at(), level)
	return nil
}

// continued is the server's time as far as it is known without asking, else
// ours.
func (k *clock) continued() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.state.Time == 0 {
		return time.Now().UTC()
	}
	us, _ := k.state.Continued(k.at())
	return fromMicros(us)
}

// leased notes how long a claim may last.
func (k *clock) leased(lease time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state = k.state.Leased(lease.Microseconds())
}

// watch forgets the last sweep: from now on others follow every second.
func (k *clock) watch() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.watched, k.swept = true, 0
}

// sweeps notes that a sweep goes by this time. When the last one was so long ago
// that owners may have missed a renewal, this machine was suspended, or the server
// was away, and they with it. It is told the very time that is swept by, for a
// process may be stopped between any two statements.
func (k *clock) sweeps(now int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.watched && k.swept != 0 && now-k.swept > max(k.state.Lease/3, 2*flow.Trusted) {
		k.gap, k.gapAt, k.before = true, k.at(), k.swept
	}
	k.swept = max(k.swept, now)
}

// over is the time up to which a lease is over for certain. That is now, but while
// the server's clock is unsettled none is, and for as long as a lease lasts after a
// gap it is the time before: what has ended since may have an owner that lives, and
// renews it.
func (k *clock) over(now int64) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch at := k.at(); {
	case k.state.Unsettled(at):
		return 0
	case k.gap && at-k.gapAt < k.state.Lease:
		return min(now, k.before)
	}
	return now
}
