package transactionaltest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

func testPlaces(t *testing.T, h Harness) {
	h.run(t, "Newest", testPlacesNewest)
	h.run(t, "Left", testPlacesLeft)
	h.run(t, "Groups", testPlacesInGroups)
	h.run(t, "Fails", testPlacesFail)
	h.run(t, "Purge", testPlacesPurge)
	h.run(t, "Concurrent", testPlacesConcurrent)
}

const placeSpace = "cells"

func placement(id string, version int64, tie uint64, place string) transactional.Placement {
	return transactional.Placement{Space: placeSpace, ID: id, Stamp: transactional.Stamp{Version: version, Tie: tie}, Place: []byte(place)}
}

// place registers one place, and returns what is known then.
func (e *env) place(p transactional.Placement) string {
	e.Helper()
	res, err := e.store.Apply(e.Context(), &transactional.Unit{Place: []transactional.Placement{p}})
	e.nil("a place is registered", err)
	return text(res.Placed[0])
}

func text(p transactional.Placed) string {
	return fmt.Sprintf("%d/%d %q %q", p.Stamp.Version, p.Stamp.Tie, p.Place, p.Former)
}

// placed is what is known of one ID, as a text.
func (e *env) placed(id string) string {
	e.Helper()
	all, err := e.store.Placed(e.Context(), placeSpace, id)
	e.nil("placed", err)
	if len(all) == 0 {
		return ""
	}
	return text(all[0])
}

func testPlacesNewest(e *env) {
	const high = 1 << 63
	for _, step := range []struct {
		what string
		p    transactional.Placement
		want string
	}{
		{"the first has nothing to look for", placement("a", 5, 7, "A\x00."), `5/7 "A\x00." ""`},
		{"a repeat changes nothing", placement("a", 5, 7, "A\x00."), `5/7 "A\x00." ""`},
		{"an older version leaves no place behind", placement("a", 4, 9, "X."), `5/7 "A\x00." ""`},
		{"nor does a smaller tie", placement("a", 5, 6, "X."), `5/7 "A\x00." ""`},
		{"a newer one remembers the former place", placement("a", 6, 1, "\xffB."), `6/1 "\xffB." "A\x00."`},
		{"a larger tie is newer, above the sign bit too", placement("a", 6, high, "C."), `6/9223372036854775808 "C." "A\x00.\xffB."`},
		{"the same place is no former one", placement("a", 7, 0, "C."), `7/0 "C." "A\x00.\xffB."`},
		{"nowhere remembers too", placement("a", 8, 0, ""), `8/0 "" "A\x00.\xffB.C."`},
		{"and adds nothing itself", placement("a", 9, 0, "D."), `9/0 "D." "A\x00.\xffB.C."`},
		{"at one stamp the later place wins", placement("a", 9, 0, "E."), `9/0 "E." "A\x00.\xffB.C.D."`},
	} {
		if got := e.place(step.p); got != step.want {
			e.Errorf("%s: %s, want %s", step.what, got, step.want)
		}
		if got := e.placed("a"); got != step.want {
			e.Errorf("%s: %s is read, want %s", step.what, got, step.want)
		}
	}
	known, err := e.store.Placed(e.Context(), placeSpace, "a", "b")
	e.nil("placed", err)
	if len(known) != 1 {
		e.Errorf("%d IDs are known, want 1", len(known))
	}
	for space, want := range map[string]bool{placeSpace: true, "other": false} {
		other, err := e.store.Placed(e.Context(), space, "a")
		e.nil("placed", err)
		any, err := e.store.AnyPlaced(e.Context(), space)
		e.nil("any", err)
		if any != want || len(other) > 0 != want {
			e.Errorf("space %s has %v, %v", space, other, any)
		}
	}
}

// testPlacesLeft takes out what was known at some moment, in any order, and
// more than once.
func testPlacesLeft(e *env) {
	var known []transactional.Placed
	for i, place := range []string{"A.", "B.", "A.", "B.", "C."} {
		e.place(placement("a", int64(i+1), 0, place))
		all, err := e.store.Placed(e.Context(), placeSpace, "a")
		e.nil("placed", err)
		known = append(known, all...)
	}
	for _, step := range []struct {
		i    int
		want string
	}{
		{0, `5/0 "C." "A.B.A.B."`}, {1, `5/0 "C." "B.A.B."`}, {1, `5/0 "C." "B.A.B."`}, {3, `5/0 "C." "B."`},
		{2, `5/0 "C." "B."`}, {4, `5/0 "C." ""`}, {4, `5/0 "C." ""`},
	} {
		e.nil("leave", e.store.LeavePlaces(e.Context(), placeSpace, known[step.i]))
		if got := e.placed("a"); got != step.want {
			e.Errorf("after version %d has left: %s, want %s", step.i+1, got, step.want)
		}
	}
	e.place(placement("a", 6, 0, "D."))
	e.nil("leave", e.store.LeavePlaces(e.Context(), placeSpace, known...))
	if got := e.placed("a"); got != `6/0 "D." "C."` {
		e.Errorf("what came since stays: %s", got)
	}
}

