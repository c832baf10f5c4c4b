package volatiletest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

func newPresence(t testing.TB, c *volatile.Cache, opts *volatile.PresenceOptions) *volatile.Presence {
	t.Helper()
	p, err := volatile.NewPresence(c, "guests", opts)
	if err != nil {
		t.Fatalf("new presence: %v", err)
	}
	return p
}

// present lists who is there, as one string.
func present(t testing.TB, p *volatile.Presence, key string) string {
	t.Helper()
	members, err := p.Members(context.Background(), key)
	if err != nil {
		t.Fatalf("members: %v", err)
	}
	var ids []string
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	return strings.Join(ids, " ")
}

func checkPresence(t *testing.T, e *env) {
	p, other := newPresence(t, e.cache(t, nil), nil), newPresence(t, e.cache(t, nil), nil)
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	tell := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(ids string) {
		t.Helper()
		for _, p := range []*volatile.Presence{p, other} {
			if got := present(t, p, "pier"); got != ids {
				t.Errorf("%q are there; want %q", got, ids)
			}
		}
	}
	want("")
	tell(p.Enter(e.ctx, "pier", volatile.Member{ID: "ann", Seen: ago(3 * time.Minute)}))
	tell(other.Enter(e.ctx, "pier", volatile.Member{ID: "bob", Seen: ago(2 * time.Minute)}))
	tell(p.Enter(e.ctx, "pier", volatile.Member{ID: "cid", Seen: ago(14*time.Minute + 57*time.Second)}))
	tell(p.Enter(e.ctx, "pier", volatile.Member{ID: "old", Seen: ago(16 * time.Minute)}))
	want("bob ann cid")
	tell(p.Leave(e.ctx, "pier", volatile.Member{ID: "bob", Seen: ago(time.Minute)}))
	tell(p.Enter(e.ctx, "pier", volatile.Member{ID: "bob", Seen: ago(2 * time.Minute)}))
	tell(p.Leave(e.ctx, "pier", volatile.Member{ID: "ann", Seen: ago(4 * time.Minute)}))
	want("ann cid")
	tell(p.Enter(e.ctx, "pier", volatile.Member{ID: "bob", Seen: now.Add(time.Hour)}))
	want("bob ann cid")
	e.eventually(t, 8*time.Second, "cid has decayed", func() bool { return present(t, p, "pier") == "bob ann" })
	if got := present(t, p, "park"); got != "" {
		t.Errorf("%q are at another key", got)
	}
	for _, id := range []string{"", strings.Repeat("x", volatile.MaxMember+1)} {
		if err := p.Enter(e.ctx, "pier", volatile.Member{ID: id}); !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("enter of %s: %v", brief([]byte(id)), err)
		}
	}
}

func checkPresenceRebuild(t *testing.T, e *env) {
	var rebuilds atomic.Int64
	c := e.cache(t, nil)
	p := newPresence(t, c, &volatile.PresenceOptions{Rebuild: func(_ context.Context, key string) ([]volatile.Member, error) {
		rebuilds.Add(1)
		now := time.Now()
		return []volatile.Member{
			{ID: "ann", Seen: now.Add(-time.Minute)}, {ID: "gone", Seen: now.Add(-time.Hour)},
			{ID: "ann", Seen: now.Add(-2 * time.Minute)}, {ID: "bob", Seen: now.Add(-2 * time.Minute)},
		}, nil
	}})
	for i := range 3 {
		if err := p.Enter(e.ctx, "pier", volatile.Member{ID: fmt.Sprintf("new%d", i)}); err != nil {
			t.Fatal(err)
		}
		if got := present(t, p, "pier"); got != fmt.Sprintf("new%d ann bob", i) {
			t.Errorf("after loss %d: %q", i, got)
		}
		if rebuilds.Load() != int64(i+1) {
			t.Errorf("%d rebuilds after loss %d", rebuilds.Load(), i)
		}
		if err := e.lose(); err != nil {
			t.Fatal(err)
		}
	}
}

// lose deletes the entry of the presence "guests" at "pier", as an eviction
// would.
func (e *env) lose() error {
	return e.driver.Delete(e.ctx, []string{"ff.p.guests:pier"})[0]
}

func checkPresenceMany(t *testing.T, e *env) {
	var mu sync.Mutex
	var record []volatile.Member
	opts := &volatile.PresenceOptions{Rebuild: func(context.Context, string) ([]volatile.Member, error) {
		mu.Lock()
		defer mu.Unlock()
		return append([]volatile.Member(nil), record...), nil
	}}
	seen := &spy{Driver: e.open(t), keys: map[string]bool{}}
	spied, err := volatile.New(seen, nil)
	if err != nil {
		t.Fatal(err)
	}
	presences := []*volatile.Presence{newPresence(t, spied, opts), newPresence(t, e.cache(t, nil), opts)}
	total := e.size(3000, 700)
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			for i := worker; i < total; i += 16 {
				m := volatile.Member{ID: fmt.Sprintf("member-with-a-long-name-%05d", i), Seen: time.Now()}
				mu.Lock()
				record = append(record, m)
				mu.Unlock()
				if err := presences[i%2].Enter(e.ctx, "pier", m); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	lose := []func() error{e.lose, func() error { return seen.evict(e.ctx) }, func() error { return nil }}
	for i, what := range []string{"entered", "lost", "lost in part"} {
		for _, p := range presences {
			members, err := p.Members(e.ctx, "pier")
			if err != nil || len(members) != total {
				t.Errorf("%s: %d of %d members, %v", what, len(members), total, err)
			}
		}
		if err := lose[i](); err != nil {
			t.Fatal(err)
		}
	}
}

// A spy notes the keys that are read.
type spy struct {
	volatile.Driver
	mu   sync.Mutex
	keys map[string]bool
}

func (s *spy) Features() volatile.Features { return s.Driver.(volatile.Featured).Features() }

func (s *spy) Get(ctx context.Context, keys []string) ([]volatile.Item, error) {
	s.mu.Lock()
	for _, key := range keys {
		s.keys[key] = true
	}
	s.mu.Unlock()
	return s.Driver.Get(ctx, keys)
}

// evict deletes half of the shards that were read.
func (s *spy) evict(ctx context.Context) error {
	var keys []string
	for key := range s.keys {
		if strings.HasPrefix(key, "ff.ps.") {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return errors.New("the crowd was never split")
	}
	return errors.Join(s.Driver.Delete(ctx, keys[:len(keys)/2])...)
}
