package amorphous

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// What is in this file is for those who compare a Counter with the objects that
// it counts, and mend what was damaged past everything that guards it.

// A Held is a place at which a Counter holds that an object counts.
type Held struct {
	ID    string // the object's key
	Stamp Stamp  // of the version that counts there
	Tally
	// Register marks the entry of the register that says where the object
	// counts, which itself counts nothing. The Tally is zero.
	Register bool
}

// An Auditor is a Tallier that lets its books be looked into.
type Auditor interface {
	// Members returns what is held of objects. What is not there is left out.
	Members(ctx context.Context, table Table, ids []string) ([]Member, error)
	// WalkMembers returns the objects behind an ID, by ID, at most limit.
	WalkMembers(ctx context.Context, table Table, after string, limit int) ([]Member, error)
	// Audit compares sums with the members, some of them behind a cursor, and
	// returns those that differ, as they are kept. All is of one moment.
	Audit(ctx context.Context, table Table, after []byte) (wrong []Tally, next []byte, err error)
	// Recount makes the sums at places those of the members. It reads all of
	// these in one transaction.
	Recount(ctx context.Context, table Table, places []Tally) error
	// Strike removes a member, whatever its version, and leaves the sums alone.
	Strike(ctx context.Context, table Table, id string) error
}

// Member is what Put would count: an object's places, merged.
func (c *Counter) Member(obj Counted) (Member, error) {
	m, err := c.member(&obj)
	return m, locate(err, "count", c.name, obj.Key)
}

// Where says a place in words: the values of the dimensions, and the time.
func (c *Counter) Where(t Tally) string {
	p, err := parsePart(t.Partition)
	seconds, err2 := secondsOf(t.Order)
	if errors.Join(err, err2) != nil {
		return fmt.Sprintf("partition %q, order %x", t.Partition, t.Order)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%q", splitOf(p.of, c.by))
	if len(c.per) > 0 {
		fmt.Fprintf(&b, " at %s", time.Unix(seconds, 0).In(c.calendar.zone).Format(time.RFC3339))
	}
	if p.shard > 0 {
		fmt.Fprintf(&b, ", shard %d", p.shard)
	}
	return b.String()
}

// Registers reports whether the store has a register of places beside them: then
// Held has an entry of each object's.
func (c *Counter) Registers() bool {
	_, rows := c.ledger.(*rowLedger)
	return rows
}

// Held returns what is held of objects: where they registered that they count,
// and, where the store keeps a row per place, at the places of the members
// given, whose stamps do not matter.
func (c *Counter) Held(ctx context.Context, of ...Member) ([]Held, error) {
	held, err := c.ledger.held(ctx, of)
	return held, locate(err, "read", c.name, "")
}

// Walk returns some of what is held of all objects, in an order of the store's
// own, about limit places, and the cursor behind them; nil is the end.
func (c *Counter) Walk(ctx context.Context, after []byte, limit int) (held []Held, next []byte, err error) {
	held, next, err = c.ledger.walk(ctx, after, limit)
	return held, next, locate(err, "walk", c.name, "")
}

// Audit compares some of the sums that are kept with what is held, behind a
// cursor, and returns those that differ, as they are kept; one that is missing,
// or cannot be read, is zero. A write under way may make one differ for a
// moment.
func (c *Counter) Audit(ctx context.Context, after []byte) (wrong []Tally, next []byte, err error) {
	wrong, next, err = c.ledger.audit(ctx, after)
	return wrong, next, locate(err, "audit", c.name, "")
}

// Recount makes the sums at places those of what is held.
func (c *Counter) Recount(ctx context.Context, places ...Tally) error {
	return locate(c.ledger.recount(ctx, places), "recount", c.name, "")
}

// Remove removes what is held at places up to a stamp, and from the sums.
func (c *Counter) Remove(ctx context.Context, stamp Stamp, held ...Held) error {
	return locate(c.ledger.remove(ctx, stamp, held), "remove", c.name, "")
}

// Unlisted returns the places whose partition the list of partitions does not
// have, so that no reader finds what is counted there.
func (c *Counter) Unlisted(ctx context.Context, places ...Tally) ([]Tally, error) {
	var at []Address
	for _, name := range distinct(places, func(t Tally) string { return t.Partition }) {
		rows, err := indexRows(name, 1)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			at = append(at, rows[i].Address())
		}
	}
	found, err := c.store.Read(ctx, c.index.table, at...)
	if err != nil {
		return nil, locate(err, "read", c.name, "")
	}
	known := map[string]bool{}
	for i := range found {
		known[placeKey(found[i].Address())] = true
	}
	var out []Tally
	for _, t := range places {
		rows, _ := indexRows(t.Partition, 1)
		for i := range rows {
			if !known[placeKey(rows[i].Address())] {
				out = append(out, t)
				break
			}
		}
	}
	return out, nil
}

