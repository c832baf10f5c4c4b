// Package embedded is the in-process cache: bounded by bytes, with a TTL per
// entry, compare-and-swap tokens and atomic counters. It needs no server and
// keeps nothing when the process ends.
//
//	cache, err := volatile.Open(ctx, embedded.New(nil), nil)
//
// By URL, once this package is imported:
//
//	embedded:              64 MB
//	embedded:?size=256MB   a size with kB, MB, GB, KiB, MiB or GiB
//
// # Bounds
//
// The size counts keys, values and 128 bytes of bookkeeping per entry. Up to
// it nothing is evicted, so a program (or a test) that stays below sees every
// entry until its TTL ends. Past it the entries that were used least, and
// least recently, go first; which ones exactly is not specified, and an entry
// that was just written may be among them. The bound is enforced beside the
// writes, and may be exceeded for an instant by what is being written.
package embedded
