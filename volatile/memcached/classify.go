package memcached

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A dialError says that no connection was made, so nothing was sent. It hides
// the cause's type from the client, which replaces errors that time out.
type dialError struct{ cause error }

func (e *dialError) Error() string { return "dial: " + e.cause.Error() }

// Is makes a dialError its cause, for errors.Is.
func (e *dialError) Is(target error) bool { return errors.Is(e.cause, target) }

// A verdict is what an error of the client means.
type verdict struct {
	class error // of package fault; nil: no error
	// unsent: nothing reached the server, so any operation may be repeated.
	unsent bool
	// closed: the server closed the connection, and perhaps others with it.
	closed bool
	// down: the member does not serve.
	down bool
	// told: the operation was not done, but nothing old stays for it.
	told bool
}

// classify says what an error means. write tells whether the operation changes
// something: its outcome is unknown when bytes may have left and no answer was
// read.
func classify(err error, write bool) verdict {
	if err == nil || errors.Is(err, memcache.ErrCacheMiss) {
		return verdict{}
	}
	lost := fault.ErrUnavailable
	if write {
		lost = fault.ErrUnknown
	}
	var dial *dialError
	var connect *memcache.ConnectTimeoutError
	var timeout net.Error
	switch {
	case errors.Is(err, memcache.ErrNotStored), errors.Is(err, memcache.ErrCASConflict):
		return verdict{class: fault.ErrConflict}
	case errors.Is(err, errSettling):
		return verdict{class: fault.ErrUnavailable, told: true}
	case errors.Is(err, memcache.ErrMalformedKey):
		return verdict{class: fault.ErrInvalid}
	case errors.Is(err, errNoPlace):
		return verdict{class: fault.ErrUnavailable, unsent: true}
	case errors.Is(err, errNoPipe):
		return verdict{class: fault.ErrUnavailable, unsent: true, closed: true}
	case errors.Is(err, errLeft):
		return verdict{class: lost}
	case errors.Is(err, errStale), errors.Is(err, errEpochOver):
		return verdict{class: fault.ErrUnavailable, unsent: true, closed: true}
	case errors.As(err, &dial), errors.As(err, &connect):
		return verdict{class: fault.ErrUnavailable, unsent: true, down: true}
	case errors.As(err, &timeout) && timeout.Timeout():
		return verdict{class: lost, down: true}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return verdict{class: lost, closed: true}
	}
	return classifyText(err.Error(), lost)
}

// classifyText reads what the server said: the client returns its errors as
// plain strings.
func classifyText(text string, lost error) verdict {
	switch {
	case strings.Contains(text, "object too large for cache"), strings.Contains(text, "too large"):
		return verdict{class: fault.ErrTooLarge}
	case strings.Contains(text, "non-numeric value"):
		return verdict{class: fault.ErrConflict}
	case strings.Contains(text, "out of memory"):
		return verdict{class: fault.ErrBusy}
	case strings.Contains(text, "Too many open connections"):
		return verdict{class: fault.ErrUnavailable, down: true}
	case strings.Contains(text, "CLIENT_ERROR"), strings.Contains(text, `"ERROR`):
		// Our own fault, or a server that does not speak this protocol; the
		// stream may be out of step, and the client has closed it.
		return verdict{class: fault.ErrRefused, closed: true}
	}
	// An answer that makes no sense says nothing about the outcome.
	return verdict{class: lost, closed: true}
}
