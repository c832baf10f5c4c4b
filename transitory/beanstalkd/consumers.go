package beanstalkd

import (
	"context"
	"slices"
	"sync"
	"time"
)

// unused is how long a connection that reserves stays open for nobody.
const unused = 30 * time.Second

// consumers are the reserving connections of one server, at most limit of them.
type consumers struct {
	limit int

	mu      sync.Mutex
	all     map[*consumer]bool
	idle    map[string][]*consumer // free ones, by their set of tubes; the last one was used last
	opening int
	freed   chan struct{} // closed, and made anew, when one becomes free or goes
}

func (p *consumers) init(limit int) {
	p.limit, p.all, p.idle, p.freed = limit, map[*consumer]bool{}, map[string][]*consumer{}, make(chan struct{})
}

// free lays a consumer aside for the next call, if it still is in a state. After
// a time in which many were needed, one that nobody has used since goes each time.
func (p *consumers) free(c *consumer, from state) {
	if c.link.isBroken() {
		c.discard()
		return
	}
	p.layAside(c, from)
	if old := p.popUnused(); old != nil {
		old.discard()
	}
}

func (p *consumers) layAside(c *consumer, from state) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != from || len(c.held) > 0 {
		return
	}
	_ = c.link.wire.SetDeadline(time.Time{})
	c.state, c.since = idle, time.Now()
	p.idle[c.key] = append(p.idle[c.key], c)
	p.wake()
}

func (p *consumers) remove(c *consumer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, c)
	p.wake()
}

func (p *consumers) wake() {
	close(p.freed)
	p.freed = make(chan struct{})
}

// parked attaches a call to a consumer that waits for these tubes, for nobody.
func (p *consumers) parked(key string, to *call) *consumer {
	for _, c := range p.of(key) {
		if c.attach(to, waiting) {
			return c
		}
	}
	return nil
}

// cutParked ends the consumers that wait for these tubes, for nobody.
func (p *consumers) cutParked(key string) {
	for _, c := range p.of(key) {
		c.cutParked()
	}
}

// of lists the consumers of one set of tubes.
func (p *consumers) of(key string) []*consumer {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*consumer
	for c := range p.all {
		if c.key == key {
			out = append(out, c)
		}
	}
	return out
}

// acquire returns a free consumer for the tubes: one that is there, else a new
// one, else one that waits for its turn as long as ctx lets it.
func (s *server) acquire(ctx context.Context, key string, tubes []string) (*consumer, error) {
	p := &s.consumers
	for {
		c, stale, open, freed := p.next(key)
		if stale != nil {
			stale.discard()
			continue
		}
		if c != nil {
			if c.link.usable() {
				return c, nil
			}
			c.discard()
			continue
		}
		if open {
			return s.openConsumer(ctx, key, tubes)
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.driver.ctx.Done():
			return nil, errClosed("reserve")
		}
	}
}

// next is a free consumer, or one of other tubes that has to make room, or
// leave to open one, or a channel to wait on.
func (p *consumers) next(key string) (c, stale *consumer, open bool, freed chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.pop(key); c != nil {
		return c, nil, false, nil
	}
	if len(p.all)+p.opening < p.limit {
		p.opening++
		return nil, nil, true, nil
	}
	for other := range p.idle {
		if c := p.pop(other); c != nil {
			return nil, c, false, nil
		}
	}
	return nil, nil, false, p.freed
}

func (p *consumers) pop(key string) *consumer {
	list := p.idle[key]
	if len(list) == 0 {
		delete(p.idle, key)
		return nil
	}
	c := list[len(list)-1]
	p.idle[key] = list[:len(list)-1]
	c.take()
	return c
}

// popUnused takes a consumer that has been idle for too long, or nil.
func (p *consumers) popUnused() *consumer {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, list := range p.idle {
		if len(list) > 0 && time.Since(list[0].since) > unused {
			c := list[0]
			p.idle[key] = slices.Delete(list, 0, 1)
			c.take()
			return c
		}
	}
	return nil
}

func (c *consumer) take() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = taken
}

// openConsumer dials; the place for it is already taken.
func (s *server) openConsumer(ctx context.Context, key string, tubes []string) (*consumer, error) {
	p := &s.consumers
	l, err := s.dial(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opening--
	if err != nil {
		p.wake()
		return nil, err
	}
	c := newConsumer(s, l, tubes, key)
	p.all[c] = true
	s.driver.register(c)
	return c, nil
}
