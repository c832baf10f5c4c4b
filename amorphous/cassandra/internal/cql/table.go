package cql

import (
	"encoding/binary"
	"math"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A table is the texts of a table's statements. Names of tables are valid by
// amorphous.ValidName, in lower case; the companion's has a capital, so the two
// cannot collide.
type table struct {
	amorphous.Table
	cells  string // qualified name of the cells' table
	places string // of the places' table, when Placed

	put, putTTL, drop   string // a cell; a range tombstone over a row
	dropCell            string
	register, unlist    string // a place
	listed              string // places of some IDs
	row, rows           string // cells of a row, of rows in several partitions
	first, after        string // pages of everything
	rest, twins, marked string
	buried              string // tombstones among the places

	largest atomic.Int64 // bytes of the largest body of what was read last; zero: unknown
}

// markerShape is the shape of the marker, as it is stored: first in its row.
const markerShape = math.MinInt64

// listName is the name of a Placed table's companion.
func listName(table string) string { return table + "_At" }

func newTable(keyspace string, t amorphous.Table) *table {
	out := &table{Table: t}
	out.cells = `"` + keyspace + `"."` + t.Name + `"`
	out.places = `"` + keyspace + `"."` + listName(t.Name) + `"`
	const row = " WHERE part = ? AND ord = ? AND id = ?"
	const read = "SELECT part, ord, id, shape, cell, writetime(cell) FROM "
	out.put = "UPDATE " + out.cells + " USING TIMESTAMP ? SET cell = ?" + row + " AND shape = ?"
	out.putTTL = "UPDATE " + out.cells + " USING TIMESTAMP ? AND TTL ? SET cell = ?" + row + " AND shape = ?"
	out.drop = "DELETE FROM " + out.cells + " USING TIMESTAMP ?" + row
	out.dropCell = out.drop + " AND shape = ?"
	out.row = read + out.cells + row
	out.rows = read + out.cells + " WHERE part IN ? AND ord = ? AND id = ?"
	out.first = read + out.cells
	out.after = read + out.cells + " WHERE token(part) > token(?)"
	out.rest = read + out.cells + " WHERE part = ? AND (ord, id) > (?, ?)"
	out.twins = "SELECT DISTINCT part FROM " + out.cells + " WHERE token(part) = token(?)"
	out.marked = read + out.cells + " WHERE shape = ? ALLOW FILTERING"
	const place = " WHERE id = ? AND part = ? AND ord = ?"
	out.register = "UPDATE " + out.places + " USING TIMESTAMP ? SET stamp = ?" + place
	out.unlist = "DELETE FROM " + out.places + " USING TIMESTAMP ?" + place
	out.buried = "SELECT id, stamp, writetime(stamp) FROM " + out.places + " WHERE part = '' ALLOW FILTERING"
	out.listed = "SELECT id, part, ord, stamp, writetime(stamp) FROM " + out.places + " WHERE id IN ?"
	return out
}

// schema returns the statements that create the table.
func (t *table) schema() []string {
	out := []string{"CREATE TABLE IF NOT EXISTS " + t.cells +
		" (part text, ord blob, id text, shape bigint, cell blob, PRIMARY KEY ((part), ord, id, shape))"}
	if t.Placed {
		out = append(out, "CREATE TABLE IF NOT EXISTS "+t.places+
			" (id text, part text, ord blob, stamp blob, PRIMARY KEY ((id), part, ord))")
	}
	return out
}

// Seconds of the longest TTL that Cassandra takes, twenty years; what lives
// longer has none, and readers leave it out when its time is over.
const maxTTL = 20 * 365 * 24 * 3600

// putRow is the statement that writes a cell.
func (t *table) putRow(r *amorphous.Row, now time.Time) Statement {
	value := encodeCell(r)
	shape := int64(r.Shape ^ 1<<63)
	if ttl := ttlOf(r.Expires, now); ttl > 0 {
		return Statement{t.putTTL, []any{r.Stamp.Version, ttl, value, r.Partition, notNil(r.Order), r.ID, shape}}
	}
	return Statement{t.put, []any{r.Stamp.Version, value, r.Partition, notNil(r.Order), r.ID, shape}}
}

// ttlOf rounds up, with a second for clocks that differ: readers are exact.
func ttlOf(expires, now time.Time) int {
	if expires.IsZero() {
		return 0
	}
	seconds := math.Ceil(expires.Sub(now).Seconds()) + 1
	switch {
	case seconds > maxTTL:
		return 0
	case seconds < 1:
		return 1
	}
	return int(seconds)
}

// bury is the pair of statements that kills the cells of a row up to a stamp.
func (t *table) bury(at place, stamp amorphous.Stamp, now time.Time) []Statement {
	out := []Statement{{t.put, []any{stamp.Version, markerValue(stamp, now), at.part, []byte(at.ord), at.id, int64(markerShape)}}}
	if stamp.Version > 1 {
		out = append(out, Statement{t.drop, []any{stamp.Version - 1, at.part, []byte(at.ord), at.id}})
	}
	return out
}

// markerValue is the value of a marker and of a listed place: the Tie, and the
// microsecond in which it was written, for Purge.
func markerValue(stamp amorphous.Stamp, now time.Time) []byte {
	value := binary.BigEndian.AppendUint64(make([]byte, 0, cellHead), stamp.Tie)
	return binary.BigEndian.AppendUint64(value, uint64(now.UnixMicro()))
}

// A cell's value: the Tie, the microsecond in which it expires (zero: never),
// and the body.
const cellHead = 16

func encodeCell(r *amorphous.Row) []byte {
	value := make([]byte, cellHead, cellHead+len(r.Body))
	binary.BigEndian.PutUint64(value, r.Stamp.Tie)
	if !r.Expires.IsZero() {
		binary.BigEndian.PutUint64(value[8:], uint64(r.Expires.UnixMicro()))
	}
	return append(value, r.Body...)
}

// decodeCell fills a row from a stored cell. A marker becomes a tombstone.
func decodeCell(r *amorphous.Row, shape int64, value []byte, version int64) error {
	if len(value) < cellHead {
		return errShortCell()
	}
	r.Stamp = amorphous.Stamp{Version: version, Tie: binary.BigEndian.Uint64(value)}
	if shape == markerShape {
		r.Deleted = true
		return nil
	}
	r.Shape = uint64(shape) ^ 1<<63
	r.Body = value[cellHead:]
	if micros := int64(binary.BigEndian.Uint64(value[8:])); micros != 0 {
		r.Expires = time.UnixMicro(micros).UTC()
	}
	return nil
}

func errShortCell() error {
	return fault.New(fault.ErrCorrupt, "", "", "a cell is shorter than its head: was it written by another program?")
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
