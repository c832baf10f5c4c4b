package main

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
)

// The alerts are a function of the minutes' sums: the same, with the same
// minutes, in whatever order the mentions are handled, and each is there once.
func TestAlertsAreTheSameInAnyOrder(t *testing.T) {
	evening := time.Date(2022, time.November, 20, 19, 0, 0, 0, time.UTC)
	s := &stream{}
	say := func(entity string, at time.Time, times int) {
		for i := range times {
			s.add(strconv.Itoa(len(s.rows)+1), entity, at.Add(time.Duration(i)*time.Millisecond))
		}
	}
	for i, times := range []int{4, 8, 15, 16, 20, 33, 31, 70} {
		say("rising", evening.Add(time.Duration(i)*time.Minute), times)
		say("quiet", evening.Add(time.Duration(i)*time.Minute), firstLevel-1)
	}
	for day := range 3 {
		say("seasonal", evening.AddDate(0, 0, day), 18)
		say("seasonal", evening.AddDate(0, 0, day).Add(12*time.Hour), 2)
	}
	const want = "rising 16 2022-11-20T19:03, rising 32 2022-11-20T19:05, rising 64 2022-11-20T19:07, seasonal 16 2022-11-20T19:00"
	if implied := s.implied(); implied.Alerts != 4 || implied.raised != want {
		t.Errorf("implied: %d alerts, %s; want 4, %s", implied.Alerts, implied.raised, want)
	}
	backwards := slices.Clone(s.rows)
	slices.Reverse(backwards)
	mixed := slices.Clone(s.rows)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	for name, rows := range map[string][]Row{"backwards": backwards, "mixed": mixed} {
		if got := raisedBy(t, rows); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// raisedBy handles the mentions of rows, one batch after the other, and returns
// the alerts.
func raisedBy(t *testing.T, rows []Row) string {
	t.Helper()
	m, err := open(t.Context(), embedded.Stores(t.TempDir()), &persistence.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.layer.Close()
	for batch := range slices.Chunk(rows, 64) {
		mentions := make([]Mention, len(batch))
		for i, row := range batch {
			mentions[i] = mentionOf(row)
		}
		for _, result := range m.mentions.PutAll(t.Context(), mentions) {
			if result.Err != nil {
				t.Fatal(result.Err)
			}
		}
		if left, err := m.layer.Drain(t.Context()); err != nil || len(left) > 0 {
			t.Fatalf("left %v, %v", left, err)
		}
	}
	_, raised, err := listed(m.alerts.Find(t.Context(), persistence.Query{}))
	if err != nil {
		t.Fatal(err)
	}
	return raised
}
