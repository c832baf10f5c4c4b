package persistence_test

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/servertest"
)

type inner struct {
	Name string
	N    int64
	Deep map[string][]int64
}

// whole has a field of every kind that a record holds. The types below are the
// same but for their tags, so that one generator serves all.
type whole struct {
	ID    string `persistence:"key"`
	Flag  bool
	Int   int64
	Tiny  int8
	Uint  uint64
	Float float64
	Real  float32
	Text  string
	Raw   []byte
	At    time.Time
	Wait  time.Duration
	List  []string
	Map   map[string]string
	Sub   inner
	Ptr   *inner
	Num   *int64
	Word  *string
	When  *time.Time
	Grid  [3]int16
}

// split says by tags alone what is kept where.
type split struct {
	ID    string            `persistence:"key"`
	Flag  bool              `transactional:""`
	Int   int64             `transactional:",index"`
	Tiny  int8              `amorphous:""`
	Uint  uint64            `transactional:"unsigned"`
	Float float64           `amorphous:""`
	Real  float32           `transactional:""`
	Text  string            `volatile:",ttl=1h"`
	Raw   []byte            `transactional:""`
	At    time.Time         `amorphous:"moment"`
	Wait  time.Duration     `volatile:""`
	List  []string          `amorphous:""`
	Map   map[string]string `volatile:""`
	Sub   inner             `transactional:""`
	Ptr   *inner            `amorphous:""`
	Num   *int64            `transactional:""`
	Word  *string           `transactional:""`
	When  *time.Time        `transactional:""`
	Grid  [3]int16          `volatile:""`
}

func int64s() *rapid.Generator[int64] {
	return rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{0, -1, 1<<53 + 1, -1<<53 - 1, math.MaxInt64, math.MinInt64}))
}

// texts are valid strings of every kind, NUL and controls among them.
func texts() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "\x00", "a\x00b", "\u2028\u2029", "\"\\/<>&", "\U0010ffff", "null", " "}))
}

func times() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		return time.UnixMicro(rapid.Int64Range(-62135596800000000, 253402300799999999).Draw(t, "µs")).UTC()
	})
}

func floats() *rapid.Generator[float64] {
	return rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.MaxFloat64, math.SmallestNonzeroFloat64, 0.1, 1 << 53, 1e300}))
}

func orNil[T any](g *rapid.Generator[T]) *rapid.Generator[*T] { return rapid.Ptr(g, true) }

// orNone makes a slice or a map that may also be nil.
func orNone[T any](g *rapid.Generator[T]) *rapid.Generator[T] {
	var none T
	return rapid.OneOf(g, rapid.Just(none))
}

func inners() *rapid.Generator[inner] {
	return rapid.Custom(func(t *rapid.T) inner {
		return inner{
			Name: texts().Draw(t, "name"), N: int64s().Draw(t, "n"),
			Deep: orNone(rapid.MapOfN(texts(), orNone(rapid.SliceOfN(int64s(), 0, 3)), 0, 3)).Draw(t, "deep"),
		}
	})
}

func wholes(id string) *rapid.Generator[whole] {
	return rapid.Custom(func(t *rapid.T) whole {
		return whole{
			ID: id, Flag: rapid.Bool().Draw(t, "flag"), Int: int64s().Draw(t, "int"), Tiny: rapid.Int8().Draw(t, "tiny"),
			Uint: rapid.Uint64().Draw(t, "uint"), Float: floats().Draw(t, "float"), Real: rapid.Float32().Draw(t, "real"),
			Text: texts().Draw(t, "text"), Raw: orNone(rapid.SliceOfN(rapid.Byte(), 0, 9)).Draw(t, "raw"),
			At: times().Draw(t, "at"), Wait: time.Duration(int64s().Draw(t, "wait")),
			List: orNone(rapid.SliceOfN(texts(), 0, 3)).Draw(t, "list"),
			Map:  orNone(rapid.MapOfN(texts(), texts(), 0, 3)).Draw(t, "map"),
			Sub:  inners().Draw(t, "sub"), Ptr: orNil(inners()).Draw(t, "ptr"), Num: orNil(int64s()).Draw(t, "num"),
			Word: orNil(texts()).Draw(t, "word"), When: orNil(times()).Draw(t, "when"),
			Grid: [3]int16{rapid.Int16().Draw(t, "g0"), rapid.Int16().Draw(t, "g1"), rapid.Int16().Draw(t, "g2")},
		}
	})
}

