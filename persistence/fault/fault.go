package fault

import (
	"context"
	"errors"
	"strings"
)

// The classes. Exactly one of them is in every error that Fourfold returns,
// except context errors and errors of the user's own functions.
var (
	// ErrUnavailable: the store could not be reached; nothing was sent. An
	// outage, which spends no attempt.
	ErrUnavailable = errors.New("store unavailable")
	// ErrBusy: the store refused for the moment (deadlock, lock wait,
	// overload); nothing was applied.
	ErrBusy = errors.New("store busy")
	// ErrBackpressure: a bound of ours is reached; nothing was applied.
	ErrBackpressure = errors.New("back-pressure: too much work is waiting")
	// ErrMisconfigured: the store answers, but cannot serve as it is set up
	// (missing table, wrong password, read-only). Nothing was applied.
	ErrMisconfigured = errors.New("store misconfigured")
	// ErrUnknown: the outcome is unknown; the change may be there or not.
	ErrUnknown = errors.New("outcome unknown")
	// ErrConflict: a condition did not hold (another version is there, a
	// token was used with other content).
	ErrConflict = errors.New("conflict")
	// ErrExists: an object with this key, or this unique value, is there.
	ErrExists = errors.New("already exists")
	// ErrNotFound: there is no such object.
	ErrNotFound = errors.New("not found")
	// ErrRefused: the store refuses this object and always will.
	ErrRefused = errors.New("refused by the store")
	// ErrInvalid: the input is faulty; no store has seen it.
	ErrInvalid = errors.New("invalid")
	// ErrTooLarge: the input is larger than a store of its plan takes; no
	// store has seen it.
	ErrTooLarge = errors.New("too large")
	// ErrUnsupported: this store, or this plan, does not offer the operation.
	ErrUnsupported = errors.New("not supported")
	// ErrCorrupt: stored bytes fail their checksum or cannot be decoded.
	ErrCorrupt = errors.New("corrupt")
	// ErrExpired: the slice of time in which the work had value is past.
	ErrExpired = errors.New("expired")
	// ErrClosed: the layer or store is closed.
	ErrClosed = errors.New("closed")
)

// An Outcome is how an attempt to change a store ended.
type Outcome int

// The three outcomes.
const (
	Applied        Outcome = iota // the store said so
	NotApplied                    // the store said so, or nothing was sent
	OutcomeUnknown                // something may have been sent, no answer was read
)

// String returns "applied", "not applied" or "unknown".
func (o Outcome) String() string {
	switch o {
	case Applied:
		return "applied"
	case NotApplied:
		return "not applied"
	}
	return "unknown"
}

// An Error is an error with its class and its whereabouts. Its message names
// operation, store, kind and key, and never a value or a secret.
type Error struct {
	Op       string // what was tried, such as "put" or "reserve"
	Store    string // the purpose, such as "transactional"; empty when none is involved
	Kind     string // the declared kind; may be empty
	Key      string // the object's key; may be empty
	Class    error  // one of the sentinels of this package, never nil
	Err      error  // the cause, such as the driver's own error; may be nil
	Accepted bool   // custody has the object: its tasks will be done
}

// Error names operation, store, kind, key, class and cause.
func (e *Error) Error() string {
	var b strings.Builder
	for _, part := range []string{e.Store, e.Op} {
		if part != "" {
			b.WriteString(part)
			b.WriteString(": ")
		}
	}
	object := e.Kind
	if e.Key != "" {
		object = strings.TrimPrefix(object+" "+quote(e.Key), " ")
	}
	if object != "" {
		b.WriteString(object + ": ")
	}
	if e.Class != nil {
		b.WriteString(e.Class.Error())
	} else {
		b.WriteString("unclassified error") // what a log is searched for
	}
	if cause := e.cause(); cause != nil {
		b.WriteString(": " + sanitize(cause.Error()))
	}
	return b.String()
}

