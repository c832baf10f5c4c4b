package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Heard remembers that a mention was counted, so that another row with the same
// pair is not.
type Heard struct {
	ID string    `persistence:"key"` // of the mention
	At time.Time `transactional:""`
}

// A Minute counts the mentions of an entity in one minute.
type Minute struct {
	ID string `persistence:"key"` // entity and minute
	N  int64  `transactional:""`
}

// A Level is what is usual for an entity: how many mentions in a minute are
// worth the next alert.
type Level struct {
	ID   string `persistence:"key"` // the entity
	Next int64  `transactional:""`
}

// An Alert says that an entity had so many mentions in a minute for the first
// time.
type Alert struct {
	ID     string    `persistence:"key"` // entity and level
	Entity string    `transactional:",index"`
	Level  int64     `transactional:""`
	Minute time.Time `transactional:""`
}

// firstLevel is how many mentions in a minute are worth the first alert. Each
// alert doubles the level: what has happened once is usual. So which alerts
// there are depends on the busiest minute of each entity, and not on the order
// in which mentions are handled.
const firstLevel = 16

// alert counts a mention in its minute, and raises the alerts that it is worth.
// All of it is one transaction: exactly once, whatever crashes.
func (m *monitor) alert(ctx context.Context, tx *persistence.Tx, mention Mention) error {
	first, err := m.hear(ctx, tx, mention)
	if err != nil || !first {
		return err
	}
	at := mention.At.Truncate(time.Minute)
	minute, err := orNew(m.minutes.In(tx).Get(ctx, minuteKey(mention.Entity, at)))
	if err != nil {
		return err
	}
	minute.ID = minuteKey(mention.Entity, at)
	minute.N++
	if _, err = m.minutes.In(tx).Put(ctx, minute); err != nil || minute.N < firstLevel {
		return err
	}
	return m.raise(ctx, tx, mention.Entity, at, minute.N)
}

// hear reports whether a mention is heard for the first time.
func (m *monitor) hear(ctx context.Context, tx *persistence.Tx, mention Mention) (bool, error) {
	_, err := m.heard.In(tx).Get(ctx, mention.ID)
	if !errors.Is(err, fault.ErrNotFound) {
		return false, err
	}
	_, err = m.heard.In(tx).Put(ctx, Heard{ID: mention.ID, At: mention.At})
	return true, err
}

// raise raises the alerts of an entity up to a number of mentions in a minute.
func (m *monitor) raise(ctx context.Context, tx *persistence.Tx, entity string, at time.Time, n int64) error {
	level, err := orNew(m.levels.In(tx).Get(ctx, entity))
	if err != nil {
		return err
	}
	if level.ID == "" {
		level = Level{ID: entity, Next: firstLevel}
	}
	if n < level.Next {
		return nil
	}
	for ; n >= level.Next; level.Next *= 2 {
		alert := Alert{ID: entity + "/" + strconv.FormatInt(level.Next, 10), Entity: entity, Level: level.Next, Minute: at}
		if _, err := m.alerts.In(tx).Put(ctx, alert); err != nil {
			return err
		}
	}
	_, err = m.levels.In(tx).Put(ctx, level)
	return err
}

// orNew turns what is not there into the zero object.
func orNew[T any](obj T, err error) (T, error) {
	if errors.Is(err, fault.ErrNotFound) {
		var none T
		return none, nil
	}
	return obj, err
}

func minuteKey(entity string, at time.Time) string { return entity + "/" + at.Format(minuteLayout) }

// minuteLayout is how a minute is written, in UTC.
const minuteLayout = "2006-01-02T15:04"
