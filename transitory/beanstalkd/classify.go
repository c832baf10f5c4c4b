package beanstalkd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/beanstalkd/go-beanstalk"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A verdict is what an answer, or the lack of one, means.
type verdict struct {
	class  error // nil: applied
	broken bool  // the connection must be closed
	alarm  bool  // the server is ill, and somebody should look
}

// answers are the server's words. DRAINING is an outage as far as puts go: it
// lasts until the server is started again. OUT_OF_MEMORY also comes when the
// log's disk is full.
var answers = []struct {
	err error
	verdict
}{
	{beanstalk.ErrNotFound, verdict{class: fault.ErrNotFound}},
	{beanstalk.ErrJobTooBig, verdict{class: fault.ErrTooLarge}},
	{beanstalk.ErrDraining, verdict{class: fault.ErrUnavailable}},
	{beanstalk.ErrOOM, verdict{class: fault.ErrBusy, alarm: true}},
	{beanstalk.ErrInternal, verdict{class: fault.ErrUnknown, broken: true, alarm: true}},
	// After these three the stream of answers is out of step with that of
	// questions. Nothing was applied, and we sent something wrong.
	{beanstalk.ErrBadFormat, verdict{class: fault.ErrRefused, broken: true, alarm: true}},
	{beanstalk.ErrUnknown, verdict{class: fault.ErrRefused, broken: true, alarm: true}},
	{beanstalk.ErrNoCRLF, verdict{class: fault.ErrRefused, broken: true, alarm: true}},
	{beanstalk.ErrNotIgnored, verdict{class: fault.ErrRefused, broken: true, alarm: true}},
	// The job is there, but in the holding area: the server had no memory to
	// make it ready, or could not write its log.
	{beanstalk.ErrBuried, verdict{alarm: true}},
	{errBuried, verdict{alarm: true}},
	{beanstalk.ErrDeadline, verdict{}},
	{beanstalk.ErrTimeout, verdict{}},
}

// errBuried is BURIED in answer to a put, which comes with an id and which
// go-beanstalk has no word for.
var errBuried = errors.New("buried")

// errNotSent says that nothing of a request has left.
var errNotSent = errors.New("nothing was sent")

// classify judges the error of one operation. sent says whether something of
// the request may have left.
func classify(err error, sent bool) verdict {
	if err == nil {
		return verdict{}
	}
	for _, a := range answers {
		if errors.Is(err, a.err) {
			return a.verdict
		}
	}
	if sent {
		return verdict{class: fault.ErrUnknown, broken: true}
	}
	return verdict{class: fault.ErrUnavailable, broken: true}
}

// buriedID finds the id in "BURIED <id>", which go-beanstalk reports as an
// unknown response.
func buriedID(err error) (id uint64, ok bool) {
	var answer beanstalk.ConnError
	if !errors.As(err, &answer) || answer.Err == nil {
		return 0, false
	}
	rest, ok := strings.CutPrefix(answer.Err.Error(), "unknown response: BURIED ")
	if !ok {
		return 0, false
	}
	_, err = fmt.Sscanf(rest, "%d", &id)
	return id, err == nil
}

// asError makes the error that callers see. A context's end stays visible
// beside the class; where nothing was sent, it is all there is.
func asError(ctx context.Context, op, addr string, v verdict, err error) error {
	if v.class == nil {
		return nil
	}
	if ctx.Err() != nil && v.broken {
		if v.class != fault.ErrUnknown {
			return ctx.Err()
		}
		err = errors.Join(ctx.Err(), err)
	}
	return &fault.Error{Op: op, Store: "transitory", Class: v.class, Err: fmt.Errorf("beanstalkd at %s: %w", addr, err)}
}
