package main

import (
	"cmp"
	"context"
	"errors"
	"math/bits"
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

// An Alert says that an entity had so many mentions in a minute for the first
// time: no earlier minute has as many.
type Alert struct {
	ID     string    `persistence:"key"` // entity and level
	Entity string    `transactional:",index"`
	Level  int64     `transactional:""`
	Minute time.Time `transactional:""`
}

// firstLevel is how many mentions in a minute are worth the first alert. Each
// alert doubles the level of its entity: what has happened once is usual. So
// the alerts are a function of the minutes' sums, and not of the order in which
// mentions are handled.
//
// A level that learns the usual rate, such as four times the mean of earlier
// minutes, cannot be had with it: the more mentions an entity had before, the
// fewer alerts it would have, and those before may be handled later (after a
// kill, a retry, by another worker). Such an alert waits until nothing earlier
// can come, and is late, or it is taken back, and was not raised once. What is
// raised at once and for good can only grow with the mentions.
const firstLevel = 16

// alert counts a mention in its minute, and raises the alerts that it is worth.
// All of it is one transaction: exactly once, whatever crashes.
func (m *monitor) alert(ctx context.Context, tx *persistence.Tx, mention Mention) error {
	first, err := m.hear(ctx, tx, mention)
	if err != nil || !first {
		return err
	}
	key := cmp.Or(mention.Minute, minuteKey(mention.Entity, mention.At.Truncate(time.Minute))) // one of an older program has none
	minute, err := orNew(m.minutes.In(tx).Get(ctx, key))
	if err != nil {
		return err
	}
	minute.ID = key
	minute.N++
	if _, err = m.minutes.In(tx).Put(ctx, minute); err != nil || !isLevel(minute.N) {
		return err
	}
	return m.raise(ctx, tx, Alert{
		ID:     mention.Entity + "/" + strconv.FormatInt(minute.N, 10),
		Entity: mention.Entity, Level: minute.N, Minute: mention.At.Truncate(time.Minute),
	})
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

// isLevel reports whether a minute with so many mentions is worth an alert. A
// minute passes every level on its way to its sum.
func isLevel(n int64) bool {
	return n%firstLevel == 0 && bits.OnesCount64(uint64(n/firstLevel)) == 1
}

// raise raises an alert, if it is the first of its level. A minute that is
// counted later than it came takes the place of a later one.
func (m *monitor) raise(ctx context.Context, tx *persistence.Tx, alert Alert) error {
	there, err := orNew(m.alerts.In(tx).Get(ctx, alert.ID))
	if err != nil || there.ID != "" && !alert.Minute.Before(there.Minute) {
		return err
	}
	_, err = m.alerts.In(tx).Put(ctx, alert)
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
