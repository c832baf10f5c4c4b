// Package fault is the one error vocabulary of Fourfold: what every store, in
// process or on a server, says when it does not simply succeed.
//
// # Three outcomes
//
// An attempt to change a store ends in exactly one of three ways ([Outcome]):
// applied, not applied, or unknown. Unknown means that bytes may have left and
// no answer was read: a lost answer to COMMIT looks the same whether the row
// is there or not. An unknown outcome is never folded into a failure; ask with
// [OutcomeOf] or [Unknown].
//
// # Classes
//
// Every error of ours carries one class, a sentinel of this package that
// errors.Is finds, beside the driver's own error that errors.As finds. The
// classes say what a caller may do next:
//
//	class             outcome       spends an attempt   a repeat
//	ErrUnavailable    not applied   no                  later
//	ErrBusy           not applied   no                  soon
//	ErrBackpressure   not applied   no                  later, or with less
//	ErrMisconfigured  not applied   no                  after somebody mends it
//	ErrUnknown        unknown       yes                 only where harmless
//	ErrConflict       not applied   yes                 after reading again
//	ErrExists         not applied   yes                 never
//	ErrRefused        not applied   yes                 never
//	ErrInvalid        not applied   yes                 never
//	ErrTooLarge       not applied   yes                 never
//	ErrNotFound       not applied   yes                 never
//	ErrUnsupported    not applied   yes                 never
//	ErrCorrupt        not applied   yes                 never
//	ErrExpired        not applied   yes                 never
//	ErrClosed         not applied   no                  never
//
// Context errors pass untouched: errors.Is(err, context.Canceled) holds for a
// call that its caller abandoned, together with ErrUnknown when something may
// have been sent.
//
// The package also holds [Report], what a store says of its own health,
// because every purpose answers with it and this is the one package that all
// of them import. It imports nothing of Fourfold.
package fault
