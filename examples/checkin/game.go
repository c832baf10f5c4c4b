package main

import (
	"context"
	"errors"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/volatile"
)

// A game is a layer with the kinds declared on it, and who is whose friend.
type game struct {
	layer    *persistence.Layer
	checkins *persistence.Handle[Checkin]
	visits   *persistence.Handle[Visit]
	players  *persistence.Handle[Player]
	venues   *persistence.Handle[Venue]
	awards   *persistence.Handle[Award]
	inputs   *persistence.Handle[Input]
	inbox    *amorphous.Collection[Notice]
	presence *volatile.Presence

	// friends are those of a user, and quiet is who does not want to be told of
	// their check-ins. A game of one's own would keep both in the transactional
	// store; here they are part of the input.
	friends map[string][]string
	quiet   map[string]bool
	// ago is how long before the game was opened its last check-in was made.
	ago time.Duration
}

// open opens the stores and declares the kinds.
func open(ctx context.Context, stores persistence.Stores, t *town.Town, opts *persistence.Options) (*game, error) {
	layer, err := persistence.Open(ctx, stores, opts)
	if err != nil {
		return nil, err
	}
	last := t.Events[len(t.Events)-1].Time()
	game := &game{layer: layer, friends: friendsOf(t), quiet: quietOf(t), ago: time.Since(last)}
	game.declare(layer)
	game.inputs = persistence.Declare[Input](layer, "input", nil)
	// On servers the tables are the operator's: a program that is tried out
	// creates them itself. It only ever adds.
	if err = layer.CreateSchema(ctx); err == nil {
		game.inbox, err = openInbox(ctx, layer)
	}
	if err == nil {
		game.presence, err = game.openPresence("here")
	}
	if err != nil {
		return nil, errors.Join(err, layer.Close())
	}
	return game, nil
}

// friendsOf are a town's friendships by the keys of the users.
func friendsOf(t *town.Town) map[string][]string {
	keys := map[int64]string{}
	key := func(id int64) string {
		if keys[id] == "" {
			keys[id] = idKey(id)
		}
		return keys[id]
	}
	friends := make(map[string][]string, len(t.Friends))
	for user, ids := range t.Friends {
		list := make([]string, len(ids))
		for i, id := range ids {
			list[i] = key(id)
		}
		friends[key(user)] = list
	}
	return friends
}

// quietOf is who does not want to be told, by the keys of the users.
func quietOf(t *town.Town) map[string]bool {
	quiet := make(map[string]bool, len(t.Quiet))
	for user, is := range t.Quiet {
		quiet[idKey(user)] = is
	}
	return quiet
}
