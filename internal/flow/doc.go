// Package flow decides what happens next to an accepted object: which of its
// tasks run now, which wait, which are dead, and where the envelope goes. It is
// made of step functions: state and event in, state and action out. It reads no
// clock, starts no goroutine and touches no store, so that a seeded scheduler
// can replay any history byte for byte.
//
// A [Run] is the state of one envelope in a worker's hands. The worker calls
// Begin, does what the returned [Action] says, and reports with Ended and
// Looked until the action is Settle, Pass or GiveBack:
//
//	Begin ─► Start ─► (tasks run side by side) ─► Ended … Ended
//	                                                        │
//	              ┌──────── Looked(false) ◄─── Look ◄───────┤ a class remains
//	              ▼                             │           ├─► Pass   (to a background worker)
//	            Start                 Looked(true)          └─► Settle (nothing is due)
//	                                            └─► GiveBack
//
// A [Custody] is the state of one envelope's record in an outbox: who may have
// it, and when. Its steps are claims, leases, settlements behind their fence, and
// what a sweep does. A [StoreClock] is the time that all of these are measured by.
package flow
