package amorphoustest

import (
	"errors"
	"reflect"
	"sync"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// An openThing is a thing whose other properties are not lost.
type openThing struct {
	ID    string `persistence:"key"`
	Name  string
	Price int64
	Rest  map[string]any `amorphous:",rest"`
}

// testPatchAgainst holds patches against what else may happen to an object: each
// property has its newest value, whoever wrote it and as what.
func testPatchAgainst(t *testing.T, h Harness) {
	ctx, name := t.Context(), freshName()
	things := collectionOf[thing](t, h.open(t), name, nil)
	docs := collectionOf[amorphous.Document](t, h.open(t), name, nil) // as another program
	open := collectionOf[openThing](t, h.open(t), name, nil)
	is := func(sentence, key string, want amorphous.Document) {
		t.Helper()
		want["id"] = key
		if got, err := docs.Get(ctx, key); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v, %v", sentence, got, want, err)
		}
	}
	doc := func(key string, properties amorphous.Document) amorphous.Document {
		properties["id"] = key
		return properties
	}
	must(t, things.Patch(ctx, thing{ID: "new", Name: "n"}, "Name"))
	is("a patch of what is not there makes an object of these properties alone", "new", amorphous.Document{"name": "n"})

	must(t, docs.Put(ctx, doc("zero", amorphous.Document{"name": "n", "price": int64(7), "x": int64(1)})))
	must(t, things.Patch(ctx, thing{ID: "zero"}, "Name", "Price"))
	is("a patch to the zero value is one, and what the program does not know stays", "zero", amorphous.Document{"name": "", "price": int64(0), "x": int64(1)})
	must(t, docs.Patch(ctx, doc("zero", amorphous.Document{"price": nil}), "price"))
	if got, err := things.Get(ctx, "zero"); err != nil || got != (thing{ID: "zero"}) {
		t.Errorf("null is the zero value, and not what was there before: %+v, %v", got, err)
	}
	must(t, things.Patch(ctx, thing{ID: "zero", Price: 9}, "Price"))
	is("a value is newer than null", "zero", amorphous.Document{"name": "", "price": int64(9), "x": int64(1)})

	must(t, docs.Put(ctx, doc("deep", amorphous.Document{"m": map[string]any{"a": int64(1), "b": map[string]any{"c": int64(2)}}, "y": true})))
	must(t, docs.Patch(ctx, doc("deep", amorphous.Document{"m": map[string]any{"b": map[string]any{"d": int64(3)}}}), "m"))
	is("a nested value is one value", "deep", amorphous.Document{"m": map[string]any{"b": map[string]any{"d": int64(3)}}, "y": true})

	must(t, things.Put(ctx, thing{ID: "gone", Name: "n"}))
	must(t, docs.Patch(ctx, doc("gone", amorphous.Document{"x": int64(1)}), "x"))
	must(t, things.Delete(ctx, "gone"))
	if _, err := docs.Get(ctx, "gone"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a delete covers what was patched: %v", err)
	}
	names := collectionOf[thing](t, h.open(t), name, &amorphous.Layout{Fields: []string{"Name"}})
	if err := names.PutAt(ctx, amorphous.Stamp{Version: 10}, thing{ID: "gone", Name: "late"}); err != nil && !errors.Is(err, amorphous.ErrSuperseded) {
		t.Error(err)
	}
	if _, err := docs.Get(ctx, "gone"); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("a late patch does not bring back what was deleted: %v", err)
	}
	must(t, docs.Patch(ctx, doc("gone", amorphous.Document{"y": int64(2)}), "y"))
	is("a patch after a delete makes an object of its properties alone", "gone", amorphous.Document{"y": int64(2)})

	must(t, open.Put(ctx, openThing{ID: "rest", Name: "n", Rest: map[string]any{"x": int64(1), "w": int64(0)}}))
	must(t, open.Patch(ctx, openThing{ID: "rest", Rest: map[string]any{"y": int64(2)}}, "Rest"))
	must(t, open.Patch(ctx, openThing{ID: "rest", Rest: map[string]any{"z": int64(3)}}, "Rest"))
	must(t, open.Patch(ctx, openThing{ID: "rest", Price: 5, Rest: map[string]any{"x": int64(9)}}, "Price"))
	is("patches of other properties leave each other's", "rest", amorphous.Document{"name": "n", "price": int64(5),
		"w": int64(0), "x": int64(1), "y": int64(2), "z": int64(3)})
	testPatchesMeet(t, h, name)
}

// testPatchesMeet lets two programs patch two properties of one object at once,
// and a third one, late, put it whole.
func testPatchesMeet(t *testing.T, h Harness, name string) {
	ctx := t.Context()
	var meet sync.WaitGroup
	for _, field := range []string{"Name", "Price"} {
		c := collectionOf[thing](t, h.open(t), name, nil)
		meet.Go(func() {
			for i := range 20 {
				if err := c.Patch(ctx, thing{ID: "meet", Name: string(rune('a' + i)), Price: int64(i)}, field); err != nil {
					t.Error(err)
				}
			}
		})
	}
	meet.Wait()
	c := collectionOf[thing](t, h.open(t), name, nil)
	if err := c.PutAt(ctx, amorphous.Stamp{Version: 10}, thing{ID: "meet", Group: "g", Name: "old", Price: -1}); err != nil && !errors.Is(err, amorphous.ErrSuperseded) {
		t.Error(err)
	}
	if got, err := c.Get(ctx, "meet"); err != nil || got != (thing{ID: "meet", Group: "g", Name: "t", Price: 19}) {
		t.Errorf("patches of two properties do not touch each other, and a late object fills in what they lack: %+v, %v", got, err)
	}
}