// Relist enters the partitions of places into the list of partitions, at a
// version that is above that of what removed them.
func (c *Counter) Relist(ctx context.Context, version int64, places ...Tally) error {
	var all []Row
	for _, name := range distinct(places, func(t Tally) string { return t.Partition }) {
		rows, err := indexRows(name, version)
		if err != nil {
			return err
		}
		all = append(all, rows...)
	}
	return locate(writeAll(ctx, c.store, c.index.table, all), "relist", c.name, "")
}

// writeAll writes rows; that a newer one was there is fine.
func writeAll(ctx context.Context, store *Store, table Table, rows []Row) error {
	if len(rows) == 0 {
		return nil
	}
	for _, err := range store.Write(ctx, table, rows...) {
		if err != nil && !errors.Is(err, ErrSuperseded) {
			return err
		}
	}
	return nil
}

// The ledger of a Tallier.

func (l *transactionLedger) auditor(ctx context.Context) (Auditor, Table, error) {
	table, err := l.store.enter(ctx, l.table)
	if err != nil {
		return nil, table, err
	}
	a, ok := l.driver.(Auditor)
	if !ok {
		return nil, table, fault.New(fault.ErrUnsupported, "", "", "the driver does not let its books be looked into")
	}
	return a, table, nil
}

func heldBy(members []Member) (out []Held) {
	for _, m := range members {
		for _, t := range m.Counts {
			out = append(out, Held{ID: m.ID, Stamp: m.Stamp, Tally: t})
		}
	}
	return out
}

func (l *transactionLedger) held(ctx context.Context, of []Member) ([]Held, error) {
	a, table, err := l.auditor(ctx)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(of))
	for i := range of {
		ids[i] = of[i].ID
	}
	members, err := a.Members(ctx, table, ids)
	return heldBy(members), err
}

func (l *transactionLedger) walk(ctx context.Context, after []byte, limit int) ([]Held, []byte, error) {
	a, table, err := l.auditor(ctx)
	if err != nil {
		return nil, nil, err
	}
	members, err := a.WalkMembers(ctx, table, string(after), limit)
	if err != nil || len(members) == 0 {
		return nil, nil, err
	}
	return heldBy(members), []byte(members[len(members)-1].ID), nil
}

func (l *transactionLedger) audit(ctx context.Context, after []byte) ([]Tally, []byte, error) {
	a, table, err := l.auditor(ctx)
	if err != nil {
		return nil, nil, err
	}
	return a.Audit(ctx, table, after)
}

func (l *transactionLedger) recount(ctx context.Context, places []Tally) error {
	a, table, err := l.auditor(ctx)
	if err != nil {
		return err
	}
	return a.Recount(ctx, table, places)
}

// remove strikes whole members: one has all its places, or none.
func (l *transactionLedger) remove(ctx context.Context, _ Stamp, held []Held) error {
	a, table, err := l.auditor(ctx)
	if err != nil {
		return err
	}
	members, err := a.Members(ctx, table, distinct(held, func(h Held) string { return h.ID }))
	if err != nil {
		return err
	}
	var places []Tally
	for _, m := range members {
		places = append(places, m.Counts...)
		if err := a.Strike(ctx, table, m.ID); err != nil {
			return err
		}
	}
	return a.Recount(ctx, table, places)
}
