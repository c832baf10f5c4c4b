package amorphoustest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A copied row lies in the partition of whom it is for.
type copied struct {
	ID   string `persistence:"key"`
	For  string
	At   time.Time
	Text string
}

var derivedAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A letter is a version of an object, and whom it implies rows for.
type letter struct {
	version int64
	text    string
	readers []string // nil: deleted
}

func (l letter) origin(key string) amorphous.Origin {
	return amorphous.Origin{Key: key, Stamp: amorphous.Stamp{Version: l.version, Tie: 3}}
}

func (l letter) rows(key string) func(yield func(copied) bool) {
	return func(yield func(copied) bool) {
		for i, reader := range l.readers {
			if !yield(copied{key, reader, derivedAt.Add(time.Duration(i) * time.Second), l.text}) {
				return
			}
		}
	}
}

func letterTo(version int64, readers ...string) letter {
	return letter{version, fmt.Sprint("v", version), readers}
}

func many(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s%05d", prefix, i)
	}
	return out
}

// derivedIn returns derived rows in a store, with fresh tables.
func derivedIn(t *testing.T, store *amorphous.Store, name string, bucket time.Duration, splitAt int) *amorphous.Derived[copied] {
	t.Helper()
	d, err := amorphous.NewDerived[copied](store, name,
		&amorphous.Layout{PartitionBy: "For", Newest: "At", Bucket: bucket}, &amorphous.RegisterOptions{SplitAt: splitAt})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.CreateSchema(t.Context(), d.Tables()...); err != nil {
		t.Fatalf("create schema: %v", err)
	}
	return d
}

// put writes a version and says whether it was overruled.
func put(t failer, ctx context.Context, d *amorphous.Derived[copied], key string, l letter) (overruled bool) {
	t.Helper()
	err := d.Put(ctx, l.origin(key), l.rows(key))
	if err != nil && !errors.Is(err, amorphous.ErrSuperseded) {
		t.Errorf("put of %q at version %d: %v", key, l.version, err)
	}
	return err != nil
}

// left checks that exactly the newest version's rows are left, of all that the
// letters imply, and that nothing else is registered.
func left(t failer, ctx context.Context, sentence string, d *amorphous.Derived[copied], key string, letters ...letter) {
	t.Helper()
	newest := slices.MaxFunc(letters, func(a, b letter) int { return int(a.version - b.version) })
	var want, got []string
	seen := map[string]bool{}
	for _, l := range letters {
		for _, reader := range l.readers {
			if seen[reader] {
				continue
			}
			seen[reader] = true
			for row, err := range d.All(ctx, reader, nil) {
				if err != nil {
					t.Fatalf("%s: %v", sentence, err)
				}
				if row.ID == key {
					got = append(got, row.For+" "+row.Text)
				}
			}
		}
	}
	for _, reader := range newest.readers {
		want = append(want, reader+" "+newest.text)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %d rows %.200q, want %d rows %.200q", sentence, len(got), got, len(want), want)
	}
	registered, err := d.Rows().Registered(ctx, key)
	if err != nil || len(registered) != 1 || registered[0].Stamp.Version != newest.version || len(registered[0].Places) != len(newest.readers) {
		t.Errorf("%s: the newest version is registered, alone, with all of its places: got %d of %v, %v", sentence, len(registered), stampsOf(registered), err)
	}
}

func stampsOf(registered []amorphous.Registration) (out []string) {
	for _, r := range registered {
		out = append(out, fmt.Sprintf("%d: %d places", r.Stamp.Version, len(r.Places)))
	}
	return out
}

