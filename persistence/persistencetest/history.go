package persistencetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Recorder writes down what Load does, where no kill of the process can
// reach it. It is safe for concurrent use.
type Recorder struct {
	// Round counts the starts of the program in one run, from 0. Ids made with
	// it do not meet those of an earlier start.
	Round int
	// Rand is a source that the seed and the round determine. It is not safe
	// for concurrent use.
	Rand *rand.Rand

	out *line
	ids atomic.Int64 // of what was begun
}

// Try notes that id is about to be put, calls put, and notes how it ended: what
// it acknowledged (a nil error, or one for which fault.Accepted is true) must
// be there after every kill, and what it refused must not. The error is put's.
func (r *Recorder) Try(id string, put func() error) error {
	return r.Do(Event{Verb: Put, ID: id}, put)
}

// Do is Try of an event: it notes that e begins, calls do, and notes how it
// ended, with e.Outcome, e.Began and e.At. What a kill cuts off has an unknown
// outcome. An event that is no Put stands in History.Events alone.
func (r *Recorder) Do(e Event, do func() error) error {
	number := strconv.FormatInt(r.ids.Add(1), 10)
	e.Began = time.Now()
	r.out.say("begin", number, e.line())
	err := do()
	if e.At, e.Outcome = time.Now(), fault.OutcomeOf(err); fault.Accepted(err) {
		e.Outcome = fault.Applied
	}
	r.out.say("end", number, e.line())
	return err
}

// Note adds an event that has happened to History.Events.
func (r *Recorder) Note(e Event) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	r.out.say("event", e.line())
}

// A History is what all rounds of one run did.
type History struct {
	Acked   []string // accepted: their effects must be there, once
	Refused []string // not accepted: nothing of them may be there
	Open    []string // cut off in the middle, or of unknown outcome: all of it may be there, or nothing
	Kills   []string // where the process was killed, in order
	// Events is everything in the order of its end: what the recorder noted, a
	// Fault for each kill, and a Heal where the start begins that is checked.
	Events []Event
}

// Judge applies checks to the events, and to more of them that are known at the
// end only. What does not hold is the error; what the events do not decide does
// not hold.
func (h *History) Judge(more []Event, checks ...Check) error {
	events := slices.Concat(h.Events, more)
	var errs []error
	for _, check := range checks {
		if v := check(events); !v.Passed() {
			errs = append(errs, errors.New(v.String()))
		}
	}
	return errors.Join(errs...)
}

// Tried reports whether an id was ever tried: what is there and was not tried
// is a ghost.
func (h *History) Tried(id string) bool {
	return slices.Contains(h.Acked, id) || slices.Contains(h.Open, id) || slices.Contains(h.Refused, id)
}

// try notes the beginning of a Put. What was acknowledged once stays so, also
// when it is tried again.
func (h *History) try(id string) {
	if slices.Contains(h.Acked, id) {
		return
	}
	h.Refused = without(h.Refused, id)
	h.Open = append(without(h.Open, id), id)
}

// ended notes an event that has ended, or was cut off.
func (h *History) ended(e Event) {
	h.Events = append(h.Events, e)
	if e.Verb != Put || slices.Contains(h.Acked, e.ID) {
		return
	}
	switch e.Outcome {
	case fault.Applied:
		h.Open = without(h.Open, e.ID)
		h.Acked = append(h.Acked, e.ID)
	case fault.NotApplied:
		h.Open = without(h.Open, e.ID)
		h.Refused = append(h.Refused, e.ID)
	}
}

func without(ids []string, id string) []string {
	if i := slices.Index(ids, id); i >= 0 {
		return slices.Delete(ids, i, i+1)
	}
	return ids
}

// String is one line.
func (h *History) String() string {
	return fmt.Sprintf("%d acknowledged, %d refused, %d open, killed at %s",
		len(h.Acked), len(h.Refused), len(h.Open), strings.Join(h.Kills, " then "))
}

// line is the event as the parent reads it.
func (e *Event) line() string {
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // texts, numbers and times of this century always encode
	}
	return string(text)
}

// A line is the way from the child to its parent: one write per message, which
// a kill cannot take back.
type line struct {
	mu sync.Mutex
	to interface{ Write([]byte) (int, error) }
}

func (l *line) say(words ...string) {
	for i, w := range words {
		words[i] = strconv.Quote(w)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// A parent that is gone takes no more messages, and the child ends soon.
	_, _ = l.to.Write([]byte(strings.Join(words, " ") + "\n"))
}

// words is the inverse of say.
func words(text string) (out []string) {
	for text != "" {
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return out
		}
		word, err := strconv.Unquote(quoted)
		if err != nil {
			return out
		}
		out, text = append(out, word), strings.TrimPrefix(text[len(quoted):], " ")
	}
	return out
}
