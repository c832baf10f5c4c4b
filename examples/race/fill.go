package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
)

// Filling the stores: the layer puts some check-ins, and what it has then written
// is copied, under other keys, until there is enough. So the copies are what
// the layer writes, and a million of them take seconds.

// mostSeeds is how many check-ins are copied at most, and so how many rows one
// statement writes.
const mostSeeds = 5000

// A filler fills the tables of one layer.
type filler struct {
	*race
	db    *sql.DB
	seeds int
}

// fill brings the grown side to what the flags ask for, and finds copies by the
// layer.
func (g *grown) fill(ctx context.Context, run []entrant) error {
	db, err := openRows(g.big.servers.Transactional)
	if err != nil {
		return err
	}
	defer db.Close()
	f := &filler{race: g.big, db: db, seeds: min(max(g.big.grown/10, perUser), mostSeeds)}
	var kinds []string
	for _, e := range run {
		if name := tables(e.name); !slices.Contains(kinds, name) {
			kinds = append(kinds, name)
		}
	}
	f.system.owes = g.big.backlog > 0 // also of a run before this one
	begun := time.Now()
	for _, kind := range kinds {
		if err := f.stored(ctx, kind, g.big.grown/len(kinds)); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	if g.big.backlog > 0 {
		if err := f.waiting(ctx, g.big.backlog); err != nil {
			return fmt.Errorf("the backlog: %w", err)
		}
	}
	var bytes, count int64
	err = db.QueryRowContext(ctx, "SELECT SUM(data_length + index_length), COUNT(*) FROM information_schema.tables "+
		"WHERE table_schema = DATABASE() AND table_name LIKE '"+g.big.namespace+"\\_%'").Scan(&bytes, &count)
	fmt.Fprintf(g.stderr, "filled in %.0f s: %d MB in %d tables\n", time.Since(begun).Seconds(), bytes/1e6, count)
	return err
}

// entrantOf is the entrant that fills the tables of a kind.
func entrantOf(kind string) entrant {
	all := entrants()
	return all[slices.IndexFunc(all, func(e entrant) bool { return e.name == kind })]
}

// stored brings the check-ins that a kind has stored to n.
func (f *filler) stored(ctx context.Context, kind string, n int) error {
	e := entrantOf(kind)
	rows, places := f.namespace+"_"+kind, f.namespace+"_whereabouts"
	have, err := f.count(ctx, rows)
	missing := n - have - f.seeds
	if err != nil || missing <= 0 {
		return err
	}
	l := newLap(f.seeds, f.size, curveCallers, e.tasks)
	if f.random {
		l.scatter()
	}
	if _, err := f.runLap(ctx, e, l, -1); err != nil {
		return err
	}
	keys := make([]string, len(l.objects))
	for i := range l.objects {
		keys[i] = "'" + l.objects[i].ID + "'"
	}
	in := " IN (" + strings.Join(keys, ",") + ")"
	var all sync.WaitGroup
	errs := make([]error, 3)
	all.Go(func() {
		errs[0] = f.copy(ctx, rows, "id"+in, missing, func(block int) map[string]string {
			return map[string]string{"id": f.key("id", l, block), "user": f.user("user", l, block)}
		})
	})
	all.Go(func() {
		errs[1] = f.copy(ctx, places, "space = '"+kind+"__activity' AND okey"+in, missing, func(block int) map[string]string {
			// In front of the user of a random key then stands another's hash: it
			// is as long, and nobody goes there.
			return map[string]string{"okey": f.key("okey", l, block), "place": fmt.Sprintf("REPLACE(place, '%014x', '%s')", l.number, prefixOf(l, block))}
		})
	})
	all.Go(func() { errs[2] = f.cells(ctx, kind, l, missing/amorphousShare) })
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return f.found(ctx, kind, l, missing)
}

// prefixOf begins the keys of a block: those of laps to come are larger.
func prefixOf(l *lap, block int) string { return fmt.Sprintf("%014x", l.number+int64(block)) }

// key is a key of the block in SQL, of a column that holds one.
func (f *filler) key(column string, l *lap, block int) string {
	return f.scattered(fmt.Sprintf("CONCAT('%s', RIGHT(%s, 9))", prefixOf(l, block), column))
}

func (f *filler) user(column string, l *lap, block int) string {
	return f.scattered(fmt.Sprintf("CONCAT('u%s-', SUBSTRING_INDEX(%s, '-', -1))", prefixOf(l, block), column))
}

// scattered is the function of that name in SQL.
func (f *filler) scattered(name string) string {
	if !f.random {
		return name
	}
	return fmt.Sprintf("CONCAT(LEFT(MD5(%s), %d), '-', %[1]s)", name, hashed)
}

// block returns the check-ins of a block, as the copies have them.
func (f *filler) block(l *lap, block int) []Checkin {
	out := slices.Clone(l.objects)
	for i := range out {
		c := &out[i]
		_, user, _ := strings.Cut(c.User[max(0, strings.LastIndex(c.User, "u")):], "-")
		c.ID, c.User = prefixOf(l, block)+c.ID[len(c.ID)-9:], "u"+prefixOf(l, block)+"-"+user
		if f.random {
			c.ID, c.User = scattered(c.ID), scattered(c.User)
		}
	}
	return out
}

// found has the layer find the first copies where it looks for what it has put.
func (f *filler) found(ctx context.Context, kind string, l *lap, copies int) error {
	part := f.block(l, 1)[:min(perUser, copies)]
	h := f.system.kind(kind)
	if err := find(ctx, h, queryOf("", part), "the transactional store", part); err != nil {
		return err
	}
	part = part[:min(len(part), copies/amorphousShare)]
	if len(part) == 0 {
		return nil
	}
	return find(ctx, h, queryOf("activity", part), "the activity", part)
}

// queryOf finds the check-ins of one user.
func queryOf(task string, part []Checkin) persistence.Query {
	return persistence.Query{Task: task, Where: map[string]any{"User": part[0].User}}
}

func (f *filler) count(ctx context.Context, table string) (n int, err error) {
	err = f.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+table).Scan(&n)
	return n, err
}