// comesBack proves that Get, GetAll and Find return what Put was given.
func comesBack[T any](t *testing.T, h *persistence.Handle[T], id string, draw func(t *rapid.T, id string) T, searchable bool) {
	t.Helper()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		key := fmt.Sprintf("%s-%d", id, n)
		want := draw(rt, key)
		if _, err := h.Put(t.Context(), want); err != nil {
			rt.Fatalf("Put: %v", err)
		}
		for _, when := range []string{"at first", "again"} {
			got, err := h.Get(t.Context(), key)
			if err != nil {
				rt.Fatalf("Get %s: %v", when, err)
			}
			if !reflect.DeepEqual(got, want) {
				rt.Fatalf("Get returns %s what Put was not given:\n got %#v\nwant %#v", when, got, want)
			}
		}
		all, err := h.GetAll(t.Context(), key, "nobody", key)
		if err != nil || len(all) != 1 || !reflect.DeepEqual(all[key], want) {
			rt.Fatalf("GetAll returns %#v, %v", all, err)
		}
	})
	if !searchable {
		return
	}
	found := 0
	for _, err := range h.Find(t.Context(), persistence.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		found++
	}
	if found != n {
		t.Errorf("Find yields %d of %d objects", found, n)
	}
}

func TestWhatIsStoredComesBack(t *testing.T) {
	whatIsStoredComesBack(t, openLayer(t, nil))
}

// The same on the four servers, with fewer objects.
func TestWhatIsStoredComesBackFromServers(t *testing.T) {
	shared := servertest.Start(t)
	layer, err := persistence.Open(t.Context(), shared.Stores(), shared.Options())
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		defer checks.Value.Set(checks.DefValue)
		if err := checks.Value.Set("15"); err != nil {
			t.Fatal(err)
		}
	}
	whatIsStoredComesBack(t, layer)
}

func whatIsStoredComesBack(t *testing.T, layer *persistence.Layer) {
	wholeOf := func(rt *rapid.T, id string) whole { return wholes(id).Draw(rt, "object") }
	t.Run("tags over three purposes", func(t *testing.T) {
		h := persistence.Declare[split](layer, "split", nil)
		createSchema(t, layer)
		comesBack(t, h, "s", func(rt *rapid.T, id string) split { return split(wholeOf(rt, id)) }, true)
	})
	for name, plan := range map[string]persistence.Plan[whole]{
		"row":         {{Purpose: persistence.Transactional}},
		"cell":        {{Purpose: persistence.Amorphous}},
		"cached-row":  {{Purpose: persistence.Transactional}, {Purpose: persistence.Volatile, TTL: time.Hour}},
		"cached-cell": {{Purpose: persistence.Amorphous}, {Purpose: persistence.Volatile}},
		"cache":       {{Purpose: persistence.Volatile}},
		"halves": {{Purpose: persistence.Transactional, Fields: []string{"Int", "Text", "Ptr", "Raw"}}, {Purpose: persistence.Amorphous},
			{Purpose: persistence.Volatile, Name: "hot", Fields: []string{"Text", "List"}}},
	} {
		t.Run(name, func(t *testing.T) {
			h := persistence.Declare(layer, name, plan)
			createSchema(t, layer)
			comesBack(t, h, name, wholeOf, name != "cache")
		})
	}
	for name, purpose := range map[string]persistence.Purpose{"document": persistence.Amorphous, "document-row": persistence.Transactional} {
		t.Run(name, func(t *testing.T) {
			h := persistence.Declare(layer, name, persistence.Plan[persistence.Document]{{Purpose: purpose}})
			createSchema(t, layer)
			comesBack(t, h, name, documentOf, true)
		})
	}
}

