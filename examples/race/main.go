// The race program does the same fan-out of a check-in twice, by hand and by
// Fourfold, on the same four servers, in turn, and prints how fast each was.
//
//	go run ./examples/race          five rounds on four servers that it starts
//	go run ./examples/race -help    servers by URL, fewer rounds, JSON, and the rest
//
// Per check-in, both sides write a row of a table with an index, a cache entry
// that lives an hour, two rows of a wide-column store (the user's activity, and
// the check-in itself), and have two follow-up jobs done. byhand.go is what one
// writes with the servers' clients alone, fourfold.go what one writes with the
// layer. After each lap every store is read back, on both sides.
package main

import "os"

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
