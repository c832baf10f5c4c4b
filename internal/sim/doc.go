// Package sim replays histories of the engine's decisions under every answer
// that a store can give, with processes that are killed and paused, leases that
// end, and clocks that jump. It runs the step functions that the engine runs:
// package flow's runs and settlements, package hlc's versions. Custody is a
// model of the outbox's rules (claims, leases, sequence fences), which
// transactionaltest holds the real stores to. What happens next is drawn from a
// seed, one choice after the other, so that a seed gives the same history byte
// for byte, and a failing history can be cut down to the choices that matter.
//
//	go test ./internal/sim -args -sim.seeds=20000 -sim.first=1
package sim
