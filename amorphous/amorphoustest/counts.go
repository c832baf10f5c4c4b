package amorphoustest

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// testCounts runs the checks of Counter on the driver as it is and, where it
// sums in transactions, as a driver that does not.
func testCounts(t *testing.T, h Harness) {
	t.Run("AsItIs", func(t *testing.T) { testCounter(t, h) })
	driver, err := h.Source.OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, tallies := driver.(amorphous.Tallier)
	if err := driver.Close(); err != nil {
		t.Fatal(err)
	}
	if tallies {
		plain := h
		plain.Source = rowsOnly{h.Source}
		t.Run("RowsOnly", func(t *testing.T) { testCounter(t, plain) })
	}
}

// rowsOnly hides that a driver sums.
type rowsOnly struct{ amorphous.Source }

type rowsDriver struct{ amorphous.Driver }

func (s rowsOnly) OpenDriver(ctx context.Context) (amorphous.Driver, error) {
	driver, err := s.Source.OpenDriver(ctx)
	return rowsDriver{driver}, err
}

func (d rowsDriver) Features() amorphous.Features { return d.Driver.(amorphous.Featured).Features() }

// A counter under test.
type counter struct {
	*testing.T
	h      Harness
	name   string
	counts amorphous.Counts
	*amorphous.Counter
}

// counter opens the store with one fresh counter.
func (h Harness) counter(t *testing.T, counts amorphous.Counts) *counter {
	t.Helper()
	c := &counter{T: t, h: h, name: "c" + strings.ToLower(rand.Text()[:12]), counts: counts}
	store := h.open(t)
	c.Counter = c.on(store, counts)
	if err := store.CreateSchema(t.Context(), c.Tables()...); err != nil {
		t.Fatal(err)
	}
	return c
}

// on is the counter in another opening of the store, or with other words.
func (c *counter) on(store *amorphous.Store, counts amorphous.Counts) *amorphous.Counter {
	c.Helper()
	out, err := amorphous.NewCounter(store, c.name, &counts)
	if err != nil {
		c.Fatal(err)
	}
	return out
}

// must makes objects count.
func (c *counter) must(objs ...amorphous.Counted) {
	c.Helper()
	if err := c.Put(c.Context(), objs...); err != nil {
		c.Fatalf("put: %v", err)
	}
}

// top checks all sums of a query.
func (c *counter) top(sentence string, q amorphous.CountQuery, want ...string) {
	c.Helper()
	found, err := c.Top(c.Context(), q, 0)
	if err != nil {
		c.Fatalf("top: %v", err)
	}
	var got []string
	sum := int64(0)
	for _, one := range found {
		got = append(got, fmt.Sprint(strings.Join(one.Of, "/"), "=", one.N))
		sum += one.N
	}
	if !slices.Equal(got, want) {
		c.Errorf("%s: top is %v, want %v", sentence, got, want)
	}
	total, err := c.Total(c.Context(), q)
	if err != nil || total != sum {
		c.Errorf("%s: the total is %d, want %d: %v", sentence, total, sum, err)
	}
}

// series checks a series, each bucket as its beginning and its number.
func (c *counter) series(sentence string, q amorphous.CountQuery, layout string, want ...string) {
	c.Helper()
	found, err := c.Series(c.Context(), q)
	if err != nil {
		c.Fatalf("series: %v", err)
	}
	var got []string
	for _, one := range found {
		got = append(got, fmt.Sprint(one.At.Format(layout), "=", one.N))
	}
	if !slices.Equal(got, want) {
		c.Errorf("%s: the series is %v, want %v", sentence, got, want)
	}
}

// noon is long past, so that its chunks are over and may be sealed.
var noon = time.Date(2022, 11, 28, 12, 0, 0, 0, time.UTC)

// counted is a version of an object that counts once, for values that are
// joined by a slash.
func counted(key string, version int64, of string, at time.Time) amorphous.Counted {
	return amorphous.Counted{Key: key, Stamp: amorphous.Stamp{Version: version, Tie: 1},
		Counts: []amorphous.Count{{Of: strings.Split(of, "/"), At: at, N: 1}}}
}

var perMinute = amorphous.Counts{By: []string{"country", "city"}, Per: []time.Duration{time.Minute, time.Hour, 24 * time.Hour}}

