package embedded_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// A mention of one of 37 entities within a day, most of them of few. Its key
// begins with its time, as those of tweets do.
type mention struct {
	key, entity string
	at          time.Time
}

const countGroup = 500

func mentionsOf(n int) []mention {
	random := rand.New(rand.NewPCG(1, 2))
	kickoff := time.Date(2022, 11, 28, 0, 0, 0, 0, time.UTC)
	out := make([]mention, n)
	for i := range out {
		at := kickoff.Add(time.Duration(i) * 24 * time.Hour / time.Duration(n))
		out[i] = mention{fmt.Sprint(at.UnixMilli()<<22 | random.Int64N(1<<22)), fmt.Sprint("entity ", random.IntN(1+random.IntN(37))), at}
	}
	return out
}

// BenchmarkCount counts mentions per entity and minute, hour and day, in
// groups of 500: exactly, and, as one would by hand, with counters that are
// incremented and would count a repeat twice: all three, or the minute's only.
// Both do it with an fsync a group. The figure is mentions per second.
func BenchmarkCount(b *testing.B) {
	b.Run("exact", func(b *testing.B) {
		counter, err := amorphous.NewCounter(benchStore(b), "mentions", &amorphous.Counts{By: []string{"entity"}, Per: []time.Duration{time.Minute, time.Hour, 24 * time.Hour}})
		if err != nil {
			b.Fatal(err)
		}
		mentions := mentionsOf(b.N)
		objs := make([]amorphous.Counted, 0, countGroup)
		b.ReportAllocs()
		b.ResetTimer()
		for i, m := range mentions {
			objs = append(objs, amorphous.Counted{Key: m.key, Counts: []amorphous.Count{{Of: []string{m.entity}, At: m.at, N: 1}}})
			if len(objs) == countGroup || i == len(mentions)-1 {
				if err := counter.Put(b.Context(), objs...); err != nil {
					b.Fatal(err)
				}
				objs = objs[:0]
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mentions/s")
		b.StopTimer()
		if n, err := counter.Total(b.Context(), amorphous.CountQuery{}); err != nil || n != int64(b.N) {
			b.Errorf("counted %d of %d: %v", n, b.N, err)
		}
	})
	for _, per := range [][]time.Duration{{time.Minute, time.Hour, 24 * time.Hour}, {time.Minute}} {
		b.Run(fmt.Sprintf("increments=%d", len(per)), func(b *testing.B) { benchIncrements(b, per) })
	}
}

func benchIncrements(b *testing.B, per []time.Duration) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "x.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate&_pragma=cache_size(-65536)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE c (entity TEXT, per INTEGER, at INTEGER, n INTEGER, PRIMARY KEY (entity, per, at)) WITHOUT ROWID"); err != nil {
		b.Fatal(err)
	}
	const most = 64
	text := func(rows int) string {
		return "INSERT INTO c VALUES (?,?,?,1)" + strings.Repeat(",(?,?,?,1)", rows-1) + " ON CONFLICT DO UPDATE SET n=n+1"
	}
	full, err := db.Prepare(text(most))
	if err != nil {
		b.Fatal(err)
	}
	mentions := mentionsOf(b.N)
	b.ReportAllocs()
	b.ResetTimer()
	for len(mentions) > 0 {
		group := mentions[:min(countGroup, len(mentions))]
		mentions = mentions[len(group):]
		tx, err := db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		args := make([]any, 0, 3*most)
		flush := func() {
			switch rows := len(args) / 3; {
			case rows == most:
				_, err = tx.Stmt(full).Exec(args...)
			case rows > 0:
				_, err = tx.Exec(text(rows), args...)
			}
			if args = args[:0]; err != nil {
				b.Fatal(err)
			}
		}
		for _, m := range group {
			for _, p := range per {
				if args = append(args, m.entity, int64(p), m.at.Truncate(p).Unix()); len(args) == 3*most {
					flush()
				}
			}
		}
		flush()
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mentions/s")
}
