package persistencetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"

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
}

// Try notes that id is about to be put, calls put, and notes how it ended: what
// it acknowledged (a nil error, or one for which fault.Accepted is true) must
// be there after every kill, and what it refused must not. The error is put's.
func (r *Recorder) Try(id string, put func() error) error {
	r.out.say("try", strconv.Itoa(r.Round), id)
	err := put()
	how := "acked"
	switch {
	case err == nil || fault.Accepted(err):
	case fault.OutcomeOf(err) == fault.NotApplied:
		how = "refused"
	default:
		how = "open"
	}
	r.out.say(how, strconv.Itoa(r.Round), id)
	return err
}

// A History is what all rounds of one run did.
type History struct {
	Acked   []string // accepted: their effects must be there, once
	Refused []string // not accepted: nothing of them may be there
	Open    []string // cut off in the middle, or of unknown outcome: all of it may be there, or nothing
	Kills   []string // where the process was killed, in order
}

// Tried reports whether an id was ever tried: what is there and was not tried
// is a ghost.
func (h *History) Tried(id string) bool {
	return slices.Contains(h.Acked, id) || slices.Contains(h.Open, id) || slices.Contains(h.Refused, id)
}

// note adds an end, or a beginning, to the history. What was acknowledged once
// stays so, also when it is tried again.
func (h *History) note(verb, id string) {
	if slices.Contains(h.Acked, id) {
		return
	}
	switch verb {
	case "try":
		h.Refused = without(h.Refused, id)
		h.Open = append(without(h.Open, id), id)
	case "acked":
		h.Open = without(h.Open, id)
		h.Acked = append(h.Acked, id)
	case "refused":
		h.Open = without(h.Open, id)
		h.Refused = append(h.Refused, id)
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