func testDerived(t *testing.T, h Harness) {
	store := h.open(t)
	d := derivedIn(t, store, freshName(), 24*time.Hour, 0)
	ctx := t.Context()
	t.Run("Follows", func(t *testing.T) {
		first, second, third := letterTo(1, "ann", "bob"), letterTo(2, "bob", "cat"), letterTo(3)
		put(t, ctx, d, "a", first)
		left(t, ctx, "a version has its rows", d, "a", first)
		put(t, ctx, d, "a", second)
		left(t, ctx, "a newer version removes the rows that it no longer implies", d, "a", first, second)
		if !put(t, ctx, d, "a", first) {
			t.Error("a late version is superseded")
		}
		left(t, ctx, "a late version changes nothing", d, "a", first, second)
		put(t, ctx, d, "a", second)
		left(t, ctx, "a repeat changes nothing", d, "a", first, second)
		put(t, ctx, d, "a", third)
		left(t, ctx, "a delete removes all rows", d, "a", first, second, third)
		put(t, ctx, d, "a", second)
		left(t, ctx, "a late version after a delete brings nothing back", d, "a", first, second, third)
		put(t, ctx, d, "a", letterTo(4, "ann"))
		left(t, ctx, "a newer version after a delete has its rows", d, "a", first, second, third, letterTo(4, "ann"))
	})
	t.Run("EveryOrder", func(t *testing.T) {
		letters := []letter{letterTo(1, "a", "b"), letterTo(2, "b", "c"), letterTo(3), letterTo(4, "a", "d"), letterTo(5, "b")}
		lengths := []int{4, 5}
		if h.Brief {
			lengths = []int{4}
		}
		for _, n := range lengths {
			for i, order := range permutations(n) {
				key := fmt.Sprintf("order%d-%d", n, i)
				for _, at := range order {
					put(t, ctx, d, key, letters[at])
				}
				if i%10 == 0 || h.Brief {
					left(t, ctx, fmt.Sprintf("rows are the same in whatever order versions arrive (%v)", order), d, key, letters[:n]...)
				}
			}
		}
	})
	t.Run("Group", func(t *testing.T) { testDerivedGroup(t, d) })
	t.Run("Large", func(t *testing.T) { testDerivedLarge(t, d, h.Rows) })
	t.Run("Race", func(t *testing.T) { testDerivedRace(t, d, h.Rows/20) })
	t.Run("Expires", func(t *testing.T) {
		gone, kept := letterTo(1, "ann").origin("gone"), letterTo(1, "ann").origin("kept")
		gone.Expires, kept.Expires = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
		err := errors.Join(d.Put(ctx, gone, letterTo(1, "exp").rows("gone")), d.Put(ctx, kept, letterTo(1, "exp").rows("kept")))
		rows, failed := d.List(ctx, "exp", 0)
		if err != nil || failed != nil || len(rows) != 1 || rows[0].ID != "kept" {
			t.Errorf("rows end when their origin says: %v, %v, %v", rows, err, failed)
		}
	})
	t.Run("Splits", func(t *testing.T) { testSplits(t, h) })
	t.Run("Limits", func(t *testing.T) { testDerivedLimits(t, d) })
	t.Run("EveryInterleaving", func(t *testing.T) { testInterleavings(t, h) })
}

// testDerivedGroup writes many origins in one call, two versions of some.
func testDerivedGroup(t *testing.T, d *amorphous.Derived[copied]) {
	var all []amorphous.Implication
	var letters [][2]letter
	for i := range 40 {
		key := fmt.Sprintf("group%d", i)
		pair := [2]letter{letterTo(2, many(fmt.Sprintf("g%d-", i), i)...), letterTo(int64(1+2*(i%2)), "g")}
		letters = append(letters, pair)
		for _, l := range pair {
			all = append(all, d.Imply(l.origin(key), amorphous.Infallible(l.rows(key))))
		}
	}
	for i, err := range d.Rows().Put(t.Context(), all...) {
		older := letters[i/2][i%2].version < letters[i/2][1-i%2].version
		if older != errors.Is(err, amorphous.ErrSuperseded) || !older && err != nil {
			t.Errorf("each origin of a group has its own answer: %d got %v", i, err)
		}
	}
	for i, pair := range letters {
		left(t, t.Context(), "each origin of a group has its own rows", d, fmt.Sprintf("group%d", i), pair[:]...)
	}
}

// testDerivedLarge writes objects that imply more than fits into one chunk.
func testDerivedLarge(t *testing.T, d *amorphous.Derived[copied], n int) {
	ctx := t.Context()
	first := letterTo(1, many("large", n)...)
	second := letterTo(2, append(many("large", n/2), many("other", n/2)...)...)
	put(t, ctx, d, "large", first)
	left(t, ctx, "large implications are written whole", d, "large", first)
	rows, err := d.Of(ctx, "large")
	if err != nil || len(rows) != n {
		t.Errorf("an origin tells its rows: %d of %d, %v", len(rows), n, err)
	}
	broken := errors.New("broken")
	asked := 0
	half := d.Imply(second.origin("large"), func(yield func(copied, error) bool) {
		n := 0
		asked++
		for row := range second.rows("large") {
			// What would break when all is asked for first leaves nothing to finish.
			if n++; n > len(second.readers)*3/4 && asked != 2 {
				yield(copied{}, broken)
				return
			}
			if !yield(row, nil) {
				return
			}
		}
	})
	if err := d.Rows().Put(ctx, half)[0]; !errors.Is(err, broken) {
		t.Errorf("an error of the sequence comes back: %v", err)
	}
	put(t, ctx, d, "large", second)
	left(t, ctx, "what was cut off is finished by its repeat", d, "large", first, second)
	put(t, ctx, d, "large", first)
	left(t, ctx, "a large late version leaves nothing", d, "large", first, second)
	put(t, ctx, d, "large", letterTo(3))
	left(t, ctx, "a delete removes all rows", d, "large", first, second, letterTo(3))
}

// testDerivedRace lets four writers write versions of the same origins.
func testDerivedRace(t *testing.T, d *amorphous.Derived[copied], origins int) {
	letters := []letter{letterTo(1, "r1", "r2"), letterTo(2, "r2", "r3"), letterTo(3), letterTo(4, "r1", "r4")}
	var wg sync.WaitGroup
	for w := range letters {
		wg.Go(func() {
			for i := range origins {
				put(t, t.Context(), d, fmt.Sprintf("race%d", i), letters[(i+w)%len(letters)])
			}
		})
	}
	wg.Wait()
	count := map[string]int{}
	for _, reader := range []string{"r1", "r2", "r3", "r4"} {
		for row, err := range d.All(t.Context(), reader, nil) {
			if err != nil {
				t.Fatal(err)
			}
			count[reader+" "+row.Text]++
		}
	}
	if len(count) != 2 || count["r1 v4"] != origins || count["r4 v4"] != origins {
		t.Errorf("exactly the newest versions' rows are left, of each of %d origins: %v", origins, count)
	}
}

