package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
)

// wrongLines returns the names of the comparisons that do not hold.
func wrongLines(ctx context.Context, f *feed) ([]string, error) {
	stored, err := f.game.readBack(ctx, f.town, f.show)
	if err != nil {
		return nil, err
	}
	lines := compare(stored, impliedBooks(f.town))
	var wrong []string
	for _, l := range lines {
		if !l.same {
			wrong = append(wrong, l.name)
		}
	}
	var out bytes.Buffer
	if right := showBooks(&out, lines); right != (len(wrong) == 0) || strings.Count(out.String(), "WRONG") != len(wrong) {
		wrong = append(wrong, "what is shown: "+out.String())
	}
	return wrong, nil
}

// A check that passes whatever the stores hold is worth nothing: each damage
// here must be seen.
func TestDamageIsSeen(t *testing.T) {
	var wrong []string
	damage := func(f *feed) error {
		ctx, game := t.Context(), f.game
		see := func(want string, damage error) {
			t.Helper()
			if damage != nil {
				t.Fatal(damage)
			}
			var err error
			if wrong, err = wrongLines(ctx, f); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(wrong, ", "); got != want {
				t.Errorf("wrong: %q, want %q", got, want)
			}
		}
		see("", nil)

		user := f.town.Events[0].User
		for id := range f.town.Friends {
			user = max(user, id)
		}
		notices, err := game.inbox.List(ctx, idKey(user), 1)
		if err != nil || len(notices) == 0 {
			t.Fatalf("the inbox of %d: %v, %v", user, notices, err)
		}
		see("notifications", game.inbox.Remove(ctx, notices[0]))
		see("notifications", game.inbox.Put(ctx, Notice{ID: notices[0].ID, Friend: "a stranger", User: notices[0].User, At: notices[0].At}))

		_, err = game.players.Update(ctx, idKey(f.town.Events[0].User), func(p *Player) error { p.Points--; return nil })
		see("notifications, players, points", err)
		_, err = game.awards.Delete(ctx, idKey(f.town.Events[0].User)+"/newcomer")
		see("notifications, players, points, badges", err)
		return nil
	}
	if err := playIn(t.Context(), t.TempDir(), town.Generate(small), 0, nil, damage); err != nil {
		t.Fatal(err)
	}
}
