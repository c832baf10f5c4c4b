package transactional

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A Slot is one of the few places for what may run at a time under one name and
// key, over all processes that share the database.
type Slot struct {
	// As Enter was given them.
	Name  string
	Key   string
	place int64
	owner int64
}

// MaxSlots is the largest number of places under one name and key.
const MaxSlots = 1024

// Enter takes one of most places for lease. When all are taken it is
// fault.ErrBusy at once: whoever waits asks again. A place is free again when
// it is left, or when its lease is over, by the database's clock; after an
// unknown outcome nobody has it until then. Names and keys are 1 to MaxKey
// bytes.
func (s *Store) Enter(ctx context.Context, name, key string, most int, lease time.Duration) (Slot, error) {
	err := s.open(ctx)
	if err == nil {
		err = validSlot(name, key, most, lease)
	}
	if err == nil {
		err = s.keepBack(ctx) // until that is told, no lease of a place is over
	}
	if err != nil {
		return Slot{}, s.locate(err, "enter", nil, key)
	}
	s.clock.leased(lease)
	slot := Slot{Name: name, Key: key, owner: rand.Int64()}
	free := false
	err = s.run(ctx, func(ctx context.Context, c Conn) error {
		free = false
		now, err := s.clock.now(ctx, s, c)
		if err != nil {
			return err
		}
		held, err := s.slotsHeld(ctx, c, name, key)
		if err != nil {
			return err
		}
		over := int64(-1) // not asked for yet
		for slot.place = 0; slot.place < int64(most) && !free; slot.place++ {
			until, there := held[slot.place]
			if there && until <= now && over < 0 {
				if now, err = s.clock.ask(ctx, s, c); err != nil {
					return err
				}
				over = s.clock.over(now)
			}
			if !there || until <= over {
				free, err = s.takeSlot(ctx, c, slot, there, now+lease.Microseconds())
			}
			if err != nil {
				return err
			}
		}
		slot.place-- // the loop went one too far
		return nil
	})
	switch {
	case err != nil:
		return Slot{}, s.explain(ctx, s.locate(err, "enter", nil, key), "enter", nil)
	case !free:
		return Slot{}, &fault.Error{Op: "enter", Store: purpose, Key: key, Class: fault.ErrBusy, Err: errTaken}
	}
	return slot, nil
}

var errTaken = errors.New("all places are taken")

func validSlot(name, key string, most int, lease time.Duration) error {
	err := firstError(validKey("name", name), validKey("key", key))
	switch {
	case err != nil:
	case most < 1 || most > MaxSlots:
		err = errors.New("the number of places is not from 1 to 1024")
	case lease <= 0:
		err = errors.New("the lease is not positive")
	default:
		return nil
	}
	return &fault.Error{Store: purpose, Op: "enter", Class: fault.ErrInvalid, Err: err}
}

// slotsHeld returns until when each place under a name and key is taken, and
// locks them.
func (s *Store) slotsHeld(ctx context.Context, c Conn, name, key string) (map[int64]int64, error) {
	held := map[int64]int64{}
	err := c.Query(ctx, s.ours.slots, []any{name, key}, func(scan func(...any) error) error {
		var place, until int64
		err := scan(&place, &until)
		held[place] = until
		return err
	})
	return held, err
}

// takeSlot takes a place that was seen to be free, and reports whether it got
// it: one that was not there may be another's by now.
func (s *Store) takeSlot(ctx context.Context, c Conn, slot Slot, there bool, until int64) (bool, error) {
	text, args := s.ours.insertSlot, []any{slot.Name, slot.Key, slot.place, slot.owner, until}
	if there {
		text, args = s.ours.takeSlot, []any{slot.owner, until, slot.Name, slot.Key, slot.place}
	}
	n, err := c.Exec(ctx, text, args...)
	return n > 0, err
}

// Stay renews the lease of a place. It is fault.ErrConflict when the lease was
// over and somebody else has the place, or nobody.
func (s *Store) Stay(ctx context.Context, slot Slot, lease time.Duration) error {
	if err := s.open(ctx); err != nil {
		return s.locate(err, "stay", nil, slot.Key)
	}
	var n int64
	err := s.run(ctx, func(ctx context.Context, c Conn) error {
		now, err := s.clock.now(ctx, s, c)
		if err != nil {
			return err
		}
		n, err = c.Exec(ctx, s.ours.staySlot, now+lease.Microseconds(), slot.Name, slot.Key, slot.place, slot.owner)
		return err
	})
	if err == nil && n == 0 {
		err = fault.New(fault.ErrConflict, purpose, "stay", "the place is no longer held")
	}
	return s.explain(ctx, s.locate(err, "stay", nil, slot.Key), "stay", nil)
}

// Leave frees a place. One that is no longer held is left already.
func (s *Store) Leave(ctx context.Context, slot Slot) error {
	if err := s.open(ctx); err != nil {
		return s.locate(err, "leave", nil, slot.Key)
	}
	err := s.run(ctx, func(ctx context.Context, c Conn) error {
		_, err := c.Exec(ctx, s.ours.leaveSlot, slot.Name, slot.Key, slot.place, slot.owner)
		return err
	})
	return s.explain(ctx, s.locate(err, "leave", nil, slot.Key), "leave", nil)
}
