package persistence

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	amorphousembedded "github.com/fourfold-dev/fourfold/amorphous/embedded"
	"github.com/fourfold-dev/fourfold/internal/hlc"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	transactionalembedded "github.com/fourfold-dev/fourfold/transactional/embedded"
	"github.com/fourfold-dev/fourfold/volatile"
	volatileembedded "github.com/fourfold-dev/fourfold/volatile/embedded"
)

// readers is a layer that can read, and nothing else: its stores are written
// by hand, so that they can be brought into any state.
func readers(t *testing.T) *Layer {
	t.Helper()
	dir, ctx := t.TempDir(), t.Context()
	rows, err := transactionalembedded.Dir(dir, nil).OpenDriver(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cells, err := amorphousembedded.Dir(dir, nil).OpenDriver(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := volatileembedded.New(nil).OpenDriver(ctx)
	if err != nil {
		t.Fatal(err)
	}
	l := &Layer{ticks: &ticks{clock: hlc.New(0, nil)}}
	var errs [3]error
	l.rows, errs[0] = transactional.New(rows, nil)
	l.cells, errs[1] = amorphous.New(cells, nil)
	l.cache, errs[2] = volatile.New(cache, nil)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(l.cache.Close(), l.cells.Close(), l.rows.Close()); err != nil {
			t.Error(err)
		}
	})
	return l
}

// writeTo writes one version of an object by hand, through one task.
func (l *Layer) writeTo(t *testing.T, k *kind, name string, obj any, version int64) {
	t.Helper()
	key, err := k.typ.KeyOf(value(obj))
	if err != nil {
		t.Fatal(err)
	}
	body, err := k.all.Append(nil, value(obj))
	if err != nil {
		t.Fatal(err)
	}
	w, ctx, now := k.task(name), t.Context(), time.Now()
	stamp := transactional.Stamp{Version: version, Tie: 1}
	if w.write == writeRow {
		row, err := w.rowOf(obj, stamp, false, key)
		if err == nil {
			_, err = l.rows.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{{Table: w.row, Row: row}}})
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	cell, err := w.cellOf(obj, body, amorphous.Stamp(stamp), false, key, now, nil)
	if err == nil {
		err = l.noteBucket(ctx, w, obj, now)
	}
	if err == nil {
		err = l.cells.Write(ctx, w.cell, cell)[0]
	}
	if err != nil {
		t.Fatal(err)
	}
}

// erase writes a tombstone by hand.
func (l *Layer) erase(t *testing.T, k *kind, name, key string, version int64) {
	t.Helper()
	w, stamp := k.task(name), transactional.Stamp{Version: version, Tie: 1}
	if w.write == writeRow {
		row, _ := w.rowOf(nil, stamp, true, key)
		if _, err := l.rows.Apply(t.Context(), &transactional.Unit{Writes: []transactional.Write{{Table: w.row, Row: row}}}); err != nil {
			t.Fatal(err)
		}
		return
	}
	cell, _ := w.cellOf(nil, nil, amorphous.Stamp(stamp), true, key, time.Time{}, nil)
	if err := l.cells.Write(t.Context(), w.cell, cell)[0]; err != nil {
		t.Fatal(err)
	}
}

type halves struct {
	ID  string `persistence:"key"`
	Row int    `transactional:""`
	Doc int    `amorphous:""`
}

func mustCompile[T any](t *testing.T, plan Plan[T]) *kind {
	t.Helper()
	k, faults := compiled(plan, full)
	if len(faults) > 0 {
		t.Fatal(strings.Join(faults, "\n"))
	}
	return k
}

