package fault

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Durability says what an acknowledged write survives.
type Durability string

// The durabilities, strongest first.
const (
	Fsynced    Durability = "fsynced"    // a power cut
	Written    Durability = "written"    // a kill of the process; a power cut may lose what was written since the last fsync
	Memory     Durability = "memory"     // neither
	Replicated Durability = "replicated" // as many replicas have it as were asked; each fsyncs in its own time
)

// A Report is what a store says of its own health when it is asked.
type Report struct {
	Purpose    string        // "transitory", "volatile", "transactional" or "amorphous"
	Driver     string        // such as "embedded" or "mysql"
	Address    string        // where it is, without any secret
	Reachable  bool          // it answered, and is set up so that it can be used
	Version    string        // the server's own words; empty when it did not answer
	Latency    time.Duration // of one round trip
	Durability Durability    // of an acknowledged write
	MaxObject  int           // bytes of the largest value it takes; 0 when it has no limit
	Problems   []string      // what would not work, each a sentence that can be acted on
	Class      error         // ErrClosed where the program itself has closed it (or its layer); else nil
}

// OK reports whether the store can be reached and has no problem.
func (r Report) OK() bool { return r.Reachable && len(r.Problems) == 0 }

// String is one line, for a log or a terminal.
func (r Report) String() string {
	state := "down"
	if r.Reachable {
		state = "up"
	}
	if r.Class == ErrClosed {
		state = "closed"
	}
	s := fmt.Sprintf("%s (%s): %s", r.Purpose, strings.TrimSpace(r.Driver+" "+r.Version), state)
	if r.Reachable {
		s += fmt.Sprintf(", %v, %s", r.Latency.Round(time.Microsecond), r.Durability)
	}
	if len(r.Problems) > 0 {
		s += ": " + strings.Join(r.Problems, "; ")
	}
	return s
}

// quote renders a key so that no byte of it can forge a log line.
func quote(key string) string {
	const most = 80
	if len(key) > most {
		return strconv.Quote(key[:most]) + "…"
	}
	return strconv.Quote(key)
}