func testCounter(t *testing.T, h Harness) {
	t.Run("Versions", func(t *testing.T) { testCountVersions(h.counter(t, perMinute)) })
	t.Run("Ranges", func(t *testing.T) { testCountRanges(h.counter(t, perMinute)) })
	t.Run("Zones", func(t *testing.T) { testCountZones(t, h) })
	t.Run("Sums", func(t *testing.T) { testCountSums(h.counter(t, amorphous.Counts{By: []string{"a"}})) })
	t.Run("Shards", func(t *testing.T) { testCountShards(h.counter(t, perMinute)) })
	t.Run("OneCall", func(t *testing.T) { testCountOneCall(h.counter(t, perMinute)) })
	t.Run("HotKey", func(t *testing.T) { testCountHotKey(h.counter(t, perMinute)) })
	t.Run("TwoPrograms", func(t *testing.T) { testCountPrograms(h.counter(t, perMinute)) })
	t.Run("Model", func(t *testing.T) { testCountModel(h.counter(t, perMinute)) })
}

func testCountVersions(c *counter) {
	c.must(counted("a", 10, "gh/accra", noon), counted("b", 10, "gh/kumasi", noon))
	c.top("each object counts", amorphous.CountQuery{}, "gh/accra=1", "gh/kumasi=1")
	c.must(counted("a", 10, "gh/accra", noon))
	c.top("a repeat changes nothing", amorphous.CountQuery{}, "gh/accra=1", "gh/kumasi=1")
	c.must(counted("a", 20, "gh/kumasi", noon.Add(time.Hour)))
	c.top("a newer version moves", amorphous.CountQuery{}, "gh/kumasi=2")
	c.must(counted("a", 15, "fr/paris", noon))
	c.must(counted("a", 10, "gh/accra", noon))
	c.top("a late older version changes nothing", amorphous.CountQuery{}, "gh/kumasi=2")
	c.must(amorphous.Counted{Key: "a", Stamp: amorphous.Stamp{Version: 18}})
	c.top("a late older delete changes nothing", amorphous.CountQuery{}, "gh/kumasi=2")
	c.must(amorphous.Counted{Key: "a", Stamp: amorphous.Stamp{Version: 30}})
	c.top("a delete takes out", amorphous.CountQuery{}, "gh/kumasi=1")
	c.must(counted("a", 20, "gh/kumasi", noon.Add(time.Hour)), counted("a", 25, "fr/paris", noon))
	c.top("what is older than a delete stays out", amorphous.CountQuery{}, "gh/kumasi=1")
	c.must(counted("a", 40, "gh/accra", noon))
	c.top("a newer version counts again", amorphous.CountQuery{}, "gh/accra=1", "gh/kumasi=1")
	many := counted("m", 1, "de/berlin", noon)
	many.Counts = append(many.Counts, counted("", 1, "de/bonn", noon).Counts[0], many.Counts[0])
	c.must(many)
	c.top("an object may have many counts", amorphous.CountQuery{Of: []string{"de"}}, "de/berlin=2", "de/bonn=1")
	few := counted("m", 2, "de/bonn", noon)
	c.must(few)
	c.top("fewer counts take out the others", amorphous.CountQuery{Of: []string{"de"}}, "de/bonn=1")
	if err := c.Delete(c.Context(), "m", "never there"); err != nil {
		c.Error(err)
	}
	c.top("deleted by key", amorphous.CountQuery{Of: []string{"de"}})
}

