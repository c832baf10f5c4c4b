package embedded_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

const countGroup = 500

// countedPer are the buckets of time in which the benchmarks count.
var countedPer = []time.Duration{time.Minute, time.Hour, 24 * time.Hour}

// mentionsOf are n mentions of some of 37 entities, most of them of few, of a
// stream that brings 100,000 a day. Their keys begin with their time, as those of
// tweets do.
func mentionsOf(random *rand.Rand, from, n int) []amorphous.Counted {
	kickoff := time.Date(2022, 11, 28, 0, 0, 0, 0, time.UTC)
	out := make([]amorphous.Counted, n)
	for i := range out {
		at := kickoff.Add(time.Duration(from+i) * 24 * time.Hour / 100_000)
		out[i] = amorphous.Counted{Key: fmt.Sprint(at.UnixMilli()<<22 | random.Int64N(1<<22)),
			Counts: []amorphous.Count{{Of: []string{fmt.Sprint("entity ", random.IntN(1+random.IntN(37)))}, At: at, N: 1}}}
	}
	return out
}

func benchCounter(b *testing.B) *amorphous.Counter {
	b.Helper()
	counter, err := amorphous.NewCounter(benchStore(b), "mentions", &amorphous.Counts{By: []string{"entity"}, Per: countedPer})
	if err != nil {
		b.Fatal(err)
	}
	return counter
}

// BenchmarkCount counts mentions per entity and minute, hour and day, in groups
// of 500: exactly, and in turn, as one would by hand, with counters that are
// incremented and would count a repeat twice: all three, or the minute's only.
// All do it with an fsync a group. "of-increments" and "of-one-increment" are the
// parts of their rates that exact counting reaches, by the median of all turns.
// 100,000 mentions: -benchtime 200x
func BenchmarkCount(b *testing.B) {
	counter := benchCounter(b)
	three, one := increments(b, countedPer), increments(b, countedPer[:1])
	random := rand.New(rand.NewPCG(1, 2))
	var times [3][]time.Duration
	turns := 0
	for ; b.Loop(); turns++ {
		objs := mentionsOf(random, turns*countGroup, countGroup)
		for way, count := range []func([]amorphous.Counted) error{
			func(objs []amorphous.Counted) error { return counter.Put(b.Context(), objs...) }, three, one,
		} {
			start := time.Now()
			if err := count(objs); err != nil {
				b.Fatal(err)
			}
			times[way] = append(times[way], time.Since(start))
		}
	}
	if n, err := counter.Total(b.Context(), amorphous.CountQuery{}); err != nil || n != int64(turns*countGroup) {
		b.Errorf("counted %d of %d: %v", n, turns*countGroup, err)
	}
	exact := median(times[0])
	b.ReportMetric(countGroup/exact, "mentions/s")
	b.ReportMetric(median(times[1])/exact, "of-increments")
	b.ReportMetric(median(times[2])/exact, "of-one-increment")
}

// increments returns what counts by hand.
func increments(b *testing.B, per []time.Duration) func([]amorphous.Counted) error {
	db := openRaw(b, "CREATE TABLE c (entity TEXT, per INTEGER, at INTEGER, n INTEGER, PRIMARY KEY (entity, per, at)) WITHOUT ROWID")
	const most = 64
	text := func(rows int) string {
		return "INSERT INTO c VALUES (?,?,?,1)" + strings.Repeat(",(?,?,?,1)", rows-1) + " ON CONFLICT DO UPDATE SET n=n+1"
	}
	full, err := db.Prepare(text(most))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { full.Close() })
	return func(objs []amorphous.Counted) error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		defer tx.Rollback()
		args := make([]any, 0, 3*most)
		flush := func() error {
			switch rows := len(args) / 3; {
			case rows == most:
				_, err = tx.Stmt(full).Exec(args...)
			case rows > 0:
				_, err = tx.Exec(text(rows), args...)
			}
			args = args[:0]
			return err
		}
		for _, o := range objs {
			m := o.Counts[0]
			for _, p := range per {
				if args = append(args, m.Of[0], int64(p), m.At.Truncate(p).Unix()); len(args) == 3*most {
					if err := flush(); err != nil {
						return err
					}
				}
			}
		}
		if err := flush(); err != nil {
			return err
		}
		return tx.Commit()
	}
}

// BenchmarkHotKey counts by 16 callers, one mention each at a time: of one
// entity in one minute, and in turn of as many entities as there are mentions.
// "of-spread" is the part of their rate that the hot one reaches.
func BenchmarkHotKey(b *testing.B) {
	counter := benchCounter(b)
	const callers, each = 16, 20
	at := time.Date(2022, 11, 28, 0, 0, 0, 0, time.UTC)
	var times [2][]time.Duration
	for turn := 0; b.Loop(); turn++ {
		for way, name := range []func(n int) string{
			func(int) string { return "hot" },
			func(n int) string { return fmt.Sprint("entity ", n) },
		} {
			start := time.Now()
			var wg sync.WaitGroup
			for c := range callers {
				wg.Go(func() {
					for i := range each {
						n := (turn*callers+c)*each + i
						if err := counter.Put(b.Context(), amorphous.Counted{Key: fmt.Sprint(way, " ", n),
							Counts: []amorphous.Count{{Of: []string{name(n)}, At: at, N: 1}}}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			times[way] = append(times[way], time.Since(start))
		}
	}
	hot := median(times[0])
	b.ReportMetric(callers*each/hot, "mentions/s")
	b.ReportMetric(median(times[1])/hot, "of-spread")
}
