package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// What the package's documentation says of each class is what the predicates
// answer, however deep the error lies.
func TestThePredicatesAnswerWhatTheTableSays(t *testing.T) {
	type answers struct {
		outcome                      Outcome
		outage, retryable, permanent bool
	}
	later := answers{NotApplied, false, true, false}
	never := answers{NotApplied, false, false, true}
	neither := answers{NotApplied, false, false, false} // it depends on what the caller does next
	for class, want := range map[error]answers{
		ErrUnavailable: {NotApplied, true, true, false}, ErrMisconfigured: {NotApplied, true, true, false},
		ErrBusy: later, ErrBackpressure: later,
		ErrUnknown:  {OutcomeUnknown, false, false, false},
		ErrConflict: neither, ErrNotFound: neither, ErrClosed: neither,
		ErrExists: never, ErrRefused: never, ErrInvalid: never, ErrTooLarge: never,
		ErrUnsupported: never, ErrCorrupt: never, ErrExpired: never,
	} {
		inner := New(class, "volatile", "get", "the server said so")
		for _, err := range []error{inner, fmt.Errorf("outside: %w", inner), errors.Join(inner, nil),
			Wrap(ErrInvalid, "", "put", inner)} { // an error that has a class keeps it
			got := answers{OutcomeOf(err), Outage(err), Retryable(err), Permanent(err)}
			if got != want || ClassOf(err) != class {
				t.Errorf("%v: %+v, class %v; want %+v", err, got, ClassOf(err), want)
			}
		}
	}
	if len(classes) != 15 {
		t.Errorf("%d classes, and 15 are tested", len(classes))
	}
}

// An unknown outcome never passes for another class, whatever is joined to it.
func TestUnknownStandsFirst(t *testing.T) {
	err := errors.Join(context.Canceled, New(ErrUnavailable, "", "", "away"), Wrap(ErrUnknown, "transactional", "commit", io.EOF))
	if ClassOf(err) != ErrUnknown || !Unknown(err) || Retryable(err) || !Cancelled(err) || OutcomeOf(err) != OutcomeUnknown {
		t.Errorf("%v: class %v, retryable %t", err, ClassOf(err), Retryable(err))
	}
}

func TestMessagesNameEachThingOnce(t *testing.T) {
	full := New(ErrMisconfigured, "", "open", "no space")
	for want, err := range map[string]error{
		"transitory: open: store misconfigured: no space":                  Wrap(ErrMisconfigured, "transitory", "open", full),
		"transitory: open: store misconfigured: no  space":                 Wrap(ErrMisconfigured, "transitory", "open", errors.Join(New(ErrMisconfigured, "", "open", "no\n space"), nil)),
		"volatile: get: store unavailable":                                 Wrap(ErrUnavailable, "volatile", "get", ErrUnavailable),
		`put: visit "k\n": invalid: the key has a NUL in it`:               &Error{Op: "put", Kind: "visit", Key: "k\n", Class: ErrInvalid, Err: errors.New("the key has a NUL in it")},
		"put: invalid: volatile: get: store unavailable: away":             &Error{Op: "put", Class: ErrInvalid, Err: New(ErrUnavailable, "volatile", "get", "away")},
		"open: store misconfigured: first second":                          &Error{Op: "open", Class: ErrMisconfigured, Err: errors.Join(errors.New("first"), errors.New("second"))},
		`get: "` + strings.Repeat("k", 80) + `"…: not found`:               &Error{Op: "get", Key: strings.Repeat("k", 200), Class: ErrNotFound},
		"apply: refused by the store: " + strings.Repeat("x", 4<<10) + "…": Wrap(ErrRefused, "", "apply", errors.New(strings.Repeat("x", 5<<10))),
	} {
		if got := err.Error(); got != want {
			t.Errorf("%q\nwant %q", got, want)
		}
	}
	if Wrap(ErrInvalid, "", "", nil) != nil {
		t.Error("no error, wrapped, is one")
	}
}

func TestAcceptedIsFoundInside(t *testing.T) {
	inner := &Error{Op: "apply", Class: ErrUnavailable, Accepted: true}
	if err := Wrap(ErrUnavailable, "", "put", fmt.Errorf("outside: %w", inner)); !Accepted(err) {
		t.Errorf("%v: not accepted", err)
	}
	if Accepted(New(ErrUnavailable, "", "put", "away")) || Accepted(io.EOF) || Accepted(nil) {
		t.Error("accepted without having been")
	}
}