func testCountRanges(c *counter) {
	for i, after := range []time.Duration{0, time.Minute, 59 * time.Minute, time.Hour, 23 * time.Hour, 36 * time.Hour, 24 * 40 * time.Hour} {
		c.must(counted(fmt.Sprint("o", i), 1, "gh/accra", noon.Add(after)))
	}
	c.must(counted("x", 1, "ghx/accra", noon), counted("y", 1, "/", noon))
	accra := []string{"gh", "accra"}
	c.series("per minute", amorphous.CountQuery{Of: accra, To: noon.Add(2 * time.Hour)}, "15:04", "12:00=1", "12:01=1", "12:59=1", "13:00=1")
	c.series("per hour", amorphous.CountQuery{Of: accra, Per: time.Hour, To: noon.Add(24 * time.Hour)}, "2 15", "28 12=3", "28 13=1", "29 11=1")
	c.series("per day", amorphous.CountQuery{Of: accra, Per: 24 * time.Hour}, "2006-01-02", "2022-11-28=4", "2022-11-29=1", "2022-11-30=1", "2023-01-07=1")
	c.series("from, inclusive, to, exclusive", amorphous.CountQuery{Of: accra, From: noon.Add(time.Minute), To: noon.Add(time.Hour)}, "15:04", "12:01=1", "12:59=1")
	c.series("within a minute", amorphous.CountQuery{Of: accra, From: noon.Add(time.Second), To: noon.Add(90 * time.Second)}, "15:04", "12:01=1")
	c.series("empty", amorphous.CountQuery{Of: accra, From: noon.Add(-time.Hour), To: noon}, "15:04")
	c.top("by the first dimension", amorphous.CountQuery{Of: []string{"gh"}, To: noon.Add(2 * time.Hour)}, "gh/accra=4")
	c.top("values may be empty", amorphous.CountQuery{Of: []string{"", ""}}, "/=1")
	c.series("all together", amorphous.CountQuery{To: noon.Add(time.Minute)}, "15:04", "12:00=3")
	top, err := c.Top(c.Context(), amorphous.CountQuery{}, 1)
	if err != nil || len(top) != 1 || top[0].N != 7 {
		c.Errorf("the k largest: %v, %v", top, err)
	}
}

// testCountZones: hours and days are those of the clocks, a day that begins or
// ends summer time has 23 or 25 hours, and an offset may have half an hour.
func testCountZones(t *testing.T, h Harness) {
	for _, z := range []struct {
		zone        string
		from        time.Time
		hours       int
		days, first []string
	}{
		{"Europe/Berlin", time.Date(2026, 3, 27, 23, 0, 0, 0, time.UTC), 60,
			[]string{"03-28+0100=48", "03-29+0100=46", "03-30+0200=26"}, []string{"28 00:00=2", "28 01:00=2", "28 02:00=2"}},
		{"Europe/Berlin", time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC), 60,
			[]string{"10-25+0200=50", "10-26+0100=48", "10-27+0100=22"}, []string{"25 00:00=2", "25 01:00=2", "25 02:00=2", "25 02:00=2", "25 03:00=2"}},
		{"Asia/Kolkata", time.Date(2026, 1, 1, 18, 30, 0, 0, time.UTC), 30,
			[]string{"01-02+0530=48", "01-03+0530=12"}, []string{"2 00:00=2", "2 01:00=2"}},
	} {
		c := h.counter(t, amorphous.Counts{Zone: z.zone, Per: []time.Duration{10 * time.Minute, time.Hour, 24 * time.Hour}})
		var objs []amorphous.Counted
		for i := range 2 * z.hours {
			objs = append(objs, amorphous.Counted{Key: fmt.Sprint(i), Stamp: amorphous.Stamp{Version: 1},
				Counts: []amorphous.Count{{At: z.from.Add(time.Duration(i) * 30 * time.Minute), N: 1}}})
		}
		c.must(objs...)
		c.series(z.zone, amorphous.CountQuery{Per: 24 * time.Hour}, "01-02Z0700", z.days...)
		found, err := c.Series(c.Context(), amorphous.CountQuery{Per: time.Hour})
		var got []string
		for _, hour := range found[:min(len(z.first), len(found))] {
			got = append(got, fmt.Sprint(hour.At.Format("2 15:04"), "=", hour.N))
		}
		if err != nil || !slices.Equal(got, z.first) {
			c.Errorf("%s: hours are %v, want %v: %v", z.zone, got, z.first, err)
		}
	}
}

func testCountSums(c *counter) {
	sum := func(key string, version, n int64) amorphous.Counted {
		return amorphous.Counted{Key: key, Stamp: amorphous.Stamp{Version: version}, Counts: []amorphous.Count{{Of: []string{"x"}, N: n}}}
	}
	c.must(sum("a", 1, 40), sum("b", 1, -7), sum("c", 1, 0))
	c.top("numbers are added", amorphous.CountQuery{}, "x=33")
	c.must(sum("a", 2, 50), sum("a", 1, 40))
	c.top("a newer version adds what it says", amorphous.CountQuery{}, "x=43")
	c.must(sum("a", 3, 7))
	c.top("what sums up to zero is left out", amorphous.CountQuery{})
}

