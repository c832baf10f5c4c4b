package main

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
)

// A Notice tells one friend of one check-in.
type Notice struct {
	ID     string `persistence:"key"` // the check-in's
	Friend string // whose inbox it lies in
	User   string
	Venue  string
	At     time.Time
}

// An inbox is read by its owner, newest first, and a check-in lies in the
// inboxes of all friends who want to be told.
var inboxLayout = amorphous.Layout{PartitionBy: "Friend", Newest: "At", Copies: true}

func openInbox(ctx context.Context, layer *persistence.Layer) (*amorphous.Collection[Notice], error) {
	inbox, err := amorphous.NewCollection[Notice](layer.Amorphous(), "inbox", &inboxLayout)
	if err != nil {
		return nil, err
	}
	return inbox, layer.Amorphous().CreateSchema(ctx, inbox.Tables()...)
}

// notifyFriends is the distribute task: a notice into the inbox of every friend
// who wants it. The rows carry the check-in's own version, so a task that runs
// again writes the same rows again, and changes nothing.
func (game *game) notifyFriends(ctx context.Context, c Checkin) error {
	friends := game.friends[c.User]
	notices := make([]Notice, 0, len(friends))
	for _, friend := range friends {
		if !game.quiet[friend] {
			notices = append(notices, Notice{ID: c.ID, Friend: friend, User: c.User, Venue: c.Venue, At: c.At})
		}
	}
	return game.inbox.PutAt(ctx, amorphous.Stamp{Version: persistence.Current(ctx).Version}, notices...)
}
