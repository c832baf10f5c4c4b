package memcached

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// Probes of a member that is down begin soon and become rarer, so that it is
// back within a second of its return.
const (
	probeFirst = 50 * time.Millisecond
	probeMost  = 800 * time.Millisecond
	// mendAgain is when lost writes are mended a second time: a request that
	// ended unknown may still lie in a buffer of the server, and land after
	// the first.
	// With what sleep adds it is less than the second in which nothing stale may
	// be left.
	mendAgain = 750 * time.Millisecond
)

// mend starts the goroutine that probes the member and tells it what it
// missed, unless it runs; m.mu is held.
func (m *member) mend() {
	if m.mending {
		return
	}
	m.mending = true
	m.running.Go(func() {
		for delay := time.Duration(0); ; delay = min(max(2*delay, probeFirst), probeMost) {
			if !m.sleep(delay) || m.mended() {
				return
			}
		}
	})
}

// sleep waits about d; false when the member is closed.
func (m *member) sleep(d time.Duration) bool {
	if d > 0 {
		d += rand.N(d / 4)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-m.stop:
		return false
	case <-timer.C:
		return true
	}
}

// mended makes one attempt to tell the member what it missed; when it is down,
// to reach it first. true ends the goroutine.
func (m *member) mended() bool {
	m.mu.Lock()
	down, closed, lostAll := m.broken != nil, m.closed, m.lostAll
	long := down && time.Since(m.since) > m.outage && m.gen != ""
	old := m.gen
	m.mu.Unlock()
	if closed {
		return true
	}
	if lostAll {
		old = ""
	}
	if (long || lostAll) && !m.renew(old) {
		return false
	}
	if down {
		return m.comeBack()
	}
	ctx, cancel := context.WithTimeout(context.Background(), m.opts.Timeout)
	defer cancel()
	e, err := m.current(ctx)
	return err == nil && m.deleteLost(e) && m.rest()
}

// comeBack opens an epoch, deletes what was lost, and only then closes the
// breaker. Operations that come meanwhile wait: were they refused, they would
// be lost too, and a busy member would never be done.
func (m *member) comeBack() bool {
	e, err := m.establish()
	if err != nil {
		return false
	}
	m.mu.Lock()
	if m.opening != nil || m.closed {
		m.mu.Unlock()
		e.end()
		return false
	}
	o := &opening{done: make(chan struct{})}
	cause := m.broken
	m.opening, m.broken = o, nil
	m.mu.Unlock()

	mended := m.deleteLost(e)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !mended || m.lostAll {
		m.broken = cause
		err = cause
	}
	m.settle(o, e, err)
	return err == nil && m.restLocked()
}

// rest ends the goroutine when there is nothing left to tell.
func (m *member) rest() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.restLocked()
}

func (m *member) restLocked() bool {
	if len(m.lost) > 0 || m.lostAll || m.broken != nil {
		return false
	}
	m.mending = false
	return true
}

// renew gives the member a new generation in place of old, or of any when old
// is empty. That mends what was lost before; another process's new generation
// does not, for we may have lost writes since.
func (m *member) renew(old string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), m.opts.Timeout)
	defer cancel()
	nc, _, err := m.dial(ctx)
	if err != nil {
		return false
	}
	defer nc.Close()
	m.mu.Lock()
	lost := maps.Clone(m.lost)
	m.mu.Unlock()
	renewed, err := newPlain(nc, time.Now().Add(m.opts.Timeout)).renew(old)
	if err != nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if renewed {
		m.lostAll = false
		m.found(lost)
	}
	if m.epoch != nil {
		m.epoch.end()
		m.epoch = nil
	}
	return true
}

func (m *member) present() *epoch {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.epoch
}

// deleteLost deletes what the member may have missed; false when it failed.
func (m *member) deleteLost(e *epoch) bool {
	m.mu.Lock()
	lost := maps.Clone(m.lost)
	m.mu.Unlock()
	for key := range lost {
		if !deleted(e, key) {
			m.drop(e)
			return false
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.found(lost)
	if len(lost) > 0 && !m.closed {
		m.again(slices.Collect(maps.Keys(lost)))
	}
	return true
}

// found forgets what was lost, but for keys that were lost again since; m.mu
// is held.
func (m *member) found(lost map[string]uint64) {
	for key, loss := range lost {
		if m.lost[key] == loss {
			delete(m.lost, key)
		}
	}
}

// deleted deletes one key, without the ado of an operation.
func deleted(e *epoch, key string) bool {
	err := e.useOwn(context.Background(), func(l *lane) error { return l.client.Delete(wireKey(e.gen, key)) })
	return err == nil || errors.Is(err, memcache.ErrCacheMiss)
}

// again mends the same keys once more, later; m.mu is held.
func (m *member) again(keys []string) {
	m.running.Go(func() {
		if !m.sleep(mendAgain) {
			return
		}
		e := m.present()
		for _, key := range keys {
			if e == nil || !deleted(e, key) {
				return
			}
		}
	})
}
