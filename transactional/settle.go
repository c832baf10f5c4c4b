package transactional

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A heldRow is what a settlement must know of its record's row.
type heldRow struct {
	flow.Custody
	orders int64
	gone   bool // finishNow has removed it
}

// checkSettle reads and locks what is to be settled, and decides the units
// whose claim is no longer theirs.
func (s *Store) checkSettle(ctx context.Context, c Conn, jobs []*job) (map[RecordID]heldRow, error) {
	var ids []RecordID
	gone, err := s.finishNow(ctx, c, jobs)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		if j.try.out {
			continue
		}
		for i := range j.unit.Settle {
			t := &j.unit.Settle[i]
			if gone[t.ID].gone {
				continue
			}
			if !j.holdsOnly(t) {
				ids = append(ids, t.ID)
			} else if err := s.holdNow(ctx, c, j, t); err != nil {
				return nil, err
			}
		}
	}
	if len(ids) == 0 {
		return gone, nil
	}
	slices.SortFunc(ids, compareIDs)
	held, err := s.readHeld(ctx, c, ids)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		for i := range j.unit.Settle {
			t := &j.unit.Settle[i]
			if !gone[t.ID].gone && !j.holdsOnly(t) && !held[t.ID].Mine(t.Owner, t.Seq) {
				j.try.fail(t.lost())
			}
		}
	}
	maps.Copy(held, gone)
	return held, nil
}

// settles reports whether a unit does nothing but settle records.
func (j *job) settles() bool {
	u := j.unit
	return j.seen == nil && len(u.Settle) > 0 &&
		len(j.writes)+len(j.later)+len(j.adds)+len(j.places)+len(u.Bury)+len(u.Unbury) == 0
}

// finishes reports whether a unit does nothing but end records that were never
// settled before, as nearly all are.
func (j *job) finishes() bool {
	if j.looked || !j.settles() {
		return false
	}
	all := j.unit.Settle
	return !slices.ContainsFunc(all, func(t Settlement) bool { return !t.Done || t.Seq != 0 || t.Owner != all[0].Owner })
}

// errLook says that the records which finishNow removed were not all that it
// should have removed. The transaction is rolled back, and run again with a look
// at each of them.
var errLook = errors.New("not all records are held as they were thought to be")

// finishNow removes the records of units that finish them, without a look
// beforehand: how many were removed tells whether they were all held, by this
// owner, never settled, and without orders. A look is a round trip to a server,
// and a third of the removal where there is none. nil: nothing was tried.
func (s *Store) finishNow(ctx context.Context, c Conn, jobs []*job) (map[RecordID]heldRow, error) {
	var done []*Settlement
	for _, j := range jobs {
		if j.try.out || !j.finishes() {
			continue
		}
		for i := range j.unit.Settle {
			done = append(done, &j.unit.Settle[i])
		}
	}
	if len(done) == 0 {
		return nil, nil
	}
	slices.SortFunc(done, func(a, b *Settlement) int { return compareIDs(a.ID, b.ID) })
	gone := make(map[RecordID]heldRow, len(done))
	for _, t := range done {
		if t.Owner != done[0].Owner {
			return nil, nil // one statement names one owner
		}
		gone[t.ID] = heldRow{gone: true}
	}
	removed := int64(0)
	err := inChunks(done, func(t *Settlement) any { return idArg(t.ID) }, func(args []any) error {
		n, err := c.Exec(ctx, s.ours.finish.text(len(args)), append([]any{int64(done[0].Owner)}, args...)...)
		removed += n
		return err
	})
	if err == nil && removed != int64(len(gone)) {
		err = s.lookBehind(ctx, c, done, gone, removed)
	}
	return gone, err
}

// lookBehind takes out of gone what finishNow has left because it has orders.
// When it has left anything else, or something was not there before, the units
// must be decided before they remove anything, and so they must where the look
// would lock more than it has to, in a second order.
func (s *Store) lookBehind(ctx context.Context, c Conn, done []*Settlement, gone map[RecordID]heldRow, removed int64) error {
	if s.features.SharedLog {
		return errLook
	}
	ids := make([]RecordID, len(done))
	for i, t := range done {
		ids[i] = t.ID
	}
	left, err := s.readHeld(ctx, c, ids)
	if err == nil && removed+int64(len(left)) != int64(len(gone)) {
		err = errLook
	}
	for _, t := range done {
		if row, there := left[t.ID]; there {
			if !row.Mine(t.Owner, t.Seq) {
				return errLook
			}
			delete(gone, t.ID)
		}
	}
	return err
}

