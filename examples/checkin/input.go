package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
	"github.com/fourfold-dev/fourfold/examples/internal/console"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// An Input says which town the stores hold, so that two towns never mix.
type Input struct {
	ID     string `persistence:"key"` // always "input"
	Name   string `transactional:""`
	Digest string `transactional:""`
}

// claim makes the stores those of a town, or finds that they are.
func (game *game) claim(ctx context.Context, t *town.Town) error {
	input := Input{ID: "input", Name: t.Name, Digest: t.Digest()}
	_, err := game.inputs.Create(ctx, input)
	if !errors.Is(err, fault.ErrExists) {
		return err
	}
	held, err := game.inputs.Get(ctx, input.ID)
	if err == nil && held.Digest != input.Digest {
		err = fmt.Errorf("the stores hold the game of another input, %s: use another directory, or other servers", held.Name)
	}
	return err
}

// accepted are the check-ins that an earlier run has put.
type accepted struct {
	lines []bool // by line
	count int
}

// accepted finds out which check-ins were accepted before: with nothing left in
// custody, they are those that are stored. No counter could tell as reliably:
// it could be written just before or just after the moment of a crash.
func (game *game) accepted(ctx context.Context, t *town.Town) (accepted, error) {
	var a accepted
	a.lines = make([]bool, lastLine(t)+1)
	for c, err := range game.checkins.Find(ctx, persistence.Query{}) {
		if err != nil {
			return a, err
		}
		line := keyLine(c.ID)
		if int(line) >= len(a.lines) || line == 0 {
			return a, fmt.Errorf("the stores hold a check-in %q that is not of this input", c.ID)
		}
		a.lines[line] = true
		a.count++
	}
	return a, nil
}

func lastLine(t *town.Town) (last int32) {
	for _, e := range t.Events {
		last = max(last, e.Line)
	}
	return last
}

// showRejects tells of rows that could not be read.
func showRejects(out io.Writer, r town.Rejects) {
	if r.Repeats > 0 {
		fmt.Fprintf(out, "checkin: %s friendships are named twice; they count once\n", console.Comma(r.Repeats))
	}
	if r.Count == 0 {
		return
	}
	fmt.Fprintf(out, "checkin: %s rows cannot be read and are left out:\n", console.Comma(r.Count))
	for _, reject := range r.First {
		fmt.Fprintf(out, "  %s\n", reject)
	}
	if more := r.Count - len(r.First); more > 0 {
		fmt.Fprintf(out, "  and %s more\n", console.Comma(more))
	}
}
