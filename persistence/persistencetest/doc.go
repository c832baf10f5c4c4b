// Package persistencetest helps programs to test their own use of a layer, in
// process, with no server.
//
//	func TestCheckin(t *testing.T) {
//		layer := persistencetest.Open(t)
//		game := newGame(layer) // declares the program's kinds
//		game.checkins.Put(t.Context(), Checkin{ID: "c1", User: "ann"})
//		persistencetest.Drain(t, layer)
//		// … look at what the handlers did
//	}
//
// [Open] gives a layer over the four in-process stores in a directory of the
// test's own. It is closed when the test ends, and a test that leaves tasks
// unfinished, or dead letters unseen, fails: work that nobody looked at is a
// bug that nobody saw.
//
// # Stores that fail
//
// A [Faults] stands between the layer and its stores:
//
//	faults := persistencetest.NewFaults()
//	layer := persistencetest.Open(t, persistencetest.Options{Faults: faults})
//	faults.Down(persistence.Amorphous) // as if its server were gone
//	faults.Up(persistence.Amorphous)
//	faults.Unknown(persistence.Transactional, 1) // applied, but the answer is lost
//	faults.Refuse(persistence.Amorphous, func(op persistencetest.Op) error { … })
//
// Faults are injected at the seam between a purpose and its driver, so that
// everything above behaves as it would with a server that does the same.
//
// # A process that is killed
//
// [Crash] runs a [Scenario] in child processes, which are the test binary
// itself, and kills them: at each of the named points in this module at which a
// kill could lose or double something, and at random moments. After each kill
// the program is started again on the same directory, drains what is left, and
// is checked against everything that it had acknowledged before. See [Crash]
// for the flags.
package persistencetest
