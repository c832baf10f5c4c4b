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
//
// The sum of the store's clock and of what the store keeps of how far that went
// back is the time of a process that begins, and no process's time is less. So a
// lease that is over by the sum is over for its owner, unless the sum has leapt ahead
// since the owner asked for the time: the clock leapt, be it that it was put right,
// or others were told that it had gone back. Therefore a lease is taken for over only
// by a time that was just asked for and is the sum, and that saw no leap of it for as
// long as a lease lasts and the [Trusted] for which its owner may not have asked.
// What nobody can know are leaps before it began, and that the clock was set and
// put right between two of its questions.
package flow