// copy adds n rows to a table, copies of those that where holds for. As says, for
// each block of them, what the columns are that are not the same.
func (f *filler) copy(ctx context.Context, table, where string, n int, as func(block int) map[string]string) error {
	s, err := f.seed(ctx, table, where)
	if err != nil {
		return err
	}
	defer s.conn.Close()
	return s.copy(ctx, n, as)
}

// A seed is rows to be copied, as they were when it was made.
type seed struct {
	conn    *sql.Conn // of its temporary table
	table   string
	columns []string
	rows    int
}

func (f *filler) seed(ctx context.Context, table, where string) (_ *seed, err error) {
	s := &seed{table: table}
	if s.conn, err = f.db.Conn(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.conn.Close())
		}
	}()
	rows, err := s.conn.QueryContext(ctx, "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ?", table)
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		s.columns = append(s.columns, name)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for _, statement := range []string{
		"DROP TEMPORARY TABLE IF EXISTS seed",
		fmt.Sprintf("CREATE TEMPORARY TABLE seed AS SELECT * FROM %s WHERE %s LIMIT %d", table, where, f.seeds),
	} {
		if _, err := s.conn.ExecContext(ctx, statement); err != nil {
			return nil, err
		}
	}
	if err := s.conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM seed").Scan(&s.rows); err != nil {
		return nil, err
	}
	if s.rows == 0 {
		return nil, fmt.Errorf("%s has nothing to be copied where %.80s", table, where)
	}
	return s, nil
}

func (s *seed) copy(ctx context.Context, n int, as func(block int) map[string]string) error {
	into := "INSERT INTO " + s.table + " (`" + strings.Join(s.columns, "`,`") + "`) SELECT "
	for block := 1; n > 0; block++ {
		changed := as(block)
		values := make([]string, len(s.columns))
		for i, name := range s.columns {
			values[i] = "`" + name + "`"
			if value, ok := changed[name]; ok {
				values[i] = value
			}
		}
		if _, err := s.conn.ExecContext(ctx, fmt.Sprintf("%s%s FROM seed LIMIT %d", into, strings.Join(values, ","), n)); err != nil {
			return err
		}
		n -= s.rows
	}
	return nil
}
