package transactional

import (
	"context"
	"math/rand/v2"
	"time"
)

// busyAttempts bounds how often a unit is run again when the database says
// that it is busy.
const busyAttempts = 10

// backoff waits before another attempt and reports whether there should be
// one. Waits grow from about one to about 64 ms, with full jitter, because
// those who deadlocked once must not meet again.
func backoff(ctx context.Context, attempt int) bool {
	if attempt+1 >= busyAttempts {
		return false
	}
	timer := time.NewTimer(rand.N(time.Millisecond << min(attempt+1, 6)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
