// Package transitorytest is the contract of package transitory made
// executable: [Run] holds a driver to every promise that an interface can
// show, and [RunModel] compares it, operation by operation, with a model that
// has no store at all.
//
//	func TestConformance(t *testing.T) {
//		transitorytest.Run(t, func(t *testing.T) *transitorytest.Harness {
//			dir := t.TempDir()
//			return &transitorytest.Harness{
//				Open: func(ctx context.Context) (transitory.Driver, error) {
//					return mydriver.Dir(dir).OpenDriver(ctx)
//				},
//			}
//		})
//	}
//
// Each check carries the sentence of the contract that it proves, and gets a
// store of its own from the harness. Checks are switched by
// [transitory.Features] and by what the harness can do, never by a driver's
// name; a check that is skipped says which promise is lacking.
package transitorytest
