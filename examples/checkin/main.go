// The checkin program is a check-in game on four kinds of persistence. One Put
// of a check-in tells every friend who wants it, shows who is at the venue, finds
// friends nearby, awards badges and mayorships, and keeps the user's activity and
// the check-in itself; each task goes to the store that is made for its purpose.
//
//	go run ./examples/checkin          a made-up town, in process, a few seconds
//	go run ./examples/checkin -help    real files, four servers, and the rest
package main

import (
	"context"
	"os"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
)

// A Checkin is somebody's arrival at a venue.
type Checkin struct {
	ID       string `persistence:"key"`
	User     string
	Venue    string
	At       time.Time
	Lat, Lon float64
}

// declare says what one Put of a check-in causes, in which order, and why.
func (game *game) declare(layer *persistence.Layer) {
	game.checkins = persistence.Declare(layer, "checkin", persistence.Plan[Checkin]{
		{Priority: 1, Name: "distribute", Purpose: persistence.Transitory, RealTime: true, Do: game.notifyFriends},
		{Priority: 2, Name: "venue", Purpose: persistence.Volatile, RealTime: true, Do: game.associate},
		{Priority: 3, Name: "nearby", Purpose: persistence.Transitory, RealTime: true, Do: game.findFriendsNearby},
		{Priority: 4, Name: "badges", Purpose: persistence.Transactional, Tx: game.award},
		{Priority: 5, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
		{Priority: 6, Name: "object", Purpose: persistence.Amorphous},
	})
	// What the badges task changes, in one transaction: the tags say it all.
	game.visits = persistence.Declare[Visit](layer, "visit", nil)
	game.players = persistence.Declare[Player](layer, "player", nil)
	game.venues = persistence.Declare[Venue](layer, "venue", nil)
	game.awards = persistence.Declare[Award](layer, "award", nil)
}

// play puts a check-in: when it returns nil, all six tasks are done or will be.
func (game *game) play(ctx context.Context, c Checkin) error {
	_, err := game.checkins.Put(ctx, c)
	return err
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }
