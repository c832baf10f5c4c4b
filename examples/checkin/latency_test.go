package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
	"github.com/fourfold-dev/fourfold/persistence"
	"pgregory.net/rapid"
)

func TestPercentilesAreNearestRanks(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100 - i)
	}
	for _, c := range []struct {
		all  []time.Duration
		p    int
		want time.Duration
	}{
		{nil, 50, 0}, {[]time.Duration{7}, 1, 7}, {[]time.Duration{7}, 99, 7},
		{hundred, 50, 50}, {hundred, 99, 99}, {hundred, 100, 100}, {hundred, 1, 1},
		{[]time.Duration{1, 2}, 50, 1}, {[]time.Duration{2, 1}, 51, 2},
	} {
		if got := percentile(c.all, c.p); got != c.want {
			t.Errorf("percentile %d of %v is %v, want %v", c.p, c.all, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.Int64Range(0, 50).Draw(t, "took"))
		}), 1, 300).Draw(t, "all")
		p := rapid.IntRange(1, 100).Draw(t, "p")
		got := percentile(all, p)
		below, upTo := 0, 0
		for _, d := range all {
			if d < got {
				below++
			}
			if d <= got {
				upTo++
			}
		}
		if 100*upTo < p*len(all) || 100*below >= p*len(all) {
			t.Errorf("percentile %d of %v is %v: %d below it, %d up to it", p, all, got, below, upTo)
		}
	})
}

func TestSpansAreShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 12: "12ns", 1234: "1.23µs", 12345: "12.3µs", 123456: "123µs", 1234567: "1.23ms",
		123456789: "123ms", 1234567890: "1.23s", 123456789012: "2m3s",
	} {
		if got := span(d); got != want {
			t.Errorf("%d ns is written %s, want %s", d, got, want)
		}
	}
}

func TestTheTableIsOfTheStretchAlone(t *testing.T) {
	w := newWatcher(town.Stretch{From: 10, Spike: 11, Calm: 12, To: 13})
	accepted := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	event := func(line int32, task, result string, took time.Duration) {
		w.TaskDone(context.Background(), persistence.TaskEvent{Kind: "checkin", Key: lineKey(line), Task: task,
			Result: result, Accepted: accepted, Ended: accepted.Add(took)})
	}
	event(10, "venue", "done", time.Hour) // before the stretch
	event(11, "venue", "done", 3*time.Millisecond)
	event(12, "venue", "retry", time.Hour) // comes again
	event(12, "venue", "done", 40*time.Millisecond)
	event(13, "venue", "done", 5*time.Millisecond)
	w.TaskDone(context.Background(), persistence.TaskEvent{Kind: "visit", Key: lineKey(11), Result: "done"})
	if got := w.ended.Load(); got != 4 {
		t.Errorf("%d tasks of check-ins came to an end, want 4", got)
	}
	var out bytes.Buffer
	w.table(&out)
	for _, line := range strings.Split(out.String(), "\n") {
		if strings.Contains(line, "venue") {
			if got, want := strings.Join(strings.Fields(line), " "), "2 venue volatile 3ms 3ms 40ms 40ms 5ms 5ms"; got != want {
				t.Errorf("row %q, want %q", got, want)
			}
		}
		if strings.Contains(line, "1h") {
			t.Errorf("the table counts what is not of the stretch: %q", line)
		}
	}
}