func createSchema(t *testing.T, layer *persistence.Layer) {
	t.Helper()
	if err := layer.CreateSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// documentOf draws a document: whole numbers are int64, others float64.
func documentOf(rt *rapid.T, id string) persistence.Document {
	var values func(depth int) *rapid.Generator[any]
	values = func(depth int) *rapid.Generator[any] {
		gens := []*rapid.Generator[any]{
			rapid.Just[any](nil), rapid.Bool().AsAny(), texts().AsAny(), int64s().AsAny(), rapid.SampledFrom([]any{0.5, -1e-9, 1e300}),
		}
		if depth > 0 {
			gens = append(gens, rapid.SliceOfN(values(depth-1), 0, 3).AsAny(), rapid.MapOfN(texts(), values(depth-1), 0, 3).AsAny())
		}
		return rapid.OneOf(gens...)
	}
	doc := rapid.MapOfN(texts(), values(2), 0, 5).Draw(rt, "document")
	doc["id"] = id
	return doc
}

func TestCacheHoldsOnlyWhatIsNewest(t *testing.T) {
	// A lost cache entry is rebuilt from the record; a volatile field that was
	// lost is zero, and everything else is as Put was given it.
	layer := openLayer(t, nil)
	h := persistence.Declare[split](layer, "split", nil)
	cached := persistence.Declare(layer, "cached", persistence.Plan[whole]{{Purpose: persistence.Amorphous}, {Purpose: persistence.Volatile}})
	ctx := t.Context()
	want := split{ID: "a", Int: 7, Text: "lost", Map: map[string]string{"k": "v"}, List: []string{"x"}, At: time.Unix(1, 0).UTC()}
	if _, err := h.Put(ctx, want); err != nil {
		t.Fatal(err)
	}
	if _, err := cached.Put(ctx, whole{ID: "a", Text: "kept"}); err != nil {
		t.Fatal(err)
	}
	if err := layer.Volatile().Delete(ctx, "split.volatile:a", "cached:a"); err != nil {
		t.Fatal(err)
	}
	want.Text, want.Map = "", nil
	if got, err := h.Get(ctx, "a"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("without its cache entry the object is\n%#v, %v, want\n%#v", got, err, want)
	}
	if got, err := cached.Get(ctx, "a"); err != nil || got.Text != "kept" {
		t.Errorf("the record does not answer for the cache: %#v, %v", got, err)
	}
	if _, ok, err := layer.Volatile().Get(ctx, "cached:a"); err != nil || !ok {
		t.Errorf("Get did not rebuild the entry: %v, %v", ok, err)
	}
}

func TestDeletedIsNotFound(t *testing.T) {
	layer := openLayer(t, nil)
	ctx := t.Context()
	handles := map[string]*persistence.Handle[whole]{
		"row":    persistence.Declare(layer, "row", persistence.Plan[whole]{{Purpose: persistence.Transactional}}),
		"cell":   persistence.Declare(layer, "cell", persistence.Plan[whole]{{Purpose: persistence.Amorphous}}),
		"cached": persistence.Declare(layer, "cached", persistence.Plan[whole]{{Purpose: persistence.Amorphous}, {Purpose: persistence.Volatile}}),
		"halves": persistence.Declare(layer, "halves", persistence.Plan[whole]{{Purpose: persistence.Transactional, Fields: []string{"Int"}}, {Purpose: persistence.Amorphous}}),
	}
	for name, h := range handles {
		if _, err := h.Get(ctx, "a"); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("%s: before its Put an object is %v, want not found", name, err)
		}
		if _, err := h.Put(ctx, whole{ID: "a", Int: 1}); err != nil {
			t.Fatal(name, err)
		}
		if got, err := h.Get(ctx, "a"); err != nil || got.Int != 1 {
			t.Errorf("%s: an object that was not there once is %v, %v after its Put", name, got, err)
		}
		if _, err := h.Delete(ctx, "a"); err != nil {
			t.Fatal(name, err)
		}
		if _, err := h.Get(ctx, "a"); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("%s: a deleted object is %v, want not found", name, err)
		}
		for obj, err := range h.Find(ctx, persistence.Query{}) {
			t.Errorf("%s: Find yields %v, %v after the delete", name, obj, err)
		}
		if _, err := h.Put(ctx, whole{ID: "a", Int: 2}); err != nil {
			t.Fatal(name, err)
		}
		if got, err := h.Get(ctx, "a"); err != nil || got.Int != 2 {
			t.Errorf("%s: an object put again is %v, %v", name, got, err)
		}
	}
}

// Get decodes where it decoded before: nothing of one object may be in the next,
// nor be shared with it.
func TestGetHandsOutObjectsOfTheirOwn(t *testing.T) {
	ctx := t.Context()
	docs := persistence.Declare(openLayer(t, nil), "doc", persistence.Plan[persistence.Document]{{Purpose: persistence.Transactional}, {Purpose: persistence.Volatile}})
	a, b := persistence.Document{"id": "a", "more": int64(1)}, persistence.Document{"id": "b"}
	for _, doc := range []persistence.Document{a, b} {
		if _, err := docs.Put(ctx, doc); err != nil {
			t.Fatal(err)
		}
	}
	var last persistence.Document
	for range 3 {
		for _, want := range []persistence.Document{a, b} {
			got, err := docs.Get(ctx, want["id"].(string))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("the object is %v, %v, want %v", got, err, want)
			}
			got["mine"] = true
			if last = got; len(got) != len(want)+1 {
				t.Fatalf("after its caller has changed it, it is %v", got)
			}
		}
	}
	if !reflect.DeepEqual(last, persistence.Document{"id": "b", "mine": true}) {
		t.Errorf("what a caller has is %v", last)
	}
}
