// Package volatile keeps data while it is useful. Any of it may be lost at any
// time and is rebuilt from normal operation or from long-term storage, so it
// lives in the fastest store there is: memcached, or a bounded cache in
// process. It is one of the four purposes of Fourfold and works alone.
//
// # The nouns
//
// A [Driver] is a server's bare cache: get, set, compare-and-swap, delete,
// counters. A [Source] opens one. A [Cache] over a driver holds versioned
// entries in which the newest version wins. Upon it stand the faces that
// programs use:
//
//   - [View]: values of one type, by key, rebuilt when they are lost
//   - [Limiter]: how often something may happen, with decay
//   - [Meter]: how many arrive per second, minute and hour, and which the most
//   - [Presence]: who is here now
//   - [Claims]: one of many processes works on something
//   - [Barrier]: so many parties go on together
//   - [Countdown]: every part of something is done
//
// All of them are shared by every process that uses the same server,
// [Options.Namespace] and name.
//
//	cache, err := volatile.Open(ctx, volatile.URL("memcached://h1:11211,h2:11211"), nil)
//	users, err := volatile.NewView(cache, "users", &volatile.ViewOptions[User]{
//		TTL:     time.Hour,
//		Rebuild: func(ctx context.Context, id string) (User, error) { return db.User(ctx, id) },
//	})
//	ann, err := users.Get(ctx, "ann")
//
// # Nothing old comes back
//
// A cache that is filled by readers and told by writers has a classic race: a
// reader loads version 1, a writer writes version 2 to the store of record and
// to the cache, and the slow reader puts version 1 over it. Here no write is
// blind. A reader that misses puts a placeholder of its own, loads, and fills
// by compare-and-swap over that very placeholder ([Cache.Fetch]); a writer
// that is done replaces what is there or takes the placeholder away
// ([Cache.Replace], [Cache.Invalidate]), and the fill fails. A placeholder
// that was evicted fails it too. The suite of package volatiletest tries every
// order of the steps.
//
// # One rebuilds
//
// The placeholder is a lease: who finds another's waits for it instead of
// loading too, and takes over when the lease ends ([Options.Lease]). Within a
// process the waiting readers share the answer. [Options.Rebuilds] bounds the
// loads that run at once and [Options.RebuildRate] those that begin per second,
// so that a cold cache does not knock over the store of record.
//
// [Keeping] says more about time: Stale lets readers have the old value, at
// once, while one rebuilds behind; Ahead rebuilds what is read often before it
// ends; Parts keeps a value that is larger than the server's limit. TTLs are
// spread by a tenth, an absence is remembered for [Options.Absence], and
// [View.GetAged] says how old a value is.
//
//	users, err := volatile.NewView(cache, "users", &volatile.ViewOptions[User]{
//		TTL: time.Hour, Ahead: 10 * time.Minute, Stale: time.Hour, Rebuild: load,
//	})
//
// # Many at once
//
// [Cache.WriteAll] does a group of writes in a round trip or two, each as safe as it
// is alone. What is asked of one limiter's key by many goroutines of a process
// is asked together.
//
// # Limits and their errors
//
// A limiter never lets through more than Burst and Events per Per, from however
// many goroutines and processes; the errors are what flows back in the
// difference of the processes' clocks, and a full burst for a key that the cache
// has lost. A meter's counts lack what the cache has lost, and take the oldest
// bucket of a window by its share. [Meter.Top] may miss a key that was never
// more than one in 257 of a minute's arrivals.
//
//	wait, err := calls.Allow(ctx, user+" "+route, cost)  // zero: it may pass
//	top, err := mentions.Top(ctx, time.Minute, 10)
//
// # Going on together
//
// A barrier and a countdown let processes on several machines wait for one
// another. Parties and parts have ids, so that a repeat counts once, and those
// who wait tell again what the cache may have lost.
//
//	err = phases.Wait(ctx, "run 42, loaded", hostname, machines)
//	err = shards.Done(ctx, "reindex 42", shard)
//	err = shards.Wait(ctx, "reindex 42", len(all))
//
// # A cache that is down
//
// A cache that cannot be reached is never an error where there is another way:
// Fetch and View.Get load and keep nothing, a limiter opens (or closes, by
// option), Presence.Members asks its Rebuild. [Cache.Stats] counts what was
// skipped. Writes return fault.ErrUnavailable, so that whoever must not leave
// an old entry behind can owe the invalidation; fault.ErrUnknown means that a
// write may land later, and compare-and-swap makes sure that it does no harm
// then.
//
// # Bytes
//
// An entry is a header of 30 bytes (format, flags, checksum over key and
// content, version, tie, time) and the value. Bytes under another format, or
// damaged, or stored under another key, are a miss.
package volatile
