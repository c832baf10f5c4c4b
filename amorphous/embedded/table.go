package embedded

import (
	"context"
	"math/bits"
	"strings"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
)

// Rows of one statement are a power of two up to chunkRows, so that a handful
// of texts is prepared and kept.
const (
	chunkRows  = 64
	chunkSizes = 7 // 1, 2, 4 … 64
)

// texts holds one statement for each number of rows, by its logarithm.
type texts [chunkSizes]string

// A table is what the driver knows of a table: the texts of its statements.
//
// In the file it is two SQLite tables. "amorphous$NAME" holds the cells, in
// the order in which they are read. "amorphous$NAME$gone" holds the tombstones
// of a plain table, "amorphous$NAME$places" the place of each row of a Placed
// one. Tombstones have a table of their own because most tables have none, and
// a write then asks one question a group instead of one a row. (A valid name
// has no dollar sign, so these names cannot collide.)
type table struct {
	amorphous.Table
	placed bool
	cells  string // name of the cells' table
	other  string // name of the companion

	upsert  texts // cells, newest wins
	read    texts // live cells by address
	held    texts // those of some partitions in which there is a cell
	stamps  texts // stamps of cells by primary key
	gone    texts // tombstones by address
	fresh   texts // places of new IDs
	located texts // places by ID
	replace texts // places as they are now
}

const (
	cellColumns  = "part,ord,id,shape,version,tie,expires,body"
	placeColumns = "id,part,ord,version,tie,moved,moved_tie,gone,gone_tie,at"
	newerThan    = "(excluded.version > version OR (excluded.version = version AND excluded.tie > tie))"
)

func newTable(t amorphous.Table) *table {
	cells := "amorphous$" + t.Name
	out := &table{Table: t, placed: t.Placed, cells: cells, other: cells + "$gone"}
	if t.Placed {
		out.other = cells + "$places"
	}
	// OR FAIL keeps SQLite from copying every page that a statement of several
	// rows changes, so as to undo it alone: a unit that fails is rolled back
	// whole.
	out.upsert = forSizes("INSERT OR FAIL INTO "+cells+"("+cellColumns+") VALUES ", "(?,?,?,?,?,?,?,?)",
		" ON CONFLICT(part,ord,id,shape) DO UPDATE SET version=excluded.version,tie=excluded.tie,"+
			"expires=excluded.expires,body=excluded.body WHERE "+newerThan)
	out.stamps = forSizes("SELECT part,ord,id,shape,version,tie FROM "+cells+" WHERE (part,ord,id,shape) IN (VALUES ", "(?,?,?,?)", ")")
	out.held = forSizes("WITH some(part) AS (VALUES ", "(?)", ") SELECT part FROM some WHERE EXISTS (SELECT 1 FROM "+cells+" c WHERE c.part=some.part)")
	if t.Placed {
		out.read = forSizes("SELECT "+selected+" FROM "+out.other+" p JOIN "+cells+" c ON c.part=p.part AND c.ord=p.ord AND c.id=p.id"+
			" WHERE p.id IN (", "?", ") AND "+live)
		out.fresh = forSizes("INSERT OR FAIL INTO "+out.other+"("+placeColumns+") VALUES ", "(?,?,?,?,?,0,0,0,0,?)", " ON CONFLICT(id) DO NOTHING")
		out.located = forSizes("SELECT "+placeColumns+" FROM "+out.other+" WHERE id IN (", "?", ")")
		out.replace = forSizes("INSERT OR REPLACE INTO "+out.other+"("+placeColumns+") VALUES ", "(?,?,?,?,?,?,?,?,?,?)", "")
	} else {
		out.read = forSizes("SELECT "+selected+" FROM "+cells+" c WHERE (c.part,c.ord,c.id) IN (VALUES ", "(?,?,?)", ") AND "+live)
		out.gone = forSizes("SELECT part,ord,id,version,tie FROM "+out.other+" WHERE (part,ord,id) IN (VALUES ", "(?,?,?)", ")")
	}
	return out
}

