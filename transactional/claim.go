package transactional

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Bounds of one claim.
const (
	maxClaim     = 1024
	maxLanes     = 64
	promoteChunk = 256
)

// A ClaimRequest asks for records.
type ClaimRequest struct {
	Lanes []string      // at most 64
	Max   int           // at most 1024 are returned
	Owner uint64        // not zero
	Lease time.Duration // until somebody else may claim it
}

func (r *ClaimRequest) valid() error {
	message := ""
	switch {
	case r.Owner == 0:
		message = "a claim needs an owner that is not zero"
	case r.Lease <= 0:
		message = "a claim needs a lease"
	case r.Max < 0:
		message = "Max is negative"
	case len(r.Lanes) > maxLanes:
		message = "a claim takes 64 lanes at most"
	case slices.Contains(r.Lanes, ""):
		message = "a lane has a name"
	default:
		return nil
	}
	return fault.New(fault.ErrInvalid, purpose, "claim", message)
}

// Claim returns due records of the lanes, by priority and then id, and makes
// Owner hold them. No records and no error mean that none is due. It costs the
// same however many records wait.
func (s *Store) Claim(ctx context.Context, r ClaimRequest) ([]Record, error) {
	err := s.open(ctx)
	if err == nil {
		err = r.valid()
	}
	if err != nil || r.Max == 0 || len(r.Lanes) == 0 {
		return nil, s.locate(err, "claim", nil, "")
	}
	s.clock.leased(r.Lease) // also where nothing is found: others claim for as long
	r.Max = min(r.Max, maxClaim)
	r.Lanes = slices.Clone(r.Lanes)
	slices.Sort(r.Lanes)
	r.Lanes = slices.Compact(r.Lanes)
	seen, err := s.look(ctx, r.Lanes, r.Max)
	if err != nil || seen.empty() {
		return nil, s.explain(ctx, err, "claim", nil)
	}
	var out []Record
	err = s.run(ctx, func(ctx context.Context, c Conn) (err error) {
		out, err = s.claim(ctx, c, &r, seen)
		return err
	})
	if err != nil {
		return nil, s.explain(ctx, err, "claim", nil)
	}
	return out, nil
}

// A peeked is what a look without locks tells about the lanes.
type peeked struct {
	share map[string]int // of the records to claim, by lane
	due   bool           // something has become due, in whatever lane
}

func (p peeked) empty() bool { return len(p.share) == 0 && !p.due }

// look is a peek without a transaction around it, unless the last one found
// nothing and nothing has happened since.
func (s *Store) look(ctx context.Context, lanes []string, most int) (seen peeked, err error) {
	still, nothing := s.lull(looksFor(lanes))
	if still {
		return seen, nil
	}
	next := int64(0)
	err = s.view(ctx, func(c Conn) (err error) {
		if seen, err = s.peek(ctx, c, lanes, most); err == nil && seen.empty() {
			next, err = earliest(ctx, c, s.ours.nextLater, 1)
		}
		return err
	})
	if err == nil && seen.empty() {
		nothing(next)
	}
	return seen, err
}

// peek finds how many of the next most records lie in each lane, so that only
// these are locked. Most of the time there is nothing, and then no transaction
// is begun at all.
func (s *Store) peek(ctx context.Context, c Conn, lanes []string, most int) (peeked, error) {
	p := peeked{share: map[string]int{}}
	now, err := s.clock.now(ctx, s, c)
	if err != nil {
		return p, err
	}
	args := make([]any, 0, 2*len(lanes)+2)
	args = append(args, now)
	for _, lane := range lanes {
		args = append(args, lane, int64(most))
	}
	args = append(args, int64(most+1))
	left := most
	err = c.Query(ctx, s.peekText(len(lanes)), args, func(scan func(...any) error) error {
		var (
			state, sort int64
			queue       string
			id          []byte
		)
		if err := scan(&state, &queue, &sort, &id); err != nil {
			return err
		}
		if state == stateLater {
			p.due = true
		} else if left > 0 {
			p.share[queue]++
			left--
		}
		return nil
	})
	return p, err
}

