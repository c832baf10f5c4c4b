package memcached

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

func openAt(t testing.TB, opts Options, addresses ...string) *driver {
	t.Helper()
	d, err := New(addresses, &opts).OpenDriver(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d.(*driver)
}

// set, get and held are terse forms for these tests. ctx is the background: a
// call without an end of its own shows what the driver bounds.
func (d *driver) set(key, value string) error {
	return d.Set(context.Background(), []volatile.Item{{Key: key, Value: []byte(value)}})[0]
}

func (d *driver) get(key string) (string, error) {
	item, found, err := d.GetOne(context.Background(), key)
	if err == nil && !found {
		return "(miss)", nil
	}
	return string(item.Value), err
}

func (d *driver) want(t testing.TB, key, value string) {
	t.Helper()
	if got, err := d.get(key); got != value || err != nil {
		t.Errorf("%q holds %q, %v; want %q", key, got, err, value)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually asks until something holds: a real server takes part.
func eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// C14: a restart leaves stale connections in the pool. The caller sees no
// error: each is noticed before anything is sent.
func TestStaleConnectionsCostNothing_C14(t *testing.T) {
	s := startServer(t)
	d := openAt(t, Options{Timeout: patient}, s.addr)
	for round := range 3 {
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() { must(t, d.set(fmt.Sprintf("k%d", i), "v")) })
		}
		wg.Wait()
		s.restart()
		for i := range 30 {
			key := fmt.Sprintf("k%d", i)
			switch (i + round) % 3 { // each kind of operation is the first once
			case 1:
				must(t, d.set(key, "v"))
			case 2:
				if _, err := d.get(key); err != nil {
					t.Errorf("round %d: get: %v", round, err)
				}
			case 0:
				if err := d.Swap(context.Background(), volatile.Item{Key: key}); err != nil && !errors.Is(err, fault.ErrConflict) {
					t.Errorf("round %d: swap: %v", round, err)
				}
			}
		}
	}
}

// C1: a member that is dead costs its timeout once; then every call fails at
// once, until it is back, which is noticed within a second.
func TestDeadMemberCostsItsTimeoutOnce_C1(t *testing.T) {
	s := startServer(t)
	d := openAt(t, Options{Timeout: 300 * time.Millisecond}, s.addr)
	must(t, d.set("k", "v"))
	s.pause()
	start := time.Now()
	err := d.set("k", "w")
	if !fault.Unknown(err) {
		t.Errorf("a set without an answer: %v", err)
	}
	if took := time.Since(start); took < 250*time.Millisecond || took > 2*time.Second {
		t.Errorf("the first call took %v; the timeout is 300ms", took)
	}
	start = time.Now()
	for range 1000 {
		if _, err := d.get("k"); !errors.Is(err, fault.ErrUnavailable) {
			t.Fatalf("get: %v", err)
		}
		if err := d.set("k", "x"); !errors.Is(err, fault.ErrUnavailable) || fault.Unknown(err) {
			t.Fatalf("set: %v", err)
		}
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("2,000 calls to a dead member took %v", took)
	}
	s.resume()
	eventually(t, 5*time.Second, "the member is back", func() bool { _, err := d.get("k"); return err == nil })
}

// A member that nobody listens for fails at once, and works when it comes.
func TestMemberComesUpLate(t *testing.T) {
	s := startServer(t)
	s.kill()
	d := openAt(t, Options{Timeout: patient}, s.addr)
	if err := d.set("k", "v"); !errors.Is(err, fault.ErrUnavailable) || fault.Unknown(err) {
		t.Errorf("set: %v", err)
	}
	s.start()
	eventually(t, 5*time.Second, "the member is up", func() bool { return d.set("k", "v") == nil })
	d.want(t, "k", "v")
}

// C5: what a silent member missed, or did late, is not served when it returns:
// neither by the process that wrote, nor by another.
func TestSilentMemberReturnsWithNothingStale_C5(t *testing.T) {
	s := startServer(t)
	writer := openAt(t, Options{Timeout: 200 * time.Millisecond}, s.addr)
	reader := openAt(t, Options{Timeout: 200 * time.Millisecond}, s.addr)
	keys := []string{"set", "swap", "late", "skipped", "deleted"}
	tokens := map[string]volatile.Token{}
	for _, key := range keys {
		must(t, writer.set(key, "old"))
		item, _, err := writer.GetOne(context.Background(), key)
		must(t, err)
		tokens[key] = item.Token
		reader.want(t, key, "old")
	}
	must(t, writer.set("untouched", "old"))
	s.pause()
	ctx := context.Background()
	lost := []error{
		writer.set("set", "new"),
		writer.Swap(ctx, volatile.Item{Key: "swap", Value: []byte("new"), Token: tokens["swap"]}),
		writer.Swap(ctx, volatile.Item{Key: "late", Value: []byte("new")}),
		writer.set("skipped", "new"),
		writer.Delete(ctx, []string{"deleted"})[0],
	}
	for i, err := range lost {
		if err == nil {
			t.Errorf("write %d to a silent member succeeded", i)
		}
	}
	s.resume()
	eventually(t, time.Second, "nothing old is served", func() bool {
		for _, key := range keys {
			for _, d := range []*driver{writer, reader} {
				if got, err := d.get(key); err == nil && got == "old" {
					return false
				}
			}
		}
		_, err := writer.get("untouched")
		return err == nil
	})
	// Few lost writes do not cost the member its other entries.
	eventually(t, 5*time.Second, "the reader is back", func() bool { _, err := reader.get("untouched"); return err == nil })
	reader.want(t, "untouched", "old")
	if _, err := writer.get("set"); err != nil {
		t.Error(err)
	}
}

// C5: a request that was given up lies in a buffer of the server, and lands after
// what was lost has been deleted: it is deleted once more, within the second in
// which a member may serve what is old. Another is allowed for a machine that
// stands still.
func TestLateRequestIsDeletedAgain_C5(t *testing.T) {
	if most := mendAgain + mendAgain/4; most >= time.Second {
		t.Errorf("lost writes are deleted again after up to %v", most)
	}
	s := startServer(t)
	d := openAt(t, Options{Timeout: 200 * time.Millisecond}, s.addr)
	must(t, d.set("k", "older"))
	wire := wireKey(d.generation(), "k")
	s.pause()
	if err := d.set("k", "old"); !fault.Unknown(err) {
		t.Errorf("a set without an answer: %v", err)
	}
	s.resume()
	eventually(t, 5*time.Second, "the member is back", func() bool { got, err := d.get("k"); return err == nil && got == "(miss)" })
	back := time.Now()
	if _, err := s.plain().store("set", wire, "old", 0, 0); err != nil {
		t.Fatal(err)
	}
	if got, err := d.get("k"); got != "old" && time.Since(back) < mendAgain/2 {
		t.Errorf("what landed late is %q, %v", got, err)
	}
	eventually(t, 2*time.Second, "what landed late is gone", func() bool { got, err := d.get("k"); return err == nil && got == "(miss)" })
	t.Logf("it was there for %v", time.Since(back))
}

// A member that was away for long gets a new generation: nothing that it
// remembers is served, by another process after one second at most.
func TestLongOutageBeginsAGeneration(t *testing.T) {
	s := startServer(t)
	writer := openAt(t, Options{Timeout: 100 * time.Millisecond}, s.addr)
	writer.members[0].outage = 200 * time.Millisecond
	reader := openAt(t, Options{Timeout: patient}, s.addr)
	must(t, writer.set("k", "old"))
	reader.want(t, "k", "old")
	gen := writer.generation()
	s.pause()
	if _, err := writer.get("k"); err == nil {
		t.Fatal("a silent member answered")
	}
	eventually(t, 10*time.Second, "the outage is long, and no attempt to end it is older", func() bool {
		m := writer.members[0]
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.broken != nil && time.Since(m.since) > m.outage+2*m.opts.Timeout
	})
	s.resume()
	eventually(t, 2*time.Second, "the writer is back", func() bool {
		reader.get("k") // so it has just read the former generation
		_, err := writer.get("k")
		return err == nil
	})
	back := time.Now()
	writer.want(t, "k", "(miss)")
	// What counts is when a read begins: one that stands still on its way may end
	// later than a second after the writer's return.
	var stale time.Duration
	for since := time.Duration(0); since < 1200*time.Millisecond; since = time.Since(back) {
		got, err := reader.get("k")
		if err != nil || got != "(miss)" && got != "old" {
			t.Fatalf("the reader gets %q, %v", got, err)
		}
		if got == "old" {
			stale = since
		}
	}
	if t.Logf("a read that began %v after the writer's return was the last to find what is old", stale); stale > time.Second {
		t.Error("that is over a second")
	}
	settled := func(d *driver) func() bool { return func() bool { return d.set("after", "new") == nil } }
	eventually(t, 8*time.Second, "the writer has settled", settled(writer))
	eventually(t, 8*time.Second, "the reader has settled", settled(reader))
	if w, r := writer.generation(), reader.generation(); w == gen || w != r {
		t.Errorf("generations %q, then %q and %q", gen, w, r)
	}
	writer.want(t, "after", "new")
	reader.want(t, "after", "new")
}

// generation is the one of the first member. Each epoch that is verified in the
// background writes it anew.
func (d *driver) generation() string {
	m := d.members[0]
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.gen
}

// More lost writes than can be remembered cost a member all that it has.
func TestManyLostWritesBeginAGeneration(t *testing.T) {
	s := startServer(t)
	d := openAt(t, Options{Timeout: 200 * time.Millisecond}, s.addr)
	for _, key := range []string{"k0", fmt.Sprint("k", 2*lostMost-1), "other"} {
		must(t, d.set(key, "old"))
	}
	s.pause()
	for i := range 2 * lostMost {
		d.set(fmt.Sprint("k", i), "new")
	}
	s.resume()
	eventually(t, 8*time.Second, "the member has settled", func() bool { return d.set("after", "new") == nil })
	d.want(t, "k0", "(miss)")
	d.want(t, fmt.Sprint("k", 2*lostMost-1), "(miss)")
	d.want(t, "other", "(miss)")
}

// C17: after a flush by somebody else all processes agree within a second, and
// until then nobody fills in what another one's invalidation would miss.
func TestFlush_C17(t *testing.T) {
	s := startServer(t)
	one, two := openAt(t, Options{Timeout: patient}, s.addr), openAt(t, Options{Timeout: patient}, s.addr)
	must(t, one.set("k", "old"))
	two.want(t, "k", "old")
	if line, err := s.plain().ask("flush_all\r\n"); line != "OK" || err != nil {
		t.Fatal(line, err)
	}
	for _, d := range []*driver{one, two} {
		d.want(t, "k", "(miss)")
	}
	eventually(t, 3*time.Second, "both have a new generation", func() bool {
		one.get("k")
		two.get("k")
		a, b := one.members[0].present(), two.members[0].present()
		return a != nil && b != nil && a.gen == b.gen && a.number > 1 && b.number > 1
	})
	eventually(t, 8*time.Second, "it has settled", func() bool { return one.set("k", "new") == nil })
	eventually(t, 3*time.Second, "the other sees it", func() bool { got, _ := two.get("k"); return got == "new" })
}

// While a generation is young a write becomes a delete, so that no process
// can keep what another's write should have replaced.
func TestWritesWhileSettling(t *testing.T) {
	s := startServer(t)
	d := openAt(t, Options{Timeout: patient}, s.addr)
	must(t, d.set("k", "old"))
	e := d.members[0].present()
	e.held.Store(true)
	d.want(t, "k", "(miss)")
	if err := d.set("k", "new"); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("set: %v", err)
	}
	if _, err := d.Add(context.Background(), "n", 1, 0); !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("add: %v", err)
	}
	e.held.Store(false)
	d.want(t, "k", "(miss)")
}