// testCountShards: how many partitions share a value may change at any time.
func testCountShards(c *counter) {
	objs := make([]amorphous.Counted, 40)
	for i := range objs {
		objs[i] = counted(fmt.Sprint("s", i), 1, "gh/accra", noon)
	}
	for _, shards := range []int{1, 8, 3} {
		counts := perMinute
		counts.Shards = shards
		c.Counter = c.on(c.h.open(c.T), counts)
		c.must(objs...)
		c.top(fmt.Sprint(shards, " shards"), amorphous.CountQuery{}, "gh/accra=40")
	}
}

// testCountOneCall: several versions of one object in one call.
func testCountOneCall(c *counter) {
	errs := c.Write(c.Context(), counted("o", 2, "b/", noon), counted("o", 5, "d/", noon), counted("o", 3, "c/", noon),
		counted("o", 5, "d/", noon), amorphous.Counted{Key: "bad", Counts: []amorphous.Count{{N: 1}}})
	for i, err := range errs {
		if i == 4 != (err != nil && !isSuperseded(err)) || i%2 == 1 && err != nil {
			c.Errorf("element %d is %v", i, err)
		}
	}
	c.top("of several versions of one call the newest counts", amorphous.CountQuery{}, "d/=1")
}

// testCountHotKey: 64 writers of one value, each object written by two of them
// in two versions, while others read.
func testCountHotKey(c *counter) {
	const writers, each = 64, 10
	ctx, stop := context.WithCancel(c.Context())
	var reading, writing sync.WaitGroup
	for range 2 {
		reading.Go(func() {
			for ctx.Err() == nil {
				if n, err := c.Total(ctx, amorphous.CountQuery{Of: []string{"gh", "accra"}}); ctx.Err() == nil && (err != nil || n > 2*writers*each) {
					c.Errorf("a reader beside writers: %d, %v", n, err)
				}
			}
		})
	}
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				key := fmt.Sprint("h", (w/2)*each+i)
				at := noon.Add(time.Duration(w%2*i) * time.Minute)
				if err := c.Put(c.Context(), counted(key, int64(w+1), "gh/accra", at)); err != nil {
					c.Error(err)
				}
			}
		})
	}
	writing.Wait()
	stop()
	reading.Wait()
	c.top("each object counts once", amorphous.CountQuery{}, fmt.Sprint("gh/accra=", writers/2*each))
	var want []string
	for i := range each {
		want = append(want, fmt.Sprint(noon.Add(time.Duration(i)*time.Minute).Format("15:04"), "=", writers/2))
	}
	c.series("as its newest version says", amorphous.CountQuery{}, "15:04", want...)
}

// testCountPrograms: two programs count the same objects in batches, one of
// them in other versions, and read what the other one sealed.
func testCountPrograms(c *counter) {
	other := c.on(c.h.open(c.T), c.counts)
	const n = 200
	first, second := make([]amorphous.Counted, n), make([]amorphous.Counted, n)
	for i := range n {
		key := fmt.Sprint("p", i)
		first[i] = counted(key, 1, "gh/accra", noon)
		second[i] = counted(key, 1+int64(i%2), fmt.Sprint("gh/", []string{"accra", "kumasi"}[i%2]), noon)
	}
	var wg sync.WaitGroup
	for start := 0; start < n; start += 50 {
		wg.Go(func() { c.must(first[start : start+50]...) })
		wg.Go(func() {
			if err := other.Put(c.Context(), second[start:start+50]...); err != nil {
				c.Error(err)
			}
		})
	}
	wg.Wait()
	for range 2 {
		c.top("both programs", amorphous.CountQuery{}, "gh/accra=100", "gh/kumasi=100")
	}
	// What one has summed, the other one must not believe after a change.
	if err := other.Put(c.Context(), counted("p0", 9, "gh/kumasi", noon), counted("new", 1, "gh/kumasi", noon)); err != nil {
		c.Error(err)
	}
	c.top("after a change by the other", amorphous.CountQuery{}, "gh/kumasi=102", "gh/accra=99")
}