func forSizes(head, row, tail string) texts {
	var out texts
	for i := range out {
		out[i] = head + row + strings.Repeat(","+row, 1<<i-1) + tail
	}
	return out
}

// chunks calls do for consecutive parts of n rows whose sizes are powers of
// two, with the statement for that size.
func (t *texts) chunks(n int, do func(from, to int, text string) error) error {
	for from := 0; from < n; {
		i := min(bits.Len(uint(n-from))-1, chunkSizes-1)
		to := from + 1<<i
		if err := do(from, to, t[i]); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// schema returns the statements that create the table.
//
// Unsigned numbers (shape, tie) are stored with their top bit flipped, so that
// SQLite's signed comparison orders them as unsigned. Times are microseconds
// since 1970; "at" is when a tombstone or a place was last written, by the
// wall clock, for Purge. What an upsert may replace is not declared NOT NULL,
// though it never is: that check could fail in the middle of a statement, and
// SQLite would prepare to undo it (see newTable).
//
// Cells lie in the order in which they came, and their primary key is an index
// beside them. Kept in the order of the key, which is WITHOUT ROWID, every cell
// that goes to a partition of its own changes a page of its own, and where
// partitions grow at one end pages are split again and again: 1.5 million
// inbox rows then wrote 12.5 GB to the disk instead of 8.5. What it costs is a
// step from the index to the cell for each row that is read. Files that were
// made with the other order work as they are.
func (t *table) schema() []string {
	cells := "CREATE TABLE IF NOT EXISTS " + t.cells + " (part TEXT NOT NULL, ord BLOB NOT NULL, id TEXT NOT NULL, " +
		"shape INTEGER NOT NULL, version INTEGER, tie INTEGER, expires INTEGER, body BLOB, " +
		"PRIMARY KEY (part, ord, id, shape))"
	other := "CREATE TABLE IF NOT EXISTS " + t.other + " (part TEXT NOT NULL, ord BLOB NOT NULL, id TEXT NOT NULL, " +
		"version INTEGER NOT NULL, tie INTEGER NOT NULL, at INTEGER NOT NULL, " +
		"PRIMARY KEY (part, ord, id)) WITHOUT ROWID"
	if t.placed {
		other = "CREATE TABLE IF NOT EXISTS " + t.other + " (id TEXT NOT NULL PRIMARY KEY, part TEXT NOT NULL, ord BLOB NOT NULL, " +
			"version INTEGER NOT NULL, tie INTEGER NOT NULL, moved INTEGER NOT NULL, moved_tie INTEGER NOT NULL, " +
			"gone INTEGER NOT NULL, gone_tie INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID"
	}
	// Only cells that expire are in the index, so that it costs the others
	// nothing.
	expires := "CREATE INDEX IF NOT EXISTS " + t.cells + "$expires ON " + t.cells + " (expires) WHERE expires IS NOT NULL"
	return []string{cells, expires, other}
}

// create creates the table where it is missing, and refuses one that was made
// for the other kind of use.
func (t *table) create(ctx context.Context, file *sqlitefile.File) error {
	made := 0
	look := func(conn sqlitefile.Conn) error {
		made = 0
		return conn.Query(ctx, "SELECT name FROM sqlite_schema WHERE type='table' AND name IN (?,?,?)",
			[]any{t.cells, t.cells + "$gone", t.cells + "$places"}, func(scan func(dest ...any) error) error {
				var name string
				if err := scan(&name); err != nil {
					return err
				}
				if name != t.cells && name != t.other {
					return misplaced(t.Table)
				}
				made++
				return nil
			})
	}
	if err := file.Read(ctx, look); err != nil || made == 2 {
		return err
	}
	return file.Write(ctx, func(conn sqlitefile.Conn) error {
		if err := look(conn); err != nil {
			return err
		}
		for _, statement := range t.schema() {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// signed and unsigned map a uint64 to an int64 that sorts alike, and back.
func signed(u uint64) int64   { return int64(u ^ 1<<63) }
func unsigned(i int64) uint64 { return uint64(i) ^ 1<<63 }