// peekText is one query over all lanes, each of which is a walk along the
// beginning of its part of the index. What has become due comes first.
func (s *Store) peekText(lanes int) string {
	var b strings.Builder
	from := " FROM " + s.ours.table["outbox"]
	b.WriteString("SELECT * FROM (SELECT state, queue, sort, id" + from + " WHERE state = 2 AND queue = '' AND sort <= ? ORDER BY sort, id LIMIT 1) AS due")
	for i := range lanes {
		b.WriteString(" UNION ALL SELECT * FROM (SELECT state, queue, sort, id" + from +
			" WHERE state = 0 AND queue = ? ORDER BY sort, id LIMIT ?) AS lane" + strconv.Itoa(i))
	}
	b.WriteString(" ORDER BY 1 DESC, 3, 4 LIMIT ?")
	return b.String()
}

// claim locks and takes what peek found, or what is there instead by now.
func (s *Store) claim(ctx context.Context, c Conn, r *ClaimRequest, seen peeked) ([]Record, error) {
	now, err := s.clock.now(ctx, s, c)
	if err != nil {
		return nil, err
	}
	if seen.due {
		// Promotion changes what is most urgent: look again.
		if _, err := s.moveSome(ctx, c, s.ours.due, []any{now}, &s.ours.promoteSome, promoteChunk); err != nil {
			return nil, err
		}
		if seen, err = s.peek(ctx, c, r.Lanes, r.Max); err != nil {
			return nil, err
		}
	}
	var out []Record
	for _, lane := range r.Lanes {
		if n := seen.share[lane]; n > 0 {
			if out, err = s.takeLane(ctx, c, out, lane, n); err != nil {
				return nil, err
			}
		}
	}
	if len(out) == 0 && len(seen.share) > 0 {
		// Others hold all that we saw. Behind it there may be more.
		for _, lane := range r.Lanes {
			if out, err = s.takeLane(ctx, c, out, lane, r.Max-len(out)); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(out, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), compareIDs(a.ID, b.ID))
	})
	return out, s.hold(ctx, c, out, r.Owner, r.Lease, now)
}

// takeLane locks up to n records of a lane and appends them.
func (s *Store) takeLane(ctx context.Context, c Conn, out []Record, lane string, n int) ([]Record, error) {
	if n <= 0 {
		return out, nil
	}
	more, err := s.queryRecords(ctx, c, s.ours.laneReady, []any{lane, int64(n)})
	return append(out, more...), err
}

// hold makes owner hold records that this transaction has locked.
func (s *Store) hold(ctx context.Context, c Conn, records []Record, owner uint64, lease time.Duration, now int64) error {
	for i := range records {
		records[i].Owner, records[i].Lease = owner, lease
	}
	until := now + lease.Microseconds()
	return inChunks(records, func(r Record) any { return idArg(r.ID) }, func(args []any) error {
		all := append([]any{until, int64(owner)}, args...)
		_, err := c.Exec(ctx, s.ours.claim.text(len(args)), all...)
		return err
	})
}

// ClaimByID claims the named records where nobody holds them and they are due,
// whatever their lane; the others are left out.
func (s *Store) ClaimByID(ctx context.Context, owner uint64, lease time.Duration, ids ...RecordID) ([]Record, error) {
	return s.claimByID(ctx, owner, lease, false, ids)
}

// Seize is ClaimByID for records that are not due yet, too, by whoever ends
// them before their time.
func (s *Store) Seize(ctx context.Context, owner uint64, lease time.Duration, ids ...RecordID) ([]Record, error) {
	return s.claimByID(ctx, owner, lease, true, ids)
}