// testPlacesInGroups registers many at once, of which some are there, and one
// twice.
func testPlacesInGroups(e *env) {
	for i := range 5 {
		e.place(placement(fmt.Sprint("k", 2*i), 1, 0, "old."))
	}
	units := make([]*transactional.Unit, 0, 12)
	for i := range 11 {
		units = append(units, &transactional.Unit{Place: []transactional.Placement{placement(fmt.Sprint("k", i), 2, 0, "new.")}})
	}
	units = append(units, &transactional.Unit{Place: []transactional.Placement{placement("k9", 3, 0, "newer.")}})
	results, errs := e.store.ApplyAll(e.Context(), units)
	for i := range units {
		e.nil("apply", errs[i])
		want := `2/0 "new." "old."`
		switch {
		case i == 11:
			want = `3/0 "newer." "new."`
		case i == 10 || i%2 == 1:
			want = `2/0 "new." ""`
		}
		if got := text(results[i].Placed[0]); got != want {
			e.Errorf("unit %d is told %s, want %s", i, got, want)
		}
	}
	if got := e.placed("k9"); got != `3/0 "newer." "new."` {
		e.Errorf("k9 is at %s", got)
	}
}

func testPlacesFail(e *env) {
	for what, p := range map[string]transactional.Placement{
		"an empty space": {ID: "a"},
		"an empty id":    {Space: placeSpace},
	} {
		_, err := e.store.Apply(e.Context(), &transactional.Unit{Place: []transactional.Placement{p}})
		e.class(what, err, fault.ErrInvalid)
	}
	_, err := e.store.Apply(e.Context(), &transactional.Unit{
		Place: []transactional.Placement{placement("a", 1, 0, "A.")}, Unbury: []string{"no such letter"},
	})
	e.class("a unit that fails", err, fault.ErrNotFound)
	if got := e.placed("a"); got != "" {
		e.Errorf("a unit that failed registered %s", got)
	}
}

func testPlacesPurge(e *env) {
	e.place(placement("lives", 1, 0, "A."))
	e.place(placement("left", 1, 0, "A."))
	e.place(placement("left", 2, 0, ""))
	e.place(placement("gone", 1, 0, ""))
	short := placement("short", 1, 0, "A.")
	short.Until = time.Now()
	e.place(short)
	n, err := e.store.PurgePlaces(e.Context(), placeSpace, time.Now().Add(-time.Hour))
	e.nil("purge", err)
	if n != 0 {
		e.Errorf("%d were purged that are young", n)
	}
	n, err = e.store.PurgePlaces(e.Context(), placeSpace, time.Now().Add(time.Hour))
	e.nil("purge", err)
	if n != 2 || e.placed("gone")+e.placed("short") != "" || e.placed("lives") == "" || e.placed("left") == "" {
		e.Errorf("%d were purged: gone %q, lives %q, left %q", n, e.placed("gone"), e.placed("lives"), e.placed("left"))
	}
}

// testPlacesConcurrent has many writers move one object: every place but the
// newest is a former one, and one of them was the first.
func testPlacesConcurrent(e *env) {
	const writers, moves = 8, 8
	var mu sync.Mutex
	firsts := 0
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for m := range moves {
				version := int64(1 + m*writers + w)
				res, err := e.store.Apply(background(), &transactional.Unit{
					Place: []transactional.Placement{placement("hot", version, 0, fmt.Sprintf("%02d.", version))},
				})
				if err != nil {
					e.Error(err)
					return
				}
				if p := res.Placed[0]; p.Stamp.Version == version && len(p.Former) == 0 {
					mu.Lock()
					firsts++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	known, err := e.store.Placed(e.Context(), placeSpace, "hot")
	e.nil("placed", err)
	if firsts != 1 || len(known) != 1 || known[0].Stamp.Version != writers*moves || string(known[0].Place) != fmt.Sprintf("%02d.", writers*moves) {
		e.Fatalf("%d were the first, and the newest is %+v", firsts, known)
	}
	if len(known[0].Former)%3 != 0 || len(known[0].Former) >= 3*writers*moves {
		e.Errorf("former places %q", known[0].Former)
	}
}
