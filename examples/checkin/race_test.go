//go:build race

package main

// underRace: the race detector takes time and memory of its own.
const underRace = true
