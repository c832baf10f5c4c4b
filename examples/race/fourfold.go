package main

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
)

// fourfold is the same program with the layer, in the four shapes that are
// raced. In each of them a check-in that was accepted is durable and comes to
// its end whatever crashes, newest wins in every store, and a store that is
// down holds up its own tasks only.
type fourfold struct {
	now, later, queued, rowed *persistence.Handle[Checkin]
	laps                      *laps // is told of every follow-up
}

func (f *fourfold) declare(layer *persistence.Layer) {
	// Every store is written when Put returns, and the follow-ups are accepted.
	f.now = persistence.Declare(layer, "now", persistence.Plan[Checkin]{
		{Name: "row", Purpose: persistence.Transactional},
		{Name: "cache", Purpose: persistence.Volatile, TTL: time.Hour},
		{Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
		{Name: "object", Purpose: persistence.Amorphous},
		{Priority: 1, Name: "notify", Purpose: persistence.Transitory, RealTime: true, Do: f.notify},
		{Priority: 2, Name: "index", Purpose: persistence.Transitory, Do: f.index},
	})
	// Put accepts, and the tasks are done in the order of their priorities.
	later := persistence.Plan[Checkin]{
		{Priority: 1, Name: "notify", Purpose: persistence.Transitory, RealTime: true, Do: f.notify},
		{Priority: 2, Name: "cache", Purpose: persistence.Volatile, TTL: time.Hour},
		{Priority: 3, Name: "row", Purpose: persistence.Transactional},
		{Priority: 3, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
		{Priority: 3, Name: "object", Purpose: persistence.Amorphous},
		{Priority: 4, Name: "index", Purpose: persistence.Transitory, Do: f.index},
	}
	f.later = persistence.Declare(layer, "later", later)
	// The same, accepted as one job of the queue.
	f.queued = persistence.Declare(layer, "queued", later, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	// The row is written with the acceptance, in one commit; all else waits.
	rowed := append(persistence.Plan[Checkin]{}, later...)
	rowed[2].Priority = 0
	f.rowed = persistence.Declare(layer, "rowed", rowed)
}

func (f *fourfold) notify(_ context.Context, c Checkin) error { f.laps.followed(0, &c); return nil }
func (f *fourfold) index(_ context.Context, c Checkin) error  { f.laps.followed(1, &c); return nil }

// put is what the program does with a check-in.
func put(ctx context.Context, kind *persistence.Handle[Checkin], c *Checkin) error {
	_, err := kind.Put(ctx, *c)
	return err
}
