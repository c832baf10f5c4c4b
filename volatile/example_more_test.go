package volatile_test

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/volatile"
)

func ExampleKeeping() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	// Fresh for an hour; what is read often is rebuilt in its last ten minutes,
	// behind the reader's back; and should the record be away, the old value is
	// served for another day. A value of many megabytes lies in parts.
	keep := volatile.Keeping{TTL: time.Hour, Ahead: 10 * time.Minute, Stale: 24 * time.Hour, Parts: true}
	load := func(context.Context) (volatile.Entry, error) {
		fmt.Println("reading the store of record")
		return volatile.Entry{Value: make([]byte, 5<<20), Stamp: volatile.Stamp{Version: 1}}, nil
	}
	for range 2 {
		e, err := cache.FetchKeeping(ctx, "map", keep, load)
		fmt.Println(len(e.Value), err)
	}
	// Output:
	// reading the store of record
	// 5242880 <nil>
	// 5242880 <nil>
}

func ExampleView_GetAged() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	weather, err := volatile.NewView(cache, "weather", &volatile.ViewOptions[string]{
		TTL: time.Hour, Stale: time.Hour,
		Rebuild: func(_ context.Context, place string) (string, error) { return "sunny", nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	sky, age, err := weather.GetAged(ctx, "Accra")
	fmt.Println(sky, age < time.Minute, err)
	// Output: sunny true <nil>
}

func ExampleCache_WriteAll() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	newer := volatile.Entry{Value: []byte("new"), Stamp: volatile.Stamp{Version: 2}}
	older := volatile.Entry{Value: []byte("old"), Stamp: volatile.Stamp{Version: 1}}
	out := cache.WriteAll(ctx, []volatile.Write{
		{Key: "a", Entry: newer, TTL: time.Minute},
		{Key: "b", Entry: newer, TTL: time.Minute},
		{Key: "a", Entry: older, TTL: time.Minute},
		{Key: "c", Entry: newer, Mode: volatile.Replacing}, // nothing is there to replace
	})
	for _, w := range out {
		fmt.Println(w.Superseded, w.Err)
	}
	found, err := cache.GetAll(ctx, []string{"a", "b", "c"})
	fmt.Println(len(found), string(found["a"].Value), err)
	// Output:
	// false <nil>
	// false <nil>
	// true <nil>
	// false <nil>
	// 2 new <nil>
}

func ExampleMeter_Top() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	mentions, err := volatile.NewMeter(cache, "mentions")
	if err != nil {
		log.Fatal(err)
	}
	mentions.Hit(ctx, "ghana", 5)
	mentions.Hit(ctx, "black stars", 12)
	mentions.Hit(ctx, "korea", 3)
	top, err := mentions.Top(ctx, time.Minute, 2)
	for _, a := range top {
		fmt.Println(a.Key, a.Count)
	}
	fmt.Println(err)
	// Output:
	// black stars 12
	// ghana 5
	// <nil>
}

func ExampleBarrier() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	phases, err := volatile.NewBarrier(cache, "phases", nil)
	if err != nil {
		log.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, machine := range []string{"h1", "h2", "h3"} { // each a process of its own
		wg.Go(func() {
			// … load this machine's share, then go on together
			if err := phases.Wait(ctx, "run 42, loaded", machine, 3); err != nil {
				log.Fatal(err)
			}
		})
	}
	wg.Wait()
	fmt.Println("all have loaded")
	// Output: all have loaded
}

func ExampleCountdown() {
	cache, ctx := open(), context.Background()
	defer cache.Close()
	shards, err := volatile.NewCountdown(cache, "shards", nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, shard := range []string{"a-h", "i-q", "a-h"} { // one was told twice
		shards.Done(ctx, "reindex 42", shard)
	}
	fmt.Println(shards.Left(ctx, "reindex 42", 3))
	shards.Done(ctx, "reindex 42", "r-z")
	fmt.Println(shards.Wait(ctx, "reindex 42", 3))
	// Output:
	// 1 <nil>
	// <nil>
}
