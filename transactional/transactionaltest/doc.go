// Package transactionaltest is the contract of package transactional made
// executable: one suite that every driver passes.
//
//	func TestConformance(t *testing.T) {
//		transactionaltest.Run(t, transactionaltest.Harness{
//			Source: func(t *testing.T) transactional.Source { return embedded.Dir(t.TempDir(), nil) },
//		})
//	}
//
// The suite is switched by transactional.Features, never by a driver's name;
// what a driver does not promise is skipped aloud. Each check carries the
// sentence of the contract that it proves. [Model] is the contract as a pure
// function, and the suite compares the driver with it. [Faulty] is a source
// whose driver fails on demand, for the tests of whatever stands above.
package transactionaltest