// testSplits fills a bucket until it splits, twice, and reads it as one.
func testSplits(t *testing.T, h Harness) {
	ctx, name := t.Context(), freshName()
	d := derivedIn(t, h.open(t), name, 24*time.Hour, 40)
	const origins = 200
	late := func(i int) letter { return letterTo(int64(i+1), "hot") }
	for from := 0; from < origins; from += 10 {
		var all []amorphous.Implication
		for i := range 10 {
			key := fmt.Sprintf("s%03d", from+i)
			all = append(all, d.Imply(late(from+i).origin(key), amorphous.Infallible(func(yield func(copied) bool) {
				yield(copied{key, "hot", derivedAt.Add(time.Duration(from+i) * time.Second), "first"})
			})))
		}
		if err := errors.Join(d.Rows().Put(ctx, all...)...); err != nil {
			t.Fatal(err)
		}
	}
	other := derivedIn(t, h.open(t), name, 24*time.Hour, 40) // another program, that knows nothing of it yet
	partitions := map[string]bool{}
	page, err := h.open(t).Scan(ctx, d.Tables()[0], amorphous.Range{Limit: 1000})
	for _, row := range page.Rows {
		partitions[row.Partition] = true
	}
	if err != nil || len(partitions) < 4 {
		t.Errorf("a bucket that becomes too full is split: its rows lie in %d partitions, %v", len(partitions), err)
	}
	for _, d := range []*amorphous.Derived[copied]{d, other} {
		inOrder(t, d, nil, many2(origins))
		inOrder(t, d, &amorphous.Query{Reverse: true}, many2(origins))
		inOrder(t, d, &amorphous.Query{From: derivedAt.Add(50 * time.Second), To: derivedAt.Add(150 * time.Second)}, many2(origins)[50:150])
	}
	// New versions and deletes by the program that does not know the splits.
	for i := range origins {
		key := fmt.Sprintf("s%03d", i)
		l := letter{version: 1000}
		if i%2 == 0 {
			l.readers = []string{"hot"}
			err = other.Put(ctx, l.origin(key), func(yield func(copied) bool) {
				yield(copied{key, "hot", derivedAt.Add(time.Duration(i) * time.Second), "second"})
			})
		} else {
			err = other.Delete(ctx, l.origin(key))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	even := slices.DeleteFunc(many2(origins), func(key string) bool { return (key[3]-'0')%2 == 1 })
	for row := range inOrder(t, d, nil, even) {
		if row.Text != "second" {
			t.Errorf("the newest version of a row is read, wherever it lies: %v", row)
		}
	}
	if row, err := d.Get(ctx, copied{ID: "s004", For: "hot", At: derivedAt.Add(4 * time.Second)}); err != nil || row.Text != "second" {
		t.Errorf("a row of a split bucket is read by its place: %v, %v", row, err)
	}
}

func many2(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("s%03d", i)
	}
	return out
}

// inOrder reads the hot partition in small pages, and checks its keys. Oldest
// keys are first in want.
func inOrder(t *testing.T, d *amorphous.Derived[copied], q *amorphous.Query, want []string) func(yield func(copied) bool) {
	t.Helper()
	query := amorphous.Query{Limit: 7}
	if q != nil {
		query.From, query.To, query.Reverse = q.From, q.To, q.Reverse
	}
	var rows []copied
	var got []string
	for {
		page, next, err := d.Page(t.Context(), "hot", &query)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, page...)
		if query.After = next; next == nil {
			break
		}
	}
	for _, row := range rows {
		got = append(got, row.ID)
	}
	want = slices.Clone(want)
	if !query.Reverse {
		slices.Reverse(want)
	}
	if !slices.Equal(got, want) {
		t.Errorf("a split bucket is read as one, in order, page by page: got %d %v, want %d %v", len(got), got, len(want), want)
	}
	return slices.Values(rows)
}

func testDerivedLimits(t *testing.T, d *amorphous.Derived[copied]) {
	ctx := t.Context()
	err := d.Put(ctx, letterTo(0, "x").origin("limits"), nil)
	class(t, "a version is greater than zero", err, fault.ErrInvalid)
	err = d.Put(ctx, letterTo(1).origin(""), nil)
	class(t, "an origin has a key", err, fault.ErrInvalid)
	err = d.Put(ctx, letterTo(1).origin("limits"), letterTo(1, strings.Repeat("x", 300)).rows("limits"))
	class(t, "a partition has a limit", err, fault.ErrTooLarge)
	if registered, err := d.Rows().Registered(ctx, "limits"); err != nil || len(registered) != 0 {
		t.Errorf("what is refused is not registered: %v, %v", registered, err)
	}
	if _, err := d.Get(ctx, copied{ID: "nobody", For: "ann", At: derivedAt}); err == nil {
		t.Error("a row that is not there is an error")
	}
}
