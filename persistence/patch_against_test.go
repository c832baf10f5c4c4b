package persistence_test

import (
	"errors"
	"reflect"
	"sync"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// An openProfile keeps what it does not know of a profile.
type openProfile struct {
	ID    string `persistence:"key"`
	Name  string
	Score int64
	Local string
	Rest  map[string]any `amorphous:",rest"`
}

// TestPatchAgainst holds patches by two programs against each other, and against
// what else may happen to an object: each property has its newest value.
func TestPatchAgainst(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	plan := persistence.Plan[openProfile]{{Name: "object", Purpose: persistence.Amorphous}}
	some := persistence.Plan[openProfile]{{Name: "object", Purpose: persistence.Amorphous, Fields: []string{"Name", "Score", "Rest"}}}
	for name, plan := range map[string]persistence.Plan[openProfile]{"all": plan, "some": some} {
		t.Run(name, func(t *testing.T) {
			a := persistence.Declare(openIn(t, dir), name, plan)
			b := persistence.Declare(openIn(t, dir), name, persistence.Plan[persistence.Document]{{Name: "object", Purpose: persistence.Amorphous}})
			is := func(sentence, key string, want persistence.Document) {
				t.Helper()
				want["id"] = key
				if got, err := b.Get(ctx, key); err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s: got %v, want %v, %v", sentence, got, want, err)
				}
			}
			patch := func(p openProfile, fields ...string) {
				t.Helper()
				a.Get(ctx, p.ID) // what it has read, it writes above, though the other's clock is ahead
				if _, err := a.Patch(ctx, p, fields...); err != nil {
					t.Error(err)
				}
			}
			putEach(t, b, persistence.Document{"id": "a", "name": "n", "score": int64(7), "x": int64(1), "m": map[string]any{"p": int64(1), "q": int64(2)}})
			patch(openProfile{ID: "a"}, "Name", "Score")
			is("a patch to the zero value is one", "a", persistence.Document{"name": "", "score": int64(0), "x": int64(1), "m": map[string]any{"p": int64(1), "q": int64(2)}})
			patch(openProfile{ID: "a", Rest: map[string]any{"y": int64(2)}}, "Rest")
			patch(openProfile{ID: "a", Rest: map[string]any{"z": int64(3), "m": map[string]any{"q": int64(9)}}}, "Rest")
			if _, err := b.Patch(ctx, persistence.Document{"id": "a"}, "score"); err != nil {
				t.Error(err)
			}
			is("patches of other properties leave each other's, and a nested value is one", "a", persistence.Document{"name": "", "score": nil,
				"x": int64(1), "y": int64(2), "z": int64(3), "m": map[string]any{"q": int64(9)}})
			if got, err := a.Get(ctx, "a"); err != nil || got.Score != 0 || len(got.Rest) != 4 {
				t.Errorf("null is the zero value: %+v, %v", got, err)
			}
			if _, err := a.Delete(ctx, "a"); err != nil {
				t.Error(err)
			}
			if _, err := b.Get(ctx, "a"); !errors.Is(err, fault.ErrNotFound) {
				t.Errorf("a delete covers every patch: %v", err)
			}
			patch(openProfile{ID: "a", Score: 1}, "Score")
			is("a patch of what is not there makes an object of these fields alone", "a", persistence.Document{"score": int64(1)})
			var both sync.WaitGroup
			both.Go(func() {
				for i := range 10 {
					patch(openProfile{ID: "both", Score: int64(i)}, "Score")
				}
			})
			both.Go(func() {
				for i := range 10 {
					if _, err := b.Patch(ctx, persistence.Document{"id": "both", "name": string(rune('a' + i))}, "name"); err != nil {
						t.Error(err)
					}
				}
			})
			both.Wait()
			is("two programs patch two properties", "both", persistence.Document{"score": int64(9), "name": "j"})
		})
	}
}
