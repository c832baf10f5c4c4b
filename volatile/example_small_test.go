package volatile_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

func ExampleClaimsOptions() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	// A holder that died is known to be gone after a minute.
	jobs, err := volatile.NewClaims(cache, "jobs", &volatile.ClaimsOptions{TTL: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	jobs.Acquire(ctx, "nightly")
	_, err = jobs.Acquire(ctx, "nightly")
	fmt.Println(errors.Is(err, fault.ErrConflict) || errors.Is(err, fault.ErrBusy))
	// Output: true
}

func ExampleLimiterOptions() {
	cache, ctx := open(), context.Background()
	// Passwords are not tried while nobody can count the tries.
	tries, err := volatile.NewLimiter(cache, "tries", volatile.Limit{Events: 5, Per: time.Hour, Burst: 5},
		&volatile.LimiterOptions{Closed: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tries.Allow(ctx, "ann", 1))
	cache.Close()
	_, err = tries.Allow(ctx, "ann", 1)
	fmt.Println(err != nil)
	// Output:
	// 0s <nil>
	// true
}

func ExampleRates() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	hits, err := volatile.NewMeter(cache, "hits")
	if err != nil {
		log.Fatal(err)
	}
	hits.Hit(ctx, "home", 60)
	rates, err := hits.Rates(ctx, "home")
	fmt.Println(rates.PerSecond, rates.Minute, rates.Hour, err)
	// Output: 2 60 60 <nil>
}

func ExampleArrivals() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	words, err := volatile.NewMeter(cache, "words")
	if err != nil {
		log.Fatal(err)
	}
	words.Hit(ctx, "goal", 9)
	words.Hit(ctx, "foul", 2)
	top, err := words.Top(ctx, time.Minute, 10)
	for _, a := range top {
		fmt.Println(a.Key, a.Count)
	}
	fmt.Println(err)
	// Output:
	// goal 9
	// foul 2
	// <nil>
}

func ExampleMember() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	guests, err := volatile.NewPresence(cache, "guests", nil)
	if err != nil {
		log.Fatal(err)
	}
	now := time.Now()
	guests.Enter(ctx, "café", volatile.Member{ID: "ann", Seen: now.Add(-time.Minute)})
	guests.Leave(ctx, "café", volatile.Member{ID: "bob", Seen: now})
	guests.Enter(ctx, "café", volatile.Member{ID: "bob", Seen: now.Add(-time.Second)}) // told late
	members, err := guests.Members(ctx, "café")
	for _, m := range members {
		fmt.Println(m.ID)
	}
	fmt.Println(err)
	// Output:
	// ann
	// <nil>
}

func ExamplePresenceOptions() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	// After a restart of the cache the last check-ins say who is there.
	guests, err := volatile.NewPresence(cache, "guests", &volatile.PresenceOptions{
		TTL: time.Hour,
		Rebuild: func(_ context.Context, venue string) ([]volatile.Member, error) {
			return []volatile.Member{{ID: "ann", Seen: time.Now().Add(-time.Minute)}, {ID: "bob", Seen: time.Now().Add(-2 * time.Hour)}}, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	members, err := guests.Members(ctx, "café")
	fmt.Println(len(members), members[0].ID, err)
	// Output: 1 ann <nil>
}

func ExampleWrite() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	entry := volatile.Entry{Value: []byte("new"), Stamp: volatile.Stamp{Version: 2}}
	for _, w := range cache.WriteAll(ctx, []volatile.Write{{Key: "a", Entry: entry, TTL: time.Minute}, {Key: "b", Entry: entry}}) {
		fmt.Println(w.Superseded, w.Err)
	}
	// Output:
	// false <nil>
	// false <nil>
}

func ExampleWriteMode() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	entry := volatile.Entry{Value: []byte("new"), Stamp: volatile.Stamp{Version: 2}}
	for _, mode := range []volatile.WriteMode{volatile.Replacing, volatile.Raising, volatile.Invalidating} {
		entry.Stamp.Version++
		cache.WriteAll(ctx, []volatile.Write{{Key: "k", Entry: entry, TTL: time.Minute, Mode: mode}})
		_, there, err := cache.Get(ctx, "k")
		fmt.Println(there, err)
	}
	// Output:
	// false <nil>
	// true <nil>
	// false <nil>
}

func ExampleWritten() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	version := func(v int64) []volatile.Write {
		return []volatile.Write{{Key: "k", Entry: volatile.Entry{Stamp: volatile.Stamp{Version: v}}, TTL: time.Minute}}
	}
	cache.WriteAll(ctx, version(7))
	late := cache.WriteAll(ctx, version(6))[0]
	fmt.Println(late.Superseded, late.Err)
	// Output: true <nil>
}
