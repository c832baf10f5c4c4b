package transactional

import (
	"context"
	"sync"
	"time"
)

// trusted is how long the server's clock is continued by ours before it is
// asked again.
const trusted = time.Second

// A clock tells the time that leases and due times are measured by.
type clock struct {
	mu    sync.Mutex
	us    int64     // the server's time
	asked time.Time // when we had it, by our monotonic clock
}

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
	var us int64
	err := c.Query(ctx, s.ours.clock, nil, func(scan func(...any) error) error { return scan(&us) })
	if err != nil {
		return 0, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.us, k.asked = us, time.Now()
	return us, nil
}