// A dead member's share is a miss, not a remap: its keys are not moved to the
// others, and come back with it.
func TestDeadShareIsAMiss(t *testing.T) {
	a, b := startServer(t), startServer(t)
	d := openAt(t, Options{Timeout: patient}, a.addr, b.addr)
	var lost, kept []string
	for i := range 200 {
		key := fmt.Sprint("k", i)
		must(t, d.set(key, key))
		if d.member(key).addr.name == a.addr {
			lost = append(lost, key)
		} else {
			kept = append(kept, key)
		}
	}
	a.kill()
	items, err := d.Get(context.Background(), append(lost, kept...))
	if !errors.Is(err, fault.ErrUnavailable) || len(items) != len(kept) {
		t.Errorf("%d of %d entries, %v; want what the other member has, and the error", len(items), len(kept), err)
	}
	for _, key := range kept {
		d.want(t, key, key)
	}
	for _, key := range lost {
		if err := d.set(key, "new"); !errors.Is(err, fault.ErrUnavailable) {
			t.Fatalf("a write to the dead share: %v", err)
		}
	}
	report := d.Check(context.Background())
	if report.Reachable || len(report.Problems) != 1 || !strings.Contains(report.Problems[0], a.addr) {
		t.Errorf("check: %v", report)
	}
	a.start()
	eventually(t, 5*time.Second, "the member is back", func() bool { return d.set(lost[0], "new") == nil })
	d.want(t, lost[0], "new")
	d.want(t, lost[1], "(miss)")
}
