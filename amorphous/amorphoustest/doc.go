// Package amorphoustest is the contract of package amorphous made executable:
// one suite that every driver passes.
//
//	func TestConformance(t *testing.T) {
//		amorphoustest.Run(t, amorphoustest.Harness{Source: embedded.Dir(t.TempDir(), nil)})
//	}
//
// The suite is switched by amorphous.Features, never by a driver's name; what
// a driver does not promise is skipped aloud. Each check carries the sentence
// of the contract that it proves. [Model] is the contract as a pure function
// of the writes that were made, and the suite compares the driver with it.
// [RunKilled] is for drivers of servers, which are killed under their clients.
package amorphoustest
