package record

import (
	"errors"
	"strconv"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A problem is what is wrong with one value, and where. The path grows from
// the inside out while the error travels up, so that the way down costs
// nothing.
type problem struct {
	path  string
	text  string
	cause error // may be nil
}

func (p *problem) Error() string {
	s := p.text
	if p.path != "" {
		s = p.path + ": " + p.text
	}
	if p.cause != nil {
		s += ": " + p.cause.Error()
	}
	return s
}

func (p *problem) Unwrap() error { return p.cause }

// bad returns a problem; values and keys of maps never stand in its text.
func bad(text string) *problem { return &problem{text: text} }

// within adds a step to the front of the path of a problem.
func within(err error, step string) error {
	var p *problem
	if !errors.As(err, &p) {
		p = &problem{text: err.Error(), cause: nil}
	}
	if p.path != "" && p.path[0] != '[' {
		step += "."
	}
	return &problem{path: step + p.path, text: p.text, cause: p.cause}
}

// element is the step into an array or slice.
func element(i int) string { return "[" + strconv.Itoa(i) + "]" }

// refused gives a problem its class and the name of the type.
func refused(class error, op, typeName string, err error) error {
	return fault.Wrap(class, "", op, within(err, typeName))
}

// shown quotes a property name for a message, shortened.
func shown(name string) string {
	const most = 64
	if len(name) > most {
		return strconv.Quote(name[:most]) + "…"
	}
	return strconv.Quote(name)
}
