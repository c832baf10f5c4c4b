package servertest_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/servertest"
	_ "github.com/fourfold-dev/fourfold/volatile/memcached"
)

type profile struct {
	ID   string `persistence:"key"`
	Name string
}

// A process is a layer of its own on the same servers.
type process struct {
	*testing.T
	layer    *persistence.Layer
	profiles *persistence.Handle[profile]
}

func open(t *testing.T, servers *servertest.Servers) *process {
	t.Helper()
	layer, err := persistence.Open(t.Context(), servers.Stores(), servers.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { layer.Close() })
	p := &process{T: t, layer: layer}
	p.profiles = persistence.Declare(layer, "profile", persistence.Plan[profile]{
		{Name: "row", Purpose: persistence.Transactional},
		{Name: "cache", Purpose: persistence.Volatile, TTL: time.Hour},
	})
	if err := layer.CreateSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

const profiles = 60

func keyOf(i int) string { return fmt.Sprintf("p%02d", i) }

func (p *process) put(name string) {
	p.Helper()
	for i := range profiles {
		if _, err := p.profiles.Put(p.Context(), profile{ID: keyOf(i), Name: name}); err != nil {
			p.Fatalf("put of %s: %v", keyOf(i), err)
		}
	}
}

// want reads all profiles, which must have this name.
func (p *process) want(name, when string) {
	p.Helper()
	for i := range profiles {
		got, err := p.profiles.Get(p.Context(), keyOf(i))
		if err != nil || got.Name != name {
			p.Fatalf("%s: %s is %q, %v; want %q", when, keyOf(i), got.Name, err, name)
		}
	}
}

// watch reads all profiles for a while, and says how long after the cache's return
// an old one was read: when that read began, for the machine may stand still in
// the middle of one.
func (p *process) watch(name, who string, back time.Time, allowed, lasts time.Duration) {
	var last time.Duration
	old := 0
	for i := 0; time.Since(back) < lasts; i++ {
		began := time.Since(back)
		got, err := p.profiles.Get(p.Context(), keyOf(i%profiles))
		if err != nil {
			p.Errorf("%v after the return, in %s: %s: %v", began, who, keyOf(i%profiles), err)
			return
		}
		if got.Name == name {
			continue
		}
		old, last = old+1, began
		if began > allowed {
			p.Errorf("%v after the return, in %s: %s is %q; want %q", began, who, keyOf(i%profiles), got.Name, name)
			return
		}
	}
	p.Logf("in %s %d old profiles were read, the last of them %v after the return; allowed is %v", who, old, last, allowed)
}

// Three memcacheds. One stops, with all that it remembers, and comes back; one
// is killed, and comes back empty. Nothing that was overwritten meanwhile is
// served: never by the process that wrote, and by another one after a second at
// most. Reads and writes go on.
func TestOneOfThreeCachesLeavesAndComesBack(t *testing.T) {
	servers := servertest.Start(t, servertest.Options{
		Purposes: []persistence.Purpose{persistence.Volatile, persistence.Transactional},
		Nodes:    map[persistence.Purpose]int{persistence.Volatile: 3}, Own: true,
	})
	writer, reader := open(t, servers), open(t, servers)
	writer.put("first")
	writer.want("first", "before")
	reader.want("first", "before")

	servers.Pause(persistence.Volatile, 1)
	writer.put("second") // a third of the cache's entries stay as they were
	writer.want("second", "while a member is stopped")
	reader.want("second", "while a member is stopped")
	servers.Resume(persistence.Volatile, 1)
	back := time.Now()
	var watching sync.WaitGroup
	watching.Go(func() { writer.watch("second", "the process that wrote", back, 0, 2*time.Second) })
	watching.Go(func() { reader.watch("second", "another process", back, time.Second, 2*time.Second) })
	watching.Wait()
	open(t, servers).want("second", "in a process that began later")

	servers.Kill(persistence.Volatile, 2)
	writer.put("third")
	writer.want("third", "while a member is dead")
	reader.want("third", "while a member is dead")
	servers.Restart(persistence.Volatile, 2)
	back = time.Now()
	watching.Go(func() { writer.watch("third", "the process that wrote", back, 0, 1500*time.Millisecond) })
	watching.Go(func() { reader.watch("third", "another process", back, 0, 1500*time.Millisecond) })
	watching.Wait()
}

// A writer that ends while the cache is stopped owes it what it could not say:
// another process pays, and serves nothing old a second after the cache is
// back, nor does one that begins then.
func TestWhatADeadWriterOwedIsPaid(t *testing.T) {
	servers := servertest.Start(t, servertest.Options{
		Purposes: []persistence.Purpose{persistence.Volatile, persistence.Transactional}, Own: true,
	})
	writer, reader := open(t, servers), open(t, servers)
	writer.put("first")
	reader.want("first", "before")
	servers.Pause(persistence.Volatile)
	writer.put("second")
	if err := writer.layer.Close(); err != nil {
		t.Error(err)
	}
	servers.Resume(persistence.Volatile)
	back := time.Now()
	open(t, servers).want("second", "in a process that began when the writer was dead")
	for time.Since(back) < 2*time.Second {
		if began := time.Now(); began.Sub(back) > time.Second {
			reader.want("second", "a second after the cache is back, in a process that was there all the time")
		}
	}
}