// cause is what there is to say beyond the whereabouts and the class: a cause
// that has the same class and no other whereabouts is skipped for its own.
func (e *Error) cause() error {
	err := e.Err
	for {
		err = lone(err)
		inner, ok := err.(*Error)
		if !ok || inner.Class != e.Class || inner.Kind != "" || inner.Key != "" ||
			inner.Store != "" && inner.Store != e.Store || inner.Op != "" && inner.Op != e.Op {
			break
		}
		err = inner.Err
	}
	if err == e.Class {
		return nil
	}
	return err
}

// lone returns the error that errors.Join was given with nothing but nils, as
// where something is closed after it failed; else err.
func lone(err error) error {
	if _, ours := err.(*Error); ours {
		return err
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		if all := joined.Unwrap(); len(all) == 1 {
			return all[0]
		}
	}
	return err
}

// Unwrap shows both the class and the cause to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	out := make([]error, 0, 2)
	if e.Class != nil {
		out = append(out, e.Class)
	}
	if e.Err != nil {
		out = append(out, e.Err)
	}
	return out
}

// New returns an Error of a class with a message of its own.
func New(class error, store, op, message string) *Error {
	return &Error{Op: op, Store: store, Class: class, Err: errors.New(message)}
}

// Wrap returns err under a class, or nil for a nil err. An error that already
// has a class keeps it.
func Wrap(class error, store, op string, err error) error {
	if err == nil {
		return nil
	}
	if ClassOf(err) != nil {
		class = ClassOf(err)
	}
	return &Error{Op: op, Store: store, Class: class, Err: err, Accepted: Accepted(err)}
}

var classes = []error{
	// Unknown stands first: an error that is both (a context's end, and
	// something sent) is unknown before it is anything else.
	ErrUnknown, ErrUnavailable, ErrBusy, ErrBackpressure, ErrMisconfigured, ErrConflict, ErrExists,
	ErrNotFound, ErrRefused, ErrInvalid, ErrTooLarge, ErrUnsupported, ErrCorrupt, ErrExpired, ErrClosed,
}

// ClassOf returns the sentinel that err carries, or nil when it has none (a
// bare context error, an error of the user's own).
func ClassOf(err error) error {
	if err == nil {
		return nil
	}
	for _, class := range classes {
		if errors.Is(err, class) {
			return class
		}
	}
	return nil
}

// OutcomeOf says how the attempt that returned err ended. A nil error is
// Applied, an error without a class (a bare context error, an error of the
// user's own) is NotApplied: drivers add ErrUnknown when they have sent.
func OutcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return Applied
	case errors.Is(err, ErrUnknown):
		return OutcomeUnknown
	}
	return NotApplied
}

// Unknown reports whether the outcome is unknown.
func Unknown(err error) bool { return errors.Is(err, ErrUnknown) }

// Accepted reports whether custody has the object although the call returned
// an error: its tasks will be done, and a repeat is not needed.
func Accepted(err error) bool {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return false
		}
		if e.Accepted {
			return true
		}
		err = e.Err
	}
	return false
}

// Outage reports whether err says that a store cannot be reached, or cannot
// serve anybody as it is set up. An outage spends no attempt.
func Outage(err error) bool {
	return is(err, ErrUnavailable, ErrMisconfigured)
}

// Retryable reports whether the same call may succeed when it is repeated
// and nothing was applied: an outage, a busy store, back-pressure. An unknown
// outcome is not retryable by this predicate; whoever knows that a repeat is
// harmless asks [Unknown] as well.
func Retryable(err error) bool {
	return !Unknown(err) && is(err, ErrUnavailable, ErrMisconfigured, ErrBusy, ErrBackpressure)
}

// Permanent reports whether no repeat can ever succeed.
func Permanent(err error) bool {
	return !Unknown(err) && is(err, ErrRefused, ErrInvalid, ErrTooLarge, ErrUnsupported, ErrCorrupt, ErrExists, ErrExpired)
}

// Cancelled reports whether err is the end of a context.
func Cancelled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func is(err error, classes ...error) bool {
	for _, class := range classes {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// sanitize keeps control characters and endless text out of logs: 4 KiB at
// most, everything below space replaced. Drivers cut a server's own words
// shorter before they wrap them.
func sanitize(s string) string {
	const most = 4 << 10
	cut := len(s) > most
	if cut {
		s = s[:most]
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if cut {
		s += "…"
	}
	return s
}
