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
	mendAgain = time.Second
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

// mended makes one attempt to reach the member and to tell it what it missed.
// Only then the breaker closes.
func (m *member) mended() bool {
	m.mu.Lock()
	long := m.broken != nil && time.Since(m.since) > m.outage && m.gen != ""
	lostAll, old := m.lostAll, m.gen
	m.mu.Unlock()
	if lostAll {
		old = ""
	}
	if (long || lostAll) && !m.renew(old) {
		return false
	}
	e, err := m.reach(m.present())
	if err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.broken == nil {
			m.trip(err)
		}
		return m.closed
	}
	return m.deleteLost(e)
}

func (m *member) present() *epoch {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.epoch
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
		for key := range lost {
			delete(m.lost, key)
		}
	}
	if m.epoch != nil {
		m.epoch.end()
		m.epoch = nil
	}
	return true
}

// deleteLost deletes what the member may have missed, then closes the breaker;
// false when there is something left to do.
func (m *member) deleteLost(e *epoch) bool {
	m.mu.Lock()
	keys := slices.Collect(maps.Keys(m.lost))
	m.mu.Unlock()
	for _, key := range keys {
		if !deleted(e, key) {
			m.drop(e)
			return false
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range keys {
		delete(m.lost, key)
	}
	m.broken = nil
	if len(m.lost) > 0 || m.lostAll {
		return false
	}
	m.mending = false
	if len(keys) > 0 && !m.closed {
		m.again(keys)
	}
	return true
}

// deleted deletes one key, without the ado of an operation.
func deleted(e *epoch, key string) bool {
	err := e.client.Delete(wireKey(e.gen, key))
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
