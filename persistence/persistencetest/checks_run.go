package persistencetest

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
)

// CheckRecovery: within the given time after the last fault ended, a sample has
// nothing pending.
func CheckRecovery(within time.Duration) Check {
	return func(events []Event) Verdict {
		v := Verdict{Check: "recovery"}
		var healed time.Time
		for _, e := range events {
			if e.Verb == Heal {
				healed = e.At
			}
		}
		if healed.IsZero() {
			return v.need(0, 1, "heals")
		}
		after := samples(events, true)
		pending := int64(-1)
		for _, e := range after {
			if e.At.Before(healed) {
				continue
			}
			if pending = e.Sample.Pending; pending > 0 {
				continue
			}
			took := e.At.Sub(healed)
			v.Summary = fmt.Sprintf("%v after the heal", took.Round(time.Millisecond))
			if took > within {
				v.Evidence = fmt.Sprintf("nothing was pending only %v after the heal, and %v are allowed", took, within)
			}
			return v
		}
		if pending > 0 {
			v.Evidence = fmt.Sprintf("%d tasks are pending at the end", pending)
		}
		return v.need(len(after), 1, "samples after the heal")
	}
}

// logWords never stand in a log of a program that is well.
var logWords = []string{"panic:", "DATA RACE", "fatal error:", "unclassified error"}

// CheckLogs: no line of a log speaks of a panic or a data race, or shows one of
// the canaries: secrets of the test's configuration. A canary is not repeated in
// the evidence.
func CheckLogs(log io.Reader, canaries ...string) Verdict {
	v := Verdict{Check: "logs"}
	scan := bufio.NewScanner(log)
	scan.Buffer(nil, 16<<20)
	line := 0
	for scan.Scan() {
		line++
		text := scan.Text()
		for i, canary := range canaries {
			if canary != "" && strings.Contains(text, canary) && v.Evidence == "" {
				v.Evidence = fmt.Sprintf("line %d shows secret %d", line, i+1)
			}
		}
		for _, word := range logWords {
			if strings.Contains(text, word) && v.Evidence == "" {
				v.Evidence = fmt.Sprintf("line %d: %.200s", line, text)
			}
		}
	}
	if err := scan.Err(); err != nil {
		v.Unknown, v.Evidence = true, fmt.Sprintf("the log cannot be read: %v", err)
	}
	v.Summary = fmt.Sprintf("%d lines", line)
	return v
}
