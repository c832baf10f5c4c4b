// Package sim replays histories of the engine's decisions under every answer
// that a store can give, with processes that are killed and paused, leases that
// end, and clocks that jump. What happens next is drawn from a seed, one choice
// after the other, so that a seed gives the same history byte for byte, and a
// failing history can be cut down to the choices that matter.
//
// A world runs the step functions that the engine runs, and nothing else:
// package flow's runs, settlements and custody, package hlc's versions. An outbox
// runs package transactional over a SQLite file beside flow's custody, and
// compares each answer and all rows after each event: what the steps say is what
// the statements do. A clocks is a store's clock that is set, and processes that
// lease by it: flow's StoreClock and nothing else, of which twenty are played for
// each world.
//
//	go test ./internal/sim -args -sim.seeds=20000 -sim.outbox=20000 -sim.first=1
package sim