func TestPartsOfTwoVersionsAreNeverMixed(t *testing.T) {
	// It is an error that can be retried, never a partial
	// object and never one of two versions.
	const row, doc = "transactional", "amorphous"
	tests := []struct {
		name  string
		write func(l *Layer, k *kind)
		want  *halves
		err   error
	}{
		{"nothing", func(*Layer, *kind) {}, nil, fault.ErrNotFound},
		{"one version", func(l *Layer, k *kind) {
			l.writeTo(t, k, row, &halves{"a", 1, 1}, 1)
			l.writeTo(t, k, doc, &halves{"a", 1, 1}, 1)
		}, &halves{"a", 1, 1}, nil},
		{"the row is newer", func(l *Layer, k *kind) {
			l.writeTo(t, k, doc, &halves{"a", 1, 1}, 1)
			l.writeTo(t, k, row, &halves{"a", 2, 2}, 2)
		}, nil, fault.ErrBusy},
		{"the cell is newer", func(l *Layer, k *kind) {
			l.writeTo(t, k, row, &halves{"a", 1, 1}, 1)
			l.writeTo(t, k, doc, &halves{"a", 2, 2}, 2)
		}, nil, fault.ErrBusy},
		{"the cell is missing", func(l *Layer, k *kind) {
			l.writeTo(t, k, row, &halves{"a", 1, 1}, 1)
		}, nil, fault.ErrBusy},
		{"the row is missing", func(l *Layer, k *kind) {
			l.writeTo(t, k, doc, &halves{"a", 1, 1}, 1)
		}, nil, fault.ErrBusy},
		{"a delete has reached the row", func(l *Layer, k *kind) {
			l.writeTo(t, k, doc, &halves{"a", 1, 1}, 1)
			l.erase(t, k, row, "a", 2)
		}, nil, fault.ErrNotFound},
		{"a Put after a delete has reached the cell", func(l *Layer, k *kind) {
			l.erase(t, k, row, "a", 1)
			l.writeTo(t, k, doc, &halves{"a", 2, 2}, 2)
		}, nil, fault.ErrBusy},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l, k := readers(t), mustCompile[halves](t, nil)
			test.write(l, k)
			got, err := l.get(t.Context(), k, "a")
			if test.err != nil {
				if !errors.Is(err, test.err) || got != nil {
					t.Fatalf("got %v, %v, want %v", got, err, test.err)
				}
				if test.err == fault.ErrBusy && !fault.Retryable(err) {
					t.Errorf("%v cannot be retried", err)
				}
				return
			}
			if err != nil || *got.(*halves) != *test.want {
				t.Fatalf("got %v, %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestMixedPartsAreReadAgain(t *testing.T) {
	l, k := readers(t), mustCompile[halves](t, nil)
	l.writeTo(t, k, "transactional", &halves{"a", 2, 2}, 2)
	// The Put is under way: its other half comes while Get reads.
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.writeTo(t, k, "amorphous", &halves{"a", 2, 2}, 2)
	}()
	got, err := l.get(t.Context(), k, "a")
	for fault.Retryable(err) {
		got, err = l.get(t.Context(), k, "a")
	}
	<-done
	if err != nil || *got.(*halves) != (halves{"a", 2, 2}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAnUnreachablePartIsAnError(t *testing.T) {
	l, k := readers(t), mustCompile[halves](t, nil)
	l.writeTo(t, k, "transactional", &halves{"a", 1, 1}, 1)
	l.writeTo(t, k, "amorphous", &halves{"a", 1, 1}, 1)
	if err := l.cells.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := l.get(t.Context(), k, "a"); err == nil || errors.Is(err, fault.ErrNotFound) {
		t.Errorf("got %v, %v: a part that cannot be read is neither zero nor not found", got, err)
	}
}

type cachedItem struct {
	ID string `persistence:"key"`
	N  int
}

func TestAForeignCacheEntryIsAMiss(t *testing.T) {
	// A program that knows other properties must not lose them through the
	// cache; bytes that are no entry at all do not stop Get either.
	l := readers(t)
	k := mustCompile(t, Plan[cachedItem]{{Purpose: Amorphous}, {Purpose: Volatile}})
	l.writeTo(t, k, "amorphous", &cachedItem{"a", 1}, 1)
	good, err := k.cache.cacheOf(&cachedItem{"a", 1}, []byte(`{"id":"a","n":1}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, entry := range map[string][]byte{
		"another shape": append([]byte("\x00\x00\x00\x00\x00\x00\x00\x07"), `{"id":"a","n":2}`...),
		"too short":     []byte("x"),
		"cut off":       good[:len(good)-3],
	} {
		err := l.cache.Delete(t.Context(), k.cacheKey("a"))
		if err == nil {
			_, err = l.cache.Raise(t.Context(), k.cacheKey("a"), volatile.Entry{Value: entry, Stamp: volatile.Stamp{Version: 1, Tie: 1}}, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.get(t.Context(), k, "a")
		if err != nil || got.(*cachedItem).N != 1 {
			t.Errorf("an entry of %s makes Get return %v, %v", name, got, err)
		}
		all, err := l.getAll(t.Context(), k, []string{"a", "b"})
		if err != nil || len(all) != 1 || all["a"].(*cachedItem).N != 1 {
			t.Errorf("an entry of %s makes GetAll return %v, %v", name, all, err)
		}
	}
}

func TestADeadCacheIsNoError(t *testing.T) {
	l := readers(t)
	k := mustCompile(t, Plan[cachedItem]{{Purpose: Amorphous}, {Purpose: Volatile}})
	l.writeTo(t, k, "amorphous", &cachedItem{"a", 1}, 1)
	l.cache = brokenCache(t)
	if got, err := l.get(t.Context(), k, "a"); err != nil || got.(*cachedItem).N != 1 {
		t.Errorf("Get returns %v, %v while the cache is down", got, err)
	}
	if all, err := l.getAll(t.Context(), k, []string{"a"}); err != nil || len(all) != 1 {
		t.Errorf("GetAll returns %v, %v while the cache is down", all, err)
	}
}

// brokenCache is a cache whose server is away.
func brokenCache(t *testing.T) *volatile.Cache {
	c, err := volatile.New(awayDriver{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type awayDriver struct{ volatile.Driver }

var errAway = fault.New(fault.ErrUnavailable, "volatile", "reach", "the server is away")

func (awayDriver) Get(context.Context, []string) ([]volatile.Item, error) { return nil, errAway }
func (awayDriver) Swap(context.Context, volatile.Item) error              { return errAway }
func (awayDriver) Features() volatile.Features                            { return volatile.Features{Name: "away"} }
func (awayDriver) Close() error                                           { return nil }

type moment struct {
	ID   string `persistence:"key"`
	User string
	At   time.Time
}

func TestBucketsAreWalked(t *testing.T) {
	// Rows of one partition lie in many buckets, far apart; a query walks those
	// that are there, in either direction, within its bounds, page by page.
	l := readers(t)
	k := mustCompile(t, Plan[moment]{{Name: "log", Purpose: Amorphous, PartitionBy: "User", Newest: "At", Bucket: time.Hour, TTL: 100000 * time.Hour}})
	start := time.Now().UTC().Truncate(time.Hour)
	hours := []int{-70000, -500, -499, 0, 1, 2, 30, 31, 8760, 90000} // three to a bucket
	var want []string
	for i, h := range hours {
		for j := range 3 {
			id := fmt.Sprintf("%02d-%d", i, j)
			at := start.Add(time.Duration(h)*time.Hour + time.Duration(j)*time.Minute)
			l.writeTo(t, k, "log", &moment{id, "ann", at}, int64(1000+i))
			want = append(want, id)
		}
	}
	l.writeTo(t, k, "log", &moment{"other", "ann\x1f", start}, 1)
	ids := func(q Query) string {
		q.Task, q.Where = "log", map[string]any{"User": "ann"}
		var out []string
		for obj, err := range l.find(t.Context(), k, q) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, obj.(*moment).ID)
		}
		return strings.Join(out, " ")
	}
	oldestFirst := strings.Join(want, " ")
	if got := ids(Query{Oldest: true}); got != oldestFirst {
		t.Errorf("oldest first: %s", got)
	}
	if got := ids(Query{}); got != reversed(want) {
		t.Errorf("newest first: %s", got)
	}
	if got := ids(Query{From: start.Add(time.Minute), To: start.Add(30*time.Hour + 2*time.Minute)}); got != reversed(want[10:20]) {
		t.Errorf("between: %s", got)
	}
	if got := ids(Query{From: start.Add(time.Minute), To: start.Add(30*time.Hour + 2*time.Minute), Oldest: true}); got != strings.Join(want[10:20], " ") {
		t.Errorf("between, oldest first: %s", got)
	}
	if got := ids(Query{Limit: 4}); got != reversed(want[26:]) {
		t.Errorf("the newest four: %s", got)
	}
	for _, limit := range []int{1, 2, 3, 4, 7, 29, 30, 31} {
		for _, oldest := range []bool{false, true} {
			checkPages(t, l, k, limit, oldest, want)
		}
	}
}

func checkPages(t *testing.T, l *Layer, k *kind, limit int, oldest bool, want []string) {
	t.Helper()
	q := Query{Task: "log", Where: map[string]any{"User": "ann"}, Limit: limit, Oldest: oldest}
	var got []string
	for pages := 0; pages <= len(want); pages++ {
		objs, next, err := l.findPage(t.Context(), k, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, obj := range objs {
			got = append(got, obj.(*moment).ID)
		}
		if q.After = next; next == "" {
			break
		}
		if len(objs) != limit {
			t.Errorf("a page of %d before the last has %d objects", limit, len(objs))
		}
	}
	whole := reversed(want)
	if oldest {
		whole = strings.Join(want, " ")
	}
	if strings.Join(got, " ") != whole {
		t.Errorf("pages of %d hold %v", limit, got)
	}
}

func reversed(ids []string) string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[len(ids)-1-i] = id
	}
	return strings.Join(out, " ")
}
