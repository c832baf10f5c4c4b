package beanstalkd

import (
	"slices"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/transitory"
)

// What is under a second would be sent as none at all: a delay that never was,
// and a TTR that the server makes a second of without saying so.
func TestDurationsAreRoundedUp(t *testing.T) {
	for _, row := range []struct {
		delay, ttr   time.Duration
		put, release string
	}{
		{0, time.Nanosecond, "put 9 0 1 1", "release 7 9 0"},
		{time.Nanosecond, time.Millisecond, "put 9 1 1 1", "release 7 9 1"},
		{900 * time.Millisecond, 999 * time.Millisecond, "put 9 1 1 1", "release 7 9 1"},
		{time.Second, time.Second, "put 9 1 1 1", "release 7 9 1"},
		{time.Second + 1, 1500 * time.Millisecond, "put 9 2 2 1", "release 7 9 2"},
		{time.Hour, 0, "put 9 3600 30 1", "release 7 9 3600"}, // the default
	} {
		f := newFakeServer(t, on("none", "", false))
		q := openFake(t, f, Options{})
		if err := q.Put(t.Context(), transitory.Job{Tube: "t", Priority: 9, Delay: row.delay, TTR: row.ttr, Body: []byte("x")})[0]; err != nil {
			t.Fatal(err)
		}
		jobs, err := q.Reserve(t.Context(), []string{"t"}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Release(t.Context(), transitory.Release{ID: jobs[0].ID, Priority: 9, Delay: row.delay})[0]; err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		sent := slices.Clone(f.commands)
		f.mu.Unlock()
		for _, want := range []string{row.put, row.release} {
			if !slices.Contains(sent, want) {
				t.Errorf("a delay of %v and a TTR of %v: %q was not sent, but %q", row.delay, row.ttr, want, sent)
			}
		}
	}
}

// A reserve that waits would hold up every put of its connection, so the two
// have none in common; nor have two sets of tubes, which the client would have
// to change under way.
func TestConnectionsThatPutNeverReserve(t *testing.T) {
	f := newFakeServer(t, on("none", "", false))
	q := openFake(t, f, Options{})
	for range 3 {
		for _, tube := range []string{"a", "b"} {
			if err := q.Put(t.Context(), transitory.Job{Tube: tube})[0]; err != nil {
				t.Fatal(err)
			}
			jobs, err := q.Reserve(t.Context(), []string{tube}, 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := q.Delete(t.Context(), jobs[0].ID)[0]; err != nil {
				t.Fatal(err)
			}
		}
	}
	puts, reserves := f.numbers("put"), f.numbers("reserve-with-timeout")
	if len(puts) != 6 || len(reserves) != 6 {
		t.Fatalf("puts came over the connections %v and reserves over %v; want six of each", puts, reserves)
	}
	for _, n := range puts {
		if slices.Contains(reserves, n) {
			t.Errorf("connection %d puts and reserves", n)
		}
	}
	if a, b := f.numbers("watch a"), f.numbers("watch b"); len(a) != 1 || len(b) != 1 || a[0] == b[0] {
		t.Errorf("the connections %v watch one tube and %v the other; want one each", a, b)
	}
}

// What Explain says is what the server gets.
func TestExplainIsWhatIsSent(t *testing.T) {
	f := newFakeServer(t, on("none", "", false))
	q := openFake(t, f, Options{})
	for _, job := range []transitory.Job{
		{Tube: "a", Priority: 9, Delay: 1500 * time.Millisecond, TTR: time.Minute, Body: []byte("body-canary")},
		{Tube: "b"},
	} {
		said := q.Explain(job)
		if err := q.Put(t.Context(), job)[0]; err != nil {
			t.Fatal(err)
		}
		f.mu.Lock()
		for _, command := range said {
			if !slices.Contains(f.commands, command) {
				t.Errorf("Explain says %q, and sent was %q", command, f.commands)
			}
		}
		f.mu.Unlock()
		if len(said) != 2 {
			t.Errorf("Explain says %q, want two commands", said)
		}
	}
}