// lost is what a settlement is told whose claim is no longer its owner's.
func (t *Settlement) lost() error {
	e := fault.New(fault.ErrConflict, purpose, "settle", "the owner no longer holds the record, or something settled it since")
	e.Key = t.ID.String()
	return e
}

// holdsOnly reports whether a settlement only records what remains, in a
// transaction that ends if the unit fails. It then needs no look beforehand,
// which is cheaper for many.
func (j *job) holdsOnly(t *Settlement) bool {
	return j.seen != nil && len(j.unit.Settle) == 1 && t.Hold && !t.Done && t.Progress != nil && len(t.Release) == 0
}

// holdNow checks and executes such a settlement in one statement.
func (s *Store) holdNow(ctx context.Context, c Conn, j *job, t *Settlement) error {
	n, err := c.Exec(ctx, s.ours.holdNow, blob(t.Progress), idArg(t.ID), int64(t.Owner), int64(t.Seq))
	if err == nil && n == 0 {
		j.try.fail(t.lost())
	}
	return err
}

func (s *Store) readHeld(ctx context.Context, c Conn, ids []RecordID) (map[RecordID]heldRow, error) {
	held := make(map[RecordID]heldRow, len(ids))
	err := inChunks(ids, idArg, func(args []any) error {
		return c.Query(ctx, s.ours.held.text(len(args)), args, func(scan func(...any) error) error {
			var (
				raw                     []byte
				id                      RecordID
				row                     heldRow
				state, owner, seq, wake int64
			)
			if err := scan(&raw, &state, &owner, &seq, &row.orders, &wake); err != nil {
				return err
			}
			copy(id[:], raw)
			row.Stand, row.Owner, row.Seq, row.Woken = flow.Stand(state), uint64(owner), uint64(seq), wake != 0
			held[id] = row
			return nil
		})
	})
	return held, err
}

// settling are the settlements of a wave, by what they do.
type settling struct {
	done, hold, holdProgress, back, backProgress []*Settlement
	released                                     []heldOrder // by name
	ordered                                      []RecordID  // done, with orders
}

func divideSettlements(jobs []*job, held map[RecordID]heldRow) *settling {
	var d settling
	for _, j := range jobs {
		if j.try.out {
			continue
		}
		for i := range j.unit.Settle {
			t := &j.unit.Settle[i]
			switch {
			case t.Done:
				d.done = append(d.done, t)
				if held[t.ID].orders > 0 {
					d.ordered = append(d.ordered, t.ID)
				}
				continue
			case j.holdsOnly(t):
				continue // done by checkSettle
			case t.Hold && t.Progress == nil:
				d.hold = append(d.hold, t)
			case t.Hold:
				d.holdProgress = append(d.holdProgress, t)
			case t.Progress == nil:
				d.back = append(d.back, t)
			default:
				d.backProgress = append(d.backProgress, t)
			}
			for _, o := range t.Release {
				d.released = append(d.released, heldOrder{o, t.ID})
			}
		}
	}
	for _, list := range [][]*Settlement{d.done, d.hold, d.holdProgress, d.back, d.backProgress} {
		slices.SortFunc(list, func(a, b *Settlement) int { return compareIDs(a.ID, b.ID) })
	}
	return &d
}

// settleRecords ends or continues what the units hold; checkSettle has locked
// it.
func (s *Store) settleRecords(ctx context.Context, c Conn, jobs []*job, held map[RecordID]heldRow, now int64) error {
	if len(held) == 0 {
		return nil
	}
	d := divideSettlements(jobs, held)
	hold := func(list []*Settlement) func([]any, int) []any {
		return func(args []any, i int) []any {
			t := list[i]
			return append(args, idArg(t.ID), int64(held[t.ID].Keep().Seq))
		}
	}
	back := func(list []*Settlement) func([]any, int) []any {
		return func(args []any, i int) []any {
			t := list[i]
			return t.appendBack(append(args, idArg(t.ID)), held[t.ID].Back(now, micros(t.Due)))
		}
	}
	progress := func(list []*Settlement, row func([]any, int) []any) func([]any, int) []any {
		return func(args []any, i int) []any { return append(row(args, i), bytesArg(list[i].Progress)) }
	}
	err := firstOf(
		func() error { return s.chunked(ctx, c, &s.ours.hold, len(d.hold), 2, hold(d.hold)) },
		func() error {
			return s.chunked(ctx, c, &s.ours.holdProgress, len(d.holdProgress), 3, progress(d.holdProgress, hold(d.holdProgress)))
		},
		func() error { return s.chunked(ctx, c, &s.ours.back, len(d.back), 10, back(d.back)) },
		func() error {
			return s.chunked(ctx, c, &s.ours.backProgress, len(d.backProgress), 11, progress(d.backProgress, back(d.backProgress)))
		},
		func() error { return s.finish(ctx, c, d.done, held, now) },
	)
	if err != nil {
		return err
	}
	return s.release(ctx, c, d, now)
}

