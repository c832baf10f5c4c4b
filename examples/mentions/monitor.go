package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

// A monitor is a layer with the kinds declared on it.
type monitor struct {
	layer    *persistence.Layer
	rows     *persistence.Handle[Row]
	mentions *persistence.Handle[Mention]
	heard    *persistence.Handle[Heard]
	minutes  *persistence.Handle[Minute]
	alerts   *persistence.Handle[Alert]
	inputs   *persistence.Handle[Input]

	latest *volatile.View[Mention] // by entity
	rate   *volatile.Meter         // by entity, as they arrive
	hub    *hub
}

// open opens the stores and declares the kinds.
func open(ctx context.Context, stores persistence.Stores, opts *persistence.Options) (*monitor, error) {
	layer, err := persistence.Open(ctx, stores, opts)
	if err != nil {
		return nil, err
	}
	m := &monitor{layer: layer, hub: newHub()}
	m.declare(layer)
	m.inputs = persistence.Declare[Input](layer, "input", nil)
	// On servers the tables are the operator's: a program that is tried out
	// creates them itself. It only ever adds.
	err = layer.CreateSchema(ctx)
	if err == nil {
		m.rate, err = volatile.NewMeter(layer.Volatile(), "rate")
	}
	if err != nil {
		return nil, errors.Join(err, layer.Close())
	}
	return m, nil
}

// mentionOf is the mention of a row: names without the spaces around and between
// them that mean nothing.
func mentionOf(row Row) Mention {
	entity := strings.Join(strings.Fields(row.Entity), " ")
	return Mention{
		ID: row.Tweet + "/" + entity, Tweet: row.Tweet, Entity: entity,
		Group: strings.Join(strings.Fields(row.Group), " "), At: row.At,
		Minute: minuteKey(entity, row.At.Truncate(time.Minute)),
	}
}

// normalise makes a mention of a row. It runs at least once; what a handler
// puts, it puts once.
func (m *monitor) normalise(ctx context.Context, row Row) error {
	_, err := m.mentions.Put(ctx, mentionOf(row))
	return err
}

// show updates what is volatile, and tells the watchers. A cache that is down
// holds up nothing: what it lacks is rebuilt from the timeline when somebody
// asks.
func (m *monitor) show(ctx context.Context, mention Mention) error {
	err := errors.Join(
		m.latest.Put(ctx, mention.Entity, mention),
		m.rate.Hit(ctx, mention.Entity, 1),
	)
	m.hub.tell(mention)
	if fault.ClassOf(err) != nil && !fault.Permanent(err) {
		return nil
	}
	return err
}

// order is when a mention was made: the later one is the latest, whichever comes
// first.
func (x Mention) order() int64 { return x.At.UnixMicro() }

// newest reads the latest mention of an entity from its timeline.
func (m *monitor) newest(ctx context.Context, entity string) (Mention, error) {
	query := persistence.Query{Task: "timeline", Where: map[string]any{"Entity": entity}, Limit: 1}
	for mention, err := range m.mentions.Find(ctx, query) {
		return mention, err
	}
	return Mention{}, fault.ErrNotFound
}
