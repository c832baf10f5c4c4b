package embedded

import (
	"math"
	"strconv"
	"strings"

	"github.com/fourfold-dev/fourfold/transactional"
)

// dialect is SQLite's.
//
// Names and texts are TEXT with its default collation, which compares bytes
// and pads nothing. A column of unsigned numbers has the affinity of BLOB, which
// stores what it is given: another affinity would make a REAL of a large number
// in digits.
var dialect = transactional.Dialect{
	Name: "sqlite",
	Types: map[transactional.Type]string{
		transactional.Int:   "INTEGER",
		transactional.Uint:  "BLOB",
		transactional.Float: "REAL",
		transactional.Bool:  "INTEGER",
		transactional.Text:  "TEXT",
		transactional.Bytes: "BLOB",
		transactional.Time:  "INTEGER",
		transactional.JSON:  "TEXT",
	},
	Key:             "TEXT",
	ID:              "BLOB",
	Quote:           quote,
	Uint:            unsigned,
	Upsert:          upsert,
	AllWon:          func(affected int64, rows int) bool { return affected == int64(rows) },
	Replace:         replace,
	Place:           place,
	AllNew:          func(int64, int) bool { return false },
	IgnoreDuplicate: func(key []string) string { return "ON CONFLICT (" + list(key) + ") DO NOTHING" },
	TableSuffix:     " WITHOUT ROWID",
	Columns:         "SELECT name FROM pragma_table_info(?)",
	Indexes:         "SELECT name FROM pragma_index_list(?)",
	Now:             "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
}

func quote(name string) string { return `"` + name + `"` }

func list(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(name)
	}
	return strings.Join(quoted, ", ")
}

// unsigned is an integer where SQLite has one, and 20 digits of text above:
// SQLite orders every text after every number.
func unsigned(n uint64) any {
	if n <= math.MaxInt64 {
		return int64(n)
	}
	digits := strconv.FormatUint(n, 10)
	return strings.Repeat("0", 20-len(digits)) + digits
}

// upsert names the key as the only conflict that it resolves, so a value that
// another row holds in a unique index is an error.
func upsert(key, set []string) string {
	return replace(key, set) +
		" WHERE excluded.version > version OR excluded.version = version AND excluded.tie > tie"
}

const (
	newer = "WHEN excluded.version > version OR excluded.version = version AND excluded.tie >= tie THEN "
	place = "ON CONFLICT (space, okey) DO UPDATE SET touched = touched + 1" +
		", former = CASE WHEN excluded.place = place THEN former " + newer + "CAST(former || place AS BLOB) ELSE former END" +
		", place = CASE " + newer + "excluded.place ELSE place END, until = CASE " + newer + "excluded.until ELSE until END" +
		", tie = CASE " + newer + "excluded.tie ELSE tie END, version = max(excluded.version, version)"
)

func replace(key, set []string) string {
	assign := make([]string, len(set))
	for i, name := range set {
		assign[i] = quote(name) + " = excluded." + quote(name)
	}
	return "ON CONFLICT (" + list(key) + ") DO UPDATE SET " + strings.Join(assign, ", ")
}
