package cql

import (
	"errors"
	"regexp"
	"strings"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// NotSent marks an error of a client that sent nothing.
func NotSent(err error) error { return &notSent{err} }

type notSent struct{ err error }

func (e *notSent) Error() string { return e.err.Error() }
func (e *notSent) Unwrap() error { return e.err }

// TimedOut marks a write timeout with the type of write that Cassandra names,
// which is a field, not a method, of what clients return.
func TimedOut(err error, writeType string) error { return &timedOut{err, writeType} }

type timedOut struct {
	err       error
	writeType string
}

func (e *timedOut) Error() string { return e.err.Error() }
func (e *timedOut) Unwrap() error { return e.err }

// A serverError is Cassandra's answer; both clients' errors look like this.
type serverError interface {
	error
	Code() int
}

// Codes of the CQL protocol, version 4, section 9.
const (
	codeServer        = 0x0000
	codeProtocol      = 0x000a
	codeCredentials   = 0x0100
	codeUnavailable   = 0x1000
	codeOverloaded    = 0x1001
	codeBootstrapping = 0x1002
	codeTruncate      = 0x1003
	codeWriteTimeout  = 0x1100
	codeReadTimeout   = 0x1200
	codeReadFailure   = 0x1300
	codeFunction      = 0x1400
	codeWriteFailure  = 0x1500
	codeCDCFailure    = 0x1600
	codeCASUnknown    = 0x1700
	codeSyntax        = 0x2000
	codeUnauthorized  = 0x2100
	codeInvalid       = 0x2200
	codeConfig        = 0x2300
	codeExists        = 0x2400
	codeUnprepared    = 0x2500
)

// classify gives an error of a Session its class. Nothing here is repeated by
// us: who repeats, and whether, is decided where the work is known.
func classify(err error, write bool) error {
	if err == nil || fault.ClassOf(err) != nil {
		return err
	}
	class := fault.ErrUnavailable // a read that brought no answer changed nothing
	var unsent *notSent
	var answer serverError
	switch {
	case errors.As(err, &unsent):
		if fault.Cancelled(err) {
			return err
		}
	case errors.As(err, &answer):
		class = classOfAnswer(answer, writeTypeOf(err), write)
	case write:
		class = fault.ErrUnknown
	case fault.Cancelled(err):
		return err
	}
	return &fault.Error{Class: class, Err: err}
}

func writeTypeOf(err error) string {
	var timeout *timedOut
	errors.As(err, &timeout)
	if timeout == nil {
		return ""
	}
	return timeout.writeType
}

func classOfAnswer(answer serverError, writeType string, write bool) error {
	switch answer.Code() {
	case codeUnavailable, codeBootstrapping:
		return fault.ErrUnavailable
	case codeOverloaded, codeReadTimeout, codeReadFailure, codeUnprepared:
		return fault.ErrBusy
	case codeWriteTimeout:
		if writeType == "BATCH_LOG" {
			return fault.ErrBusy // the batch did not even reach the log
		}
		return fault.ErrUnknown
	case codeWriteFailure, codeCDCFailure, codeCASUnknown:
		return fault.ErrUnknown
	case codeProtocol, codeCredentials, codeUnauthorized, codeConfig:
		return fault.ErrMisconfigured
	case codeInvalid:
		return classOfInvalid(answer.Error())
	case codeExists:
		return fault.ErrExists
	case codeSyntax, codeFunction, codeTruncate:
		return fault.ErrRefused
	}
	if write { // codeServer, and what a later version may add
		return fault.ErrUnknown
	}
	return fault.ErrBusy
}

// missing matches what Cassandra says of tables, columns and keyspaces that
// are not there.
var missing = regexp.MustCompile(`(?i)unconfigured table|unconfigured columnfamily|table .* does not exist|keyspace .* does not exist|undefined column|unknown identifier|undefined name`)

func classOfInvalid(message string) error {
	switch {
	case missing.MatchString(message):
		return fault.ErrMisconfigured
	case strings.Contains(message, "too large"):
		return fault.ErrTooLarge
	}
	return fault.ErrRefused
}

// isMissing reports whether an error is about a table that is not there.
func isMissing(err error) bool {
	var answer serverError
	return errors.As(err, &answer) && answer.Code() == codeInvalid && missing.MatchString(answer.Error())
}

// unknownOf keeps what is known of a write that was done in part: the row is
// written, and what goes with it is not sure. A repeat mends that.
func unknownOf(err error) error {
	if err == nil || fault.Unknown(err) {
		return err
	}
	return &fault.Error{Class: fault.ErrUnknown, Err: err}
}
