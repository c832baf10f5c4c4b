package persistence_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/volatile"
)

// shared is a cache that says other processes see it too, as a server's does.
type shared struct{ volatile.Driver }

func (s shared) Features() volatile.Features {
	f := s.Driver.(volatile.Featured).Features()
	f.Shared = true
	return f
}

// A process is one layer over stores that others use too, with a connection to
// the cache of its own.
type process struct {
	*testing.T
	faults *persistencetest.Faults
	layer  *persistence.Layer
	cached *persistence.Handle[visit]
}

// A herd is processes over the same stores.
type herd struct {
	*testing.T
	stores persistence.Stores
}

// inCrowd runs test in a bubble, once with debts in the transactional store and
// once in the amorphous one.
func inCrowd(t *testing.T, test func(c *herd)) {
	for _, name := range []string{"transactional", "amorphous"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				c := &herd{T: t, stores: embedded.Stores(dir)}
				source := c.stores.Volatile
				c.stores.Volatile = volatile.SourceFunc(func(ctx context.Context) (volatile.Driver, error) {
					d, err := source.OpenDriver(ctx)
					return shared{d}, err
				})
				if name == "amorphous" {
					c.stores.Transactional = nil
				}
				// The cache outlives its processes.
				keep, err := source.OpenDriver(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer keep.Close()
				test(c)
			})
		})
	}
}

// start starts a process. It dies with end, at the latest when the test ends.
func (c *herd) start() *process {
	c.Helper()
	p := &process{T: c.T, faults: persistencetest.NewFaults()}
	var err error
	if p.layer, err = persistence.Open(c.Context(), p.faults.Wrap(c.stores), nil); err != nil {
		c.Fatal(err)
	}
	p.cached = persistence.Declare(p.layer, "cached", persistence.Plan[visit]{
		{Priority: 0, Purpose: persistence.Volatile},
		{Priority: 0, Purpose: persistence.Amorphous},
	}, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	return p
}

func (p *process) put(venue string) {
	p.Helper()
	if _, err := p.cached.Put(p.Context(), visit{ID: "v", User: "ann", Venue: venue, At: time.Unix(1, 0).UTC()}); err != nil {
		p.Fatal(err)
	}
}

func (p *process) want(venue, when string) {
	p.Helper()
	if v, err := p.cached.Get(p.Context(), "v"); err != nil || v.Venue != venue {
		p.Errorf("%s: got %q, %v; want %q", when, v.Venue, err, venue)
	}
}

// left is what the cache holds.
func (p *process) left(old string) bool {
	e, there, err := p.layer.Volatile().Get(p.Context(), "cached:v")
	return err == nil && there && strings.Contains(string(e.Value), old)
}

func (p *process) end() {
	if err := p.layer.Close(); err != nil {
		p.Error(err)
	}
}

// "an invalidation is owed in custody": a process that ends while the cache is
// away leaves nobody the old entry.
func TestADebtOutlivesItsProcess(t *testing.T) {
	inCrowd(t, func(c *herd) {
		first := c.start()
		first.put("pier")
		first.want("pier", "before")
		first.faults.Down(persistence.Volatile)
		first.put("fair")
		first.end()
		second := c.start()
		defer second.end()
		second.want("fair", "at once in another process")
		time.Sleep(time.Second)
		if second.left("pier") {
			t.Error("the old entry is there after a second")
		}
		second.want("fair", "after a second")
		second.put("park")
		time.Sleep(time.Minute)
		if second.want("park", "a minute later"); !second.left("park") {
			t.Error("a debt that was paid is collected again, and again")
		}
	})
}

// A cache that is away for one process only: the others hear of its debts
// within a second.
func TestADebtIsPaidByWhoCan(t *testing.T) {
	inCrowd(t, func(c *herd) {
		cut, other := c.start(), c.start()
		defer cut.end()
		defer other.end()
		cut.put("pier")
		other.want("pier", "before")
		cut.faults.Down(persistence.Volatile)
		for _, venue := range []string{"fair", "park", "quay"} {
			cut.put(venue)
			time.Sleep(time.Second)
			other.want(venue, "a second later, in a process that is not cut off")
			cut.want(venue, "in the one that is")
		}
		cut.faults.Up(persistence.Volatile)
		time.Sleep(time.Second)
		cut.want("quay", "healed")
		if other.put("moor"); !other.left("moor") {
			t.Error("the cache is not used again")
		}
	})
}

// A layer at rest, with workers and with a cache that others share, touches its
// file a few times a minute, and not several times a second.
func TestALayerAtRestTouchesNothing(t *testing.T) {
	inCrowd(t, func(c *herd) {
		p := c.start()
		defer p.end()
		persistencetest.Work(c.T, p.layer)
		p.put("pier")
		p.want("pier", "at work")
		if p.layer.Transactional().Features().Name == "missing" {
			return // nobody counts the commits of an amorphous store
		}
		time.Sleep(time.Minute)
		before, _ := p.faults.Calls(persistence.Transactional)
		time.Sleep(10 * time.Minute)
		if calls, _ := p.faults.Calls(persistence.Transactional); calls-before > 100 {
			c.Errorf("in ten minutes at rest the transactional store was called %d times", calls-before)
		}
		p.want("pier", "after a rest")
	})
}

// A debt that cannot be written down leaves its task undone.
func TestADebtThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := &herd{T: t, stores: embedded.Stores(dir)}
		source := c.stores.Volatile
		c.stores.Volatile = volatile.SourceFunc(func(ctx context.Context) (volatile.Driver, error) {
			d, err := source.OpenDriver(ctx)
			return shared{d}, err
		})
		p := c.start()
		defer p.end()
		persistencetest.Work(t, p.layer)
		p.put("pier")
		p.faults.Down(persistence.Volatile)
		p.faults.Down(persistence.Transactional)
		r, err := p.cached.Put(t.Context(), visit{ID: "v", User: "ann", Venue: "fair", At: time.Unix(1, 0).UTC()})
		if r == nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if state, _ := r.State("volatile"); state != persistence.TaskPending {
			t.Error("the task is done, and nobody would know of the old entry")
		}
		p.want("fair", "meanwhile")
		p.faults.Up(persistence.Transactional)
		p.faults.Up(persistence.Volatile)
		time.Sleep(time.Minute)
		p.want("fair", "in the end")
		if p.left("pier") {
			t.Error("the old entry is still there")
		}
	})
}
