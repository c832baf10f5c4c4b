package transactional

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// validLetter checks a dead letter. Its text may come from anywhere, so bytes
// that are not UTF-8 are replaced when it is written, not refused.
func (s *Store) validLetter(l *DeadLetter) error {
	err := firstError(
		validKey("id", l.ID), validLength("kind", l.Kind), validLength("key", l.Key),
		validLength("task", l.Task), s.fits(len(l.Envelope)+len(l.Detail)+len(l.Reason)+512),
	)
	if err == nil {
		return nil
	}
	class := fault.ErrInvalid
	if fault.ClassOf(err) != nil {
		class = fault.ClassOf(err)
	}
	return &fault.Error{Op: "bury", Store: purpose, Kind: l.Kind, Key: l.Key, Class: class, Err: err}
}

// checkUnbury decides the units that want to remove a letter which is not
// there.
func (s *Store) checkUnbury(ctx context.Context, c Conn, jobs []*job) error {
	ids := unburied(jobs)
	if len(ids) == 0 {
		return nil
	}
	there := make(map[string]bool, len(ids))
	err := inChunks(ids, textArg, func(args []any) error {
		return c.Query(ctx, s.ours.deadThere.text(len(args)), args, func(scan func(...any) error) error {
			var id string
			err := scan(&id)
			there[id] = true
			return err
		})
	})
	if err != nil {
		return err
	}
	for _, j := range jobs {
		for _, id := range j.unit.Unbury {
			if !there[id] {
				j.try.fail(&fault.Error{Op: "unbury", Store: purpose, Key: id, Class: fault.ErrNotFound})
			}
		}
	}
	return nil
}

// unburied returns the letters to remove of the units that still go on.
func unburied(jobs []*job) []string {
	var ids []string
	for _, j := range jobs {
		if !j.try.out {
			ids = append(ids, j.unit.Unbury...)
		}
	}
	slices.Sort(ids)
	return ids
}

func (s *Store) unbury(ctx context.Context, c Conn, jobs []*job) error {
	return inChunks(unburied(jobs), textArg, func(args []any) error {
		_, err := c.Exec(ctx, s.ours.deleteDead.text(len(args)), args...)
		return err
	})
}

func (s *Store) bury(ctx context.Context, c Conn, jobs []*job) error {
	var letters []*DeadLetter
	for _, j := range jobs {
		if j.try.out {
			continue
		}
		for i := range j.unit.Bury {
			letters = append(letters, &j.unit.Bury[i])
		}
	}
	slices.SortStableFunc(letters, func(a, b *DeadLetter) int { return strings.Compare(a.ID, b.ID) })
	width := len(ourTable("dead").columns)
	return s.chunked(ctx, c, &s.ours.insertDead, len(letters), width, func(args []any, i int) []any {
		l := letters[i]
		return append(args, l.ID, l.Kind, l.Key, l.Task, valid(l.Reason), valid(l.Detail),
			int64(l.Attempts), micros(l.Accepted), micros(l.Died), bytesArg(l.Envelope))
	})
}

// valid replaces what no text column takes.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// A DeadFilter selects dead letters.
type DeadFilter struct {
	Kind, Task, Key string // empty: any
	Limit           int    // zero means 100
	After           string // the ID of the last letter of the page before; empty: from the first
}

// DeadLetters lists dead letters in order of ID.
func (s *Store) DeadLetters(ctx context.Context, f DeadFilter) ([]DeadLetter, error) {
	err := s.open(ctx)
	if err == nil && f.Limit < 0 {
		err = fault.New(fault.ErrInvalid, purpose, "dead letters", "Limit is negative")
	}
	if err != nil {
		return nil, s.locate(err, "dead letters", nil, "")
	}
	if f.Limit == 0 {
		f.Limit = defaultLimit
	}
	query := "SELECT " + strings.Join(ourTable("dead").names(), ", ") + " FROM " + s.ours.table["dead"] + " WHERE id > ?"
	args := []any{f.After}
	for _, cond := range [][2]string{{"kind", f.Kind}, {"task", f.Task}, {"okey", f.Key}} {
		if cond[1] != "" {
			query += " AND " + cond[0] + " = ?"
			args = append(args, cond[1])
		}
	}
	args = append(args, int64(f.Limit))
	var out []DeadLetter
	err = s.view(ctx, func(c Conn) error {
		out = nil
		return c.Query(ctx, query+" ORDER BY id LIMIT ?", args, func(scan func(...any) error) error {
			l, err := scanLetter(scan)
			out = append(out, l)
			return err
		})
	})
	if err != nil {
		return nil, s.explain(ctx, err, "dead letters", nil)
	}
	return out, nil
}

func scanLetter(scan func(...any) error) (DeadLetter, error) {
	var (
		l                        DeadLetter
		attempts, accepted, died int64
	)
	err := scan(&l.ID, &l.Kind, &l.Key, &l.Task, &l.Reason, &l.Detail, &attempts, &accepted, &died, &l.Envelope)
	l.Attempts, l.Accepted, l.Died = int(attempts), fromMicros(accepted), fromMicros(died)
	return l, err
}

// CountDead counts the dead letters by {kind, task}.
func (s *Store) CountDead(ctx context.Context) (map[[2]string]int, error) {
	if err := s.open(ctx); err != nil {
		return nil, s.locate(err, "count dead letters", nil, "")
	}
	counts := map[[2]string]int{}
	err := s.eachDead(ctx, "COUNT(*)", func(of [2]string, n int64) { counts[of] = int(n) })
	if err != nil {
		return nil, s.explain(ctx, err, "count dead letters", nil)
	}
	return counts, nil
}

// OldestDead tells when the oldest dead letter of each kind and task died.
func (s *Store) OldestDead(ctx context.Context) (map[[2]string]time.Time, error) {
	if err := s.open(ctx); err != nil {
		return nil, s.locate(err, "oldest dead letters", nil, "")
	}
	oldest := map[[2]string]time.Time{}
	err := s.eachDead(ctx, "MIN(died)", func(of [2]string, n int64) { oldest[of] = fromMicros(n) })
	if err != nil {
		return nil, s.explain(ctx, err, "oldest dead letters", nil)
	}
	return oldest, nil
}

// eachDead asks for a figure of the dead letters of each kind and task.
func (s *Store) eachDead(ctx context.Context, figure string, each func(of [2]string, n int64)) error {
	query := "SELECT kind, task, " + figure + " FROM " + s.ours.table["dead"] + " GROUP BY kind, task"
	return s.view(ctx, func(c Conn) error {
		return c.Query(ctx, query, nil, func(scan func(...any) error) error {
			var (
				of [2]string
				n  int64
			)
			err := scan(&of[0], &of[1], &n)
			each(of, n)
			return err
		})
	})
}
