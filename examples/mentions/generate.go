package main

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// The made-up stream: a cup of eight teams over three days, each with a match in
// the evening. Most people speak of few teams, and of a match while it is on.
var teams = []string{"Harbour City", "Millbrook", "North Star", "Old Quarry", "Red Lanterns", "Salt Flats", "Seven Oaks", "Wanderers"}

const (
	madeTweets   = 12_000
	madeDays     = 3
	madeRepeats  = 30 // one row in so many comes twice
	matchMinutes = 105
)

// generate makes so many tweets, the same every time.
func generate(tweets int) *stream {
	rng := rand.New(rand.NewPCG(20221120, 1))
	start := time.Date(2022, time.November, 20, 0, 0, 0, 0, time.UTC)
	times := make([]time.Time, tweets)
	for i := range times {
		day := start.AddDate(0, 0, rng.IntN(madeDays))
		if rng.IntN(2) == 0 { // of the match
			times[i] = day.Add(19*time.Hour + time.Duration(rng.Int64N(int64(matchMinutes*time.Minute))))
		} else {
			times[i] = day.Add(time.Duration(rng.Int64N(int64(24 * time.Hour))))
		}
		times[i] = times[i].Truncate(time.Millisecond)
	}
	slices.SortFunc(times, time.Time.Compare)
	s := &stream{name: "a made-up stream"}
	for i, at := range times {
		s.add(strconv.Itoa(1_000_000+i*7), teamOf(rng, at), at)
		if rng.IntN(madeRepeats) == 0 {
			again := s.rows[len(s.rows)-1-rng.IntN(min(len(s.rows), 50))]
			s.add(again.Tweet, again.Entity, again.At)
		}
	}
	return s
}

func (s *stream) add(tweet, team string, at time.Time) {
	s.rows = append(s.rows, Row{ID: rowKey(len(s.rows) + 1), Tweet: tweet, Entity: team, Group: "teams", At: at})
}

// teamOf picks a team: of the two that play, if it is time, else one of those
// that people like.
func teamOf(rng *rand.Rand, at time.Time) string {
	if since := at.Sub(at.Truncate(24 * time.Hour)); since >= 19*time.Hour && since < 19*time.Hour+matchMinutes*time.Minute && rng.IntN(4) > 0 {
		return teams[(2*at.Day()+rng.IntN(2))%len(teams)]
	}
	// The n-th is liked 1/n as much as the first.
	n := int(float64(len(teams)) * rng.Float64() * rng.Float64())
	return teams[n]
}