func firstOf(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// appendBack appends seq, state, queue, sort, owner, wake, lane, priority and
// due of a record that goes back.
func (t *Settlement) appendBack(args []any, row flow.Custody) []any {
	queue, sort := placeOf(row, t.Lane, t.Priority)
	return append(args, int64(row.Seq), int64(row.Stand), queue, sort, int64(row.Owner), int64(0), t.Lane, int64(t.Priority), row.Due)
}

// placeOf is a record's place in the index of the outbox, behind its state.
func placeOf(row flow.Custody, lane string, priority uint32) (queue string, sort int64) {
	switch row.Stand {
	case flow.Claimed:
		return "", row.Until
	case flow.Later:
		return "", row.Due
	}
	return lane, int64(priority)
}

// finish removes records that are done and leaves their marks.
func (s *Store) finish(ctx context.Context, c Conn, done []*Settlement, held map[RecordID]heldRow, now int64) error {
	there := slices.DeleteFunc(slices.Clone(done), func(t *Settlement) bool { return held[t.ID].gone })
	err := inChunks(there, func(t *Settlement) any { return idArg(t.ID) }, func(args []any) error {
		_, err := c.Exec(ctx, s.ours.deleteRecords.text(len(args)), args...)
		return err
	})
	if err != nil {
		return err
	}
	return s.chunked(ctx, c, &s.ours.insertMark, len(done), 3, func(args []any, i int) []any {
		keep := done[i].Keep
		if keep == 0 {
			keep = DefaultKeep
		}
		return append(args, idArg(done[i].ID), now+keep.Microseconds(), bytesArg(done[i].Mark))
	})
}

// release frees orders and wakes whoever is next in each.
func (s *Store) release(ctx context.Context, c Conn, d *settling, now int64) error {
	if len(d.ordered) > 0 {
		freed, err := s.heldOrders(ctx, c, d.ordered)
		if err != nil {
			return err
		}
		err = inChunks(d.ordered, idArg, func(args []any) error {
			_, err := c.Exec(ctx, s.ours.deleteOrders.text(len(args)), args...)
			return err
		})
		if err != nil {
			return err
		}
		d.released = append(d.released, freed...)
	}
	for _, h := range d.released {
		if _, err := c.Exec(ctx, s.ours.freeOrder, h.Task, h.Key, idArg(h.id)); err != nil {
			return err
		}
		if err := s.wake(ctx, c, h, now); err != nil {
			return err
		}
	}
	return nil
}

// wake makes the next record in an order due. One that is claimed just now is
// told, so that it does not go back to wait for what has happened already.
func (s *Store) wake(ctx context.Context, c Conn, h heldOrder, now int64) error {
	next, err := s.head(ctx, c, h.Order)
	if err != nil || next == (RecordID{}) || compareIDs(next, h.id) < 0 {
		return err
	}
	if _, err := c.Exec(ctx, s.ours.wakeLater, now, idArg(next)); err != nil {
		return err
	}
	_, err = c.Exec(ctx, s.ours.wakeClaimed, idArg(next))
	return err
}

// head returns the earliest record that holds an order, or the zero id.
func (s *Store) head(ctx context.Context, c Conn, o Order) (RecordID, error) {
	var id RecordID
	err := c.Query(ctx, s.ours.successor, []any{o.Task, o.Key}, func(scan func(...any) error) error {
		var raw []byte
		err := scan(&raw)
		copy(id[:], raw)
		return err
	})
	return id, err
}

// Blocked tells, for each order of record id, whether an earlier record still
// holds it.
func (s *Store) Blocked(ctx context.Context, id RecordID, orders []Order) ([]bool, error) {
	if err := s.open(ctx); err != nil {
		return nil, s.locate(err, "blocked", nil, "")
	}
	blocked := make([]bool, len(orders))
	err := s.view(ctx, func(c Conn) error {
		for i, o := range orders {
			head, err := s.head(ctx, c, o)
			if err != nil {
				return err
			}
			blocked[i] = head != RecordID{} && compareIDs(head, id) < 0
		}
		return nil
	})
	if err != nil {
		return nil, s.explain(ctx, err, "blocked", nil)
	}
	return blocked, nil
}
