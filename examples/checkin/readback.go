package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
	"github.com/fourfold-dev/fourfold/examples/internal/console"
	"github.com/fourfold-dev/fourfold/persistence"
)

// readBack fills books from what the stores hold, row by row. The parts fill
// books of their own, side by side.
func (game *game) readBack(ctx context.Context, t *town.Town, show *console.Progress) (*books, error) {
	show.Say("reading everything back")
	b := &books{}
	parts := []func(context.Context, *town.Town, *books) error{
		game.readCheckins, game.readActivity, game.readInboxes, game.readBadges,
	}
	errs := make([]error, len(parts))
	var reading sync.WaitGroup
	for i, read := range parts {
		reading.Go(func() { errs[i] = read(ctx, t, b) })
	}
	reading.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("reading back: %w", err)
	}
	return b, nil
}

func (game *game) readCheckins(ctx context.Context, _ *town.Town, b *books) error {
	return each(ctx, game.checkins, persistence.Query{}, func(c Checkin) error {
		b.addCheckin(&b.checkins, c)
		return nil
	})
}

// readActivity reads every user's activity, and holds it to its order.
func (game *game) readActivity(ctx context.Context, t *town.Town, b *books) error {
	users := map[string]bool{}
	for _, e := range t.Events {
		users[idKey(e.User)] = true
	}
	for user := range users {
		var newer Checkin
		query := persistence.Query{Task: "activity", Where: map[string]any{"User": user}}
		err := each(ctx, game.checkins, query, func(c Checkin) error {
			if c.User != user || newer.ID != "" && newer.At.Before(c.At) {
				return fmt.Errorf("%s of user %s stands behind %s of user %s", c.ID, c.User, newer.ID, user)
			}
			newer = c
			b.addCheckin(&b.activity, c)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readInboxes reads every notice of every inbox, and counts them by check-in.
func (game *game) readInboxes(ctx context.Context, t *town.Town, b *books) error {
	fanout := make([]int32, lastLine(t)+1)
	for n, err := range game.inbox.Scan(nil).Objects(ctx) {
		if err != nil {
			return err
		}
		b.notifications.add(n.Friend, n.ID, n.User, n.Venue)
		if line := keyLine(n.ID); int(line) < len(fanout) {
			fanout[line]++ // strangers are in no line: they are on line 0
		}
	}
	for _, n := range fanout {
		b.maxFanout = max(b.maxFanout, int64(n))
	}
	return nil
}

// readBadges reads what the badges task keeps.
func (game *game) readBadges(ctx context.Context, _ *town.Town, b *books) error {
	if err := each(ctx, game.visits, persistence.Query{}, book(b.addVisit)); err != nil {
		return err
	}
	if err := each(ctx, game.players, persistence.Query{}, book(b.addPlayer)); err != nil {
		return err
	}
	if err := each(ctx, game.venues, persistence.Query{}, book(b.addVenue)); err != nil {
		return err
	}
	return each(ctx, game.awards, persistence.Query{}, book(b.addAward))
}

func book[T any](add func(T)) func(T) error {
	return func(object T) error {
		add(object)
		return nil
	}
}

// each calls do for every object that a query selects.
func each[T any](ctx context.Context, handle *persistence.Handle[T], query persistence.Query, do func(T) error) error {
	for object, err := range handle.Find(ctx, query) {
		if err == nil {
			err = do(object)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
