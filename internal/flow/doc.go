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
// No process's time is less than what the store's clock shows and what the store
// keeps of how far it went back, together, and that of one which begins is just
// this sum. So a lease that is over by it is over for its owner, unless the sum has
// leapt ahead since the owner asked for it: because the clock did, be it that it was
// put right, or because it was told of that it had gone back. A lease is taken for
// over only by a time that was just asked for and is that sum, and when no leap of
// the sum was seen within that lease and the [Trusted] that an owner may not have
// asked for. Beyond anybody's knowledge are leaps before a process began, and
// a clock that is set twice between two of its questions.
package flow
