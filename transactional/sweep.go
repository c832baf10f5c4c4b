package transactional

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// Bounds of one sweep: what is over is taken in chunks, each a transaction of
// its own, so that a sweep never holds up the others for long.
const (
	sweepChunk  = 256
	sweepChunks = 64 // of each sort; what is left waits for the next sweep
)

// Sweep frees what crashed owners held: records whose lease is over are due
// again, and each of them counts one more loss. It returns how many, makes
// ready what has become due, and purges marks, tokens and slots past their time,
// a bounded number at a time. After the server's clock was seen to leap ahead, be
// it that it was put right, or it is told of that it had gone back, it frees nothing
// for a second longer than a lease lasts, so that owners that live can renew theirs,
// and after a gap where it is Watched only what was over before.
func (s *Store) Sweep(ctx context.Context) (freed int, err error) {
	if err := s.open(ctx); err != nil {
		return 0, s.locate(err, "sweep", nil, "")
	}
	over, err := s.over(ctx)
	if err == nil {
		err = s.keepBack(ctx)
	}
	if !over || err != nil {
		return 0, s.explain(ctx, err, "sweep", nil)
	}
	freed, err = s.sweep(ctx, s.ours.expired, s.leases, &s.ours.freeSome)
	if err == nil {
		_, err = s.sweep(ctx, s.ours.due, s.times, &s.ours.promoteSome)
	}
	if err == nil {
		_, err = s.sweep(ctx, s.ours.marksOver, s.times, &s.ours.deleteMarks)
	}
	if err == nil {
		err = s.sweepOver(ctx, s.ours.tokensOver, s.times, scanToken, s.ours.deleteToken)
	}
	if err == nil {
		err = s.sweepOver(ctx, s.ours.slotsOver, s.leases, scanSlot, s.ours.leaveSlot)
	}
	return freed, s.explain(ctx, err, "sweep", nil)
}

// over reports whether there is anything to sweep: one look, most often with
// the answer no, instead of a transaction for each sort.
func (s *Store) over(ctx context.Context) (bool, error) {
	still, nothing := s.lull("")
	if still {
		s.clock.sweeps(time.Now().UnixMicro()) // who looks like that has no other clock
		return false, nil
	}
	var now, next int64
	err := s.view(ctx, func(c Conn) (err error) {
		if now, err = s.clock.ask(ctx, s, c); err == nil {
			s.clock.sweeps(now)
			next, err = earliest(ctx, c, s.ours.nextOver, 5)
		}
		return err
	})
	if err != nil || next <= now {
		return true, err
	}
	nothing(next)
	return false, nil
}

// Watched says that Sweep is called every second from now on. When it is not, this
// machine was suspended, or the server away: see Sweep.
func (s *Store) Watched() { s.clock.watch() }

// Recover frees every claim at once, but for those of the owners that live: only
// for a driver without Features.SharedLog, at start, when no other process can
// hold one. Others in this process can, on the same database.
func (s *Store) Recover(ctx context.Context, living ...uint64) (freed int, err error) {
	if err := s.open(ctx); err != nil {
		return 0, s.locate(err, "recover", nil, "")
	}
	but := ""
	if len(living) > 0 {
		owners := make([]string, len(living))
		for i, owner := range living {
			owners[i] = strconv.FormatInt(int64(owner), 10) // as the outbox keeps it
		}
		but = " AND owner NOT IN (" + strings.Join(owners, ",") + ")"
	}
	for {
		n, err := s.sweep(ctx, s.ours.claimedBut(but), nil, &s.ours.freeSome)
		freed += n
		if err != nil || n < sweepChunk*sweepChunks {
			return freed, s.explain(ctx, err, "recover", nil)
		}
	}
}

// A sweepTime is the time that a sweep goes by.
type sweepTime = func(ctx context.Context, c Conn) (int64, error)

// times is the time for what nobody renews.
func (s *Store) times(ctx context.Context, c Conn) (int64, error) { return s.clock.now(ctx, s, c) }

// leases is the time up to which what its owner renews is over.
func (s *Store) leases(ctx context.Context, c Conn) (int64, error) {
	now, err := s.clock.ask(ctx, s, c)
	if err != nil {
		return 0, err
	}
	s.clock.sweeps(now)
	return s.clock.over(now), nil
}

// sweep changes what a query finds, chunk by chunk; without a time, whatever it
// finds.
func (s *Store) sweep(ctx context.Context, query string, by sweepTime, change *sized) (n int, err error) {
	for range sweepChunks {
		found := 0
		err := s.run(ctx, func(ctx context.Context, c Conn) error {
			found = 0
			var args []any
			if by != nil {
				now, err := by(ctx, c)
				if err != nil {
					return err
				}
				args = append(args, now)
			}
			n, err := s.moveSome(ctx, c, query, args, change, sweepChunk)
			found = n
			return err
		})
		if err != nil {
			return n, err
		}
		n += found
		if found < sweepChunk {
			break
		}
	}
	return n, nil
}