func (s *Store) claimByID(ctx context.Context, owner uint64, lease time.Duration, early bool, ids []RecordID) ([]Record, error) {
	err := s.open(ctx)
	if err == nil {
		err = (&ClaimRequest{Owner: owner, Lease: lease}).valid()
	}
	if err != nil || len(ids) == 0 {
		return nil, s.locate(err, "claim", nil, "")
	}
	s.clock.leased(lease)
	ids = slices.Clone(ids)
	slices.SortFunc(ids, compareIDs)
	ids = slices.Compact(ids)
	var out []Record
	err = s.run(ctx, func(ctx context.Context, c Conn) error {
		out = nil
		now, err := s.clock.now(ctx, s, c)
		if err != nil {
			return err
		}
		due := now
		if early {
			due = math.MaxInt64
		}
		err = inChunks(ids, idArg, func(args []any) error {
			text := s.ours.unclaimed.text(len(args))
			more, err := s.queryRecords(ctx, c, text, append(args, due))
			out = append(out, more...)
			return err
		})
		if err != nil {
			return err
		}
		return s.hold(ctx, c, out, owner, lease, now)
	})
	if err != nil {
		return nil, s.explain(ctx, err, "claim", nil)
	}
	return out, nil
}

// Urgent returns the smallest priority of a due record in the lanes; ok is
// false when there is none.
func (s *Store) Urgent(ctx context.Context, lanes []string) (priority uint32, ok bool, err error) {
	err = s.open(ctx)
	if err == nil {
		err = (&ClaimRequest{Owner: 1, Lease: 1, Lanes: lanes}).valid()
	}
	if err != nil || len(lanes) == 0 {
		return 0, false, s.locate(err, "urgent", nil, "")
	}
	least := int64(-1)
	err = s.view(ctx, func(c Conn) error {
		least = -1
		now, err := s.clock.now(ctx, s, c)
		if err != nil {
			return err
		}
		args := make([]any, 0, 2*len(lanes)+1)
		for _, lane := range lanes {
			args = append(args, lane)
		}
		args = append(args, now)
		for _, lane := range lanes {
			args = append(args, lane)
		}
		return c.Query(ctx, s.urgentText(len(lanes)), args, func(scan func(...any) error) error {
			return scan(&least)
		})
	})
	if err != nil || least < 0 {
		return 0, false, s.explain(ctx, err, "urgent", nil)
	}
	return uint32(least), true, nil
}

func (s *Store) urgentText(lanes int) string {
	var b strings.Builder
	from := " FROM " + s.ours.table["outbox"]
	for i := range lanes {
		b.WriteString("SELECT * FROM (SELECT sort" + from + " WHERE state = 0 AND queue = ? ORDER BY sort, id LIMIT 1) AS lane" +
			strconv.Itoa(i) + " UNION ALL ")
	}
	// What became due and was not promoted yet is little.
	b.WriteString("SELECT priority" + from + " WHERE state = 2 AND queue = '' AND sort <= ? AND lane IN (" + marks(lanes) + ")")
	b.WriteString(" ORDER BY 1 LIMIT 1")
	return b.String()
}

// Extend renews the lease of held records; the result is aligned: an error is
// fault.ErrConflict where Owner no longer holds the record. It is nil when all
// were renewed.
func (s *Store) Extend(ctx context.Context, owner uint64, lease time.Duration, ids ...RecordID) []error {
	err := s.open(ctx)
	if err == nil {
		err = (&ClaimRequest{Owner: owner, Lease: lease}).valid()
	}
	if err != nil {
		return all(len(ids), s.locate(err, "extend", nil, ""))
	}
	sorted := slices.Clone(ids)
	slices.SortFunc(sorted, compareIDs)
	sorted = slices.Compact(sorted)
	var held map[RecordID]heldRow
	err = s.run(ctx, func(ctx context.Context, c Conn) error {
		now, err := s.clock.now(ctx, s, c)
		if err != nil {
			return err
		}
		if held, err = s.readHeld(ctx, c, sorted); err != nil {
			return err
		}
		return inChunks(sorted, idArg, func(args []any) error {
			_, err := c.Exec(ctx, s.ours.extend.text(len(args)), append([]any{now + lease.Microseconds(), int64(owner)}, args...)...)
			return err
		})
	})
	if err != nil {
		return all(len(ids), s.explain(ctx, err, "extend", nil))
	}
	var errs []error
	for i, id := range ids {
		if !held[id].HeldBy(owner) {
			if errs == nil {
				errs = make([]error, len(ids))
			}
			e := fault.New(fault.ErrConflict, purpose, "extend", "the owner no longer holds the record")
			e.Key = id.String()
			errs[i] = e
		}
	}
	return errs
}

func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
