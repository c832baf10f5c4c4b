package embedded

import (
	"context"
	"strings"

	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
)

// The table is the log of the queue. A row is ready when ready_at is 0; the
// two partial indexes keep ready and delayed rows apart, so that neither scan
// reads the other's. id counts up over all tubes: it is the order of puts.
var schema = []string{
	`CREATE TABLE IF NOT EXISTS transitory_jobs (
	id INTEGER PRIMARY KEY,
	tube TEXT NOT NULL,
	priority INTEGER NOT NULL,
	ready_at INTEGER NOT NULL,
	ttr INTEGER NOT NULL,
	reserves INTEGER NOT NULL,
	body BLOB NOT NULL)`,
	`CREATE INDEX IF NOT EXISTS transitory_ready ON transitory_jobs (tube, priority) WHERE ready_at = 0`,
	`CREATE INDEX IF NOT EXISTS transitory_delayed ON transitory_jobs (ready_at) WHERE ready_at > 0`,
}

// most rows of one statement. Statements come in powers of two, so that few
// are ever prepared.
const mostRows = 256

var (
	insertRows = statements("INSERT INTO transitory_jobs (id, tube, priority, ready_at, ttr, reserves, body) VALUES ", "(?,?,?,?,?,?,?)", "")
	deleteRows = statements("DELETE FROM transitory_jobs WHERE id IN (", "?", ")")
	selectRows = statements("SELECT id, body FROM transitory_jobs WHERE id IN (", "?", ")")
)

// statements are the texts for 1, 2, 4, … mostRows rows.
func statements(head, each, tail string) map[int]string {
	texts := map[int]string{}
	for n := 1; n <= mostRows; n *= 2 {
		texts[n] = head + strings.Repeat(each+",", n-1) + each + tail
	}
	return texts
}

// chunks calls f for consecutive ranges of n items, each as long as one of the
// statements.
func chunks(n int, f func(from, to int) error) error {
	from := 0
	for size := range sqlitefile.Chunks(n, mostRows) {
		if err := f(from, from+size); err != nil {
			return err
		}
		from += size
	}
	return nil
}

func createTable(ctx context.Context, conn sqlitefile.Conn) error {
	for _, statement := range schema {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func insert(ctx context.Context, conn sqlitefile.Conn, puts []*op) error {
	args := make([]any, 0, 7*min(len(puts), mostRows))
	return chunks(len(puts), func(from, to int) error {
		args = args[:0]
		for _, p := range puts[from:to] {
			args = append(args, p.row.id, p.row.tube, int64(p.row.priority), p.row.readyAt, p.row.ttr, 0, p.body)
		}
		_, err := conn.Exec(ctx, insertRows[to-from], args...)
		return err
	})
}

func remove(ctx context.Context, conn sqlitefile.Conn, deletes []*op) error {
	args := make([]any, 0, min(len(deletes), mostRows))
	return chunks(len(deletes), func(from, to int) error {
		args = args[:0]
		for _, d := range deletes[from:to] {
			args = append(args, d.entry.id)
		}
		_, err := conn.Exec(ctx, deleteRows[to-from], args...)
		return err
	})
}

const updateRow = `UPDATE transitory_jobs SET priority = ?, ready_at = ?, reserves = ? WHERE id = ?`

func update(ctx context.Context, conn sqlitefile.Conn, releases []*op) error {
	for _, r := range releases {
		if _, err := conn.Exec(ctx, updateRow, int64(r.row.priority), r.row.readyAt, r.row.reserves, r.entry.id); err != nil {
			return err
		}
	}
	return nil
}

// raiseReserves makes rows say at least how often their jobs were handed out.
func raiseReserves(ctx context.Context, conn sqlitefile.Conn, ids []int64, counts map[int64]int) error {
	for _, id := range ids {
		if _, err := conn.Exec(ctx, `UPDATE transitory_jobs SET reserves = ? WHERE id = ? AND reserves < ?`, counts[id], id, counts[id]); err != nil {
			return err
		}
	}
	return nil
}

// rewrite makes the rows of expelled jobs say ready.
func rewrite(ctx context.Context, conn sqlitefile.Conn, expelled []*op) error {
	for _, o := range expelled {
		if _, err := conn.Exec(ctx, `UPDATE transitory_jobs SET ready_at = 0, reserves = ? WHERE id = ?`, o.row.reserves, o.row.id); err != nil {
			return err
		}
	}
	return nil
}

// promote makes at most 10,000 rows ready whose time came while nobody looked,
// so that one unit never holds the writer for long. It returns how many.
func promote(ctx context.Context, conn sqlitefile.Conn, now int64) (int64, error) {
	return conn.Exec(ctx, `UPDATE transitory_jobs SET ready_at = 0 WHERE id IN (
	SELECT id FROM transitory_jobs WHERE ready_at > 0 AND ready_at <= ? LIMIT 10000)`, now)
}

const (
	readyQuery = `SELECT id, tube, priority, 0, ttr, reserves FROM transitory_jobs
	WHERE tube = ? AND ready_at = 0 AND (priority, id) > (?, ?) ORDER BY priority, id LIMIT ?`
	delayedQuery = `SELECT id, tube, priority, ready_at, ttr, reserves FROM transitory_jobs
	WHERE ready_at > 0 AND (ready_at, id) > (?, ?) ORDER BY ready_at, id LIMIT ?`
)

// readyRows are the next ready rows of a tube beyond a key.
func readyRows(ctx context.Context, conn sqlitefile.Conn, tube string, after key, limit int) ([]row, error) {
	return readRows(ctx, conn, readyQuery, tube, int64(after.priority), after.id, limit)
}

// delayedRows are the next delayed rows beyond a moment.
func delayedRows(ctx context.Context, conn sqlitefile.Conn, after moment, limit int) ([]row, error) {
	return readRows(ctx, conn, delayedQuery, after.at, after.id, limit)
}

func readRows(ctx context.Context, conn sqlitefile.Conn, query string, args ...any) ([]row, error) {
	var rows []row
	err := conn.Query(ctx, query, args, func(scan func(...any) error) error {
		var r row
		var priority, reserves int64
		if err := scan(&r.id, &r.tube, &priority, &r.readyAt, &r.ttr, &reserves); err != nil {
			return err
		}
		r.priority, r.reserves = uint32(priority), int(reserves)
		rows = append(rows, r)
		return nil
	})
	return rows, err
}

// counts calls f for each tube with the number of its ready and delayed rows.
func counts(ctx context.Context, conn sqlitefile.Conn, f func(tube string, ready, delayed int)) error {
	for _, part := range []struct {
		query string
		tell  func(tube string, n int)
	}{
		{`SELECT tube, count(*) FROM transitory_jobs WHERE ready_at = 0 GROUP BY tube`, func(tube string, n int) { f(tube, n, 0) }},
		{`SELECT tube, count(*) FROM transitory_jobs WHERE ready_at > 0 GROUP BY tube`, func(tube string, n int) { f(tube, 0, n) }},
	} {
		err := conn.Query(ctx, part.query, nil, func(scan func(...any) error) error {
			var tube string
			var n int
			if err := scan(&tube, &n); err != nil {
				return err
			}
			part.tell(tube, n)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lastID is the largest id of the table, 0 when it is empty.
func lastID(ctx context.Context, conn sqlitefile.Conn) (int64, error) {
	var last int64
	err := conn.Query(ctx, `SELECT coalesce(max(id), 0) FROM transitory_jobs`, nil, func(scan func(...any) error) error {
		return scan(&last)
	})
	return last, err
}