// moveSome changes up to most of the records that a query finds; the query's
// last argument is its limit.
func (s *Store) moveSome(ctx context.Context, c Conn, query string, args []any, change *sized, most int) (int, error) {
	var ids []RecordID
	err := c.Query(ctx, query, append(args, int64(most)), func(scan func(...any) error) error {
		var (
			raw []byte
			id  RecordID
		)
		err := scan(&raw)
		copy(id[:], raw)
		ids = append(ids, id)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(ids), inChunks(ids, idArg, func(args []any) error {
		_, err := c.Exec(ctx, change.text(len(args)), args...)
		return err
	})
}

// A scanner scans one row into the arguments of the statement that removes it.
type scanner func(scan func(...any) error) ([]any, error)

func scanToken(scan func(...any) error) ([]any, error) {
	var kind, token string
	err := scan(&kind, &token)
	return []any{kind, token}, err
}

func scanSlot(scan func(...any) error) ([]any, error) {
	var name, key string
	var place, owner int64
	err := scan(&name, &key, &place, &owner)
	return []any{name, key, place, owner}, err
}

// sweepOver removes, one by one, the rows that a query finds to be past their
// time.
func (s *Store) sweepOver(ctx context.Context, query string, by sweepTime, row scanner, remove string) error {
	for range sweepChunks {
		found := 0
		err := s.run(ctx, func(ctx context.Context, c Conn) error {
			found = 0
			now, err := by(ctx, c)
			if err != nil {
				return err
			}
			var over [][]any
			err = c.Query(ctx, query, []any{now, int64(sweepChunk)}, func(scan func(...any) error) error {
				args, err := row(scan)
				over = append(over, args)
				return err
			})
			if err != nil {
				return err
			}
			found = len(over)
			for _, args := range over {
				if _, err := c.Exec(ctx, remove, args...); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || found < sweepChunk {
			return err
		}
	}
	return nil
}

// purgePage is how many rows PurgeTombstones looks at in one query.
const purgePage = 4096

// PurgeTombstones removes tombstones whose version is older, and returns how
// many. It looks at every row once, a page at a time, so it is for quiet
// hours. A write older than a tombstone that is gone is no longer refused.
func (s *Store) PurgeTombstones(ctx context.Context, table *Table, before int64) (int, error) {
	p, err := s.enter(ctx, table)
	if err != nil {
		return 0, s.locate(err, "purge", table, "")
	}
	removed := 0
	for last, more := "", true; more; {
		var over []string
		err := s.view(ctx, func(c Conn) (err error) {
			over, last, more, err = s.tombstonesAfter(ctx, c, p, last, before)
			return err
		})
		if err != nil {
			return removed, s.explain(ctx, err, "purge", p)
		}
		n, err := s.removeTombstones(ctx, p, over, before)
		removed += n
		if err != nil {
			return removed, s.explain(ctx, err, "purge", p)
		}
	}
	return removed, nil
}

// tombstonesAfter reads one page of ids.
func (s *Store) tombstonesAfter(ctx context.Context, c Conn, p *plan, after string, before int64) (over []string, last string, more bool, err error) {
	query := "SELECT id, version, deleted FROM " + s.dialect.Quote(p.physical) + " WHERE id > ? ORDER BY id LIMIT ?"
	n := 0
	err = c.Query(ctx, query, []any{after, int64(purgePage)}, func(scan func(...any) error) error {
		var version, deleted int64
		if err := scan(&last, &version, &deleted); err != nil {
			return err
		}
		if n++; deleted != 0 && version < before {
			over = append(over, last)
		}
		return nil
	})
	return over, last, n == purgePage, err
}

// removeTombstones removes what still is an old tombstone.
func (s *Store) removeTombstones(ctx context.Context, p *plan, ids []string, before int64) (removed int, err error) {
	for len(ids) > 0 {
		chunk := ids[:min(len(ids), sweepChunk)]
		ids = ids[len(chunk):]
		n := 0
		err := s.run(ctx, func(ctx context.Context, c Conn) error {
			n = 0
			return inChunks(chunk, textArg, func(args []any) error {
				affected, err := c.Exec(ctx, p.purge.text(len(args)), append([]any{before}, args...)...)
				n += int(affected)
				return err
			})
		})
		if err != nil {
			return removed, err
		}
		removed += n
	}
	return removed, nil
}
