package amorphous_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A version that implies too much, or something that cannot be written, leaves
// nothing behind, however much of it fits: the rows of the one before stay, and
// what comes after it removes all that it does not imply.
func TestWhatIsRefusedLeavesNothing(t *testing.T) {
	const most = 1300 // some batches
	rows := openWords(t)
	rows.Bound(most)
	words := func(from, n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf("w%05d", from+i))
		}
		return out
	}
	tooLong := words(500, 900)
	tooLong[800] = strings.Repeat("x", amorphous.MaxKey+1)
	var stays []string
	for version, test := range []struct {
		words []string
		want  error
	}{
		{words(0, 700), nil},
		{words(300, most+1), fault.ErrTooLarge},
		{tooLong, fault.ErrTooLarge},
		{words(600, most), nil},
		{words(0, 4*most), fault.ErrTooLarge},
		{words(1000, 3), nil},
		{words(5, most+1), fault.ErrTooLarge},
		{nil, nil},
	} {
		if test.want == nil {
			stays = test.words
		}
		// Another origin goes before and behind it in the same call.
		put := rows.Put(t.Context(), wordsOf(int64(version+1), "before", words(0, 300)...),
			wordsOf(int64(version+1), "text", test.words...), wordsOf(int64(version+1), "behind", words(0, 300)...))
		if !errors.Is(put[1], test.want) || put[0] != nil || put[2] != nil {
			t.Errorf("version %d with %d rows: %v, want %v", version+1, len(test.words), put, test.want)
		}
		if test.want != nil && test.words[0] != tooLong[0] && !strings.Contains(put[1].Error(), "more than 1300 rows: none of this version is written") {
			t.Errorf("the error says %v", put[1])
		}
		if got := held(t, rows, "text"); !slices.Equal(got, stays) {
			t.Errorf("after version %d there are %d rows, want the %d of the last one that was written", version+1, len(got), len(stays))
		}
		if got := held(t, rows, "before"); len(got) != 300 || len(held(t, rows, "behind")) != 300 {
			t.Errorf("after version %d another origin has %d rows", version+1, len(got))
		}
		registered, err := rows.Registered(t.Context(), "text")
		if err != nil || len(stays) > 0 && (len(registered) != 1 || len(registered[0].Places) != len(stays)) {
			t.Errorf("after version %d %d versions are registered, %v", version+1, len(registered), err)
		}
	}
}

// openWords opens derived rows that are ready to be put.
func openWords(t *testing.T) *amorphous.DerivedRows {
	t.Helper()
	store := openStore(t)
	rows, err := amorphous.NewDerivedRows(store, "words", nil)
	if err == nil {
		err = store.Prepare(t.Context(), rows.Tables()...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// held are the partitions in which an origin has a row, in order.
func held(t *testing.T, rows *amorphous.DerivedRows, id string) (out []string) {
	t.Helper()
	for next := []byte(nil); ; {
		some, after, err := rows.Walk(t.Context(), next, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range some {
			if r.ID == id {
				out = append(out, r.Partition)
			}
		}
		if next = after; next == nil {
			slices.Sort(out)
			return out
		}
	}
}

// Origins that fit into one write are asked for their rows once, whichever of them
// fills it.
func TestSmallOriginsAreAskedOnce(t *testing.T) {
	rows := openWords(t)
	words := make([]string, 100)
	for i := range words {
		words[i] = fmt.Sprintf("w%03d", i)
	}
	asked, all := map[string]int{}, make([]amorphous.Implication, 20)
	for i := range all {
		o := wordsOf(1, fmt.Sprintf("t%02d", i), words...)
		given := o.Rows
		o.Rows = func(yield func(amorphous.Row, error) bool) {
			asked[o.Key]++
			given(yield)
		}
		all[i] = o
	}
	if err := errors.Join(rows.Put(t.Context(), all...)...); err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		if got := held(t, rows, o.Key); asked[o.Key] != 1 || !slices.Equal(got, words) {
			t.Errorf("%s was asked %d times, and has %d rows", o.Key, asked[o.Key], len(got))
		}
	}
}
