package mysql

import (
	"fmt"
	"strings"

	"github.com/fourfold-dev/fourfold/transactional"
)

// The collation of texts: bytewise, and without ignoring trailing spaces, which
// utf8mb4_bin does. The two families of servers name it differently, and each
// ignores the comment that is meant for the other.
const collate = " CHARACTER SET utf8mb4 COLLATE /*M!100202 utf8mb4_nopad_bin */ /*!80017 utf8mb4_0900_bin */"

// dialect is what MySQL and MariaDB both take: VALUES(c) and no row alias, no
// RETURNING, no JSON type, which one of them normalises and the other lacks.
var dialect = transactional.Dialect{
	Name: "mysql",
	Types: map[transactional.Type]string{
		transactional.Int:   "BIGINT",
		transactional.Uint:  "BIGINT UNSIGNED",
		transactional.Float: "DOUBLE",
		transactional.Bool:  "TINYINT",
		transactional.Text:  "LONGTEXT" + collate,
		transactional.Bytes: "LONGBLOB",
		transactional.Time:  "BIGINT",
		transactional.JSON:  "LONGTEXT" + collate,
	},
	IndexedTypes: map[transactional.Type]string{
		transactional.Text:  "VARCHAR(255)" + collate,
		transactional.Bytes: "VARBINARY(255)",
		transactional.JSON:  "VARCHAR(255)" + collate,
	},
	Key:    "VARBINARY(255)",
	ID:     "BINARY(16)",
	Quote:  quote,
	Uint:   func(n uint64) any { return n },
	Upsert: upsert,
	AllWon: allWon,
	Replace: func(_, set []string) string {
		return duplicate(set, func(c string) string { return "VALUES(" + c + ")" })
	},
	Place:           place,
	AllNew:          func(affected int64, rows int) bool { return affected == int64(rows) }, // one that was there counts for two
	IgnoreDuplicate: func(key []string) string { return duplicate(key[:1], func(c string) string { return c }) },
	ByKey:           " FORCE INDEX (PRIMARY)",
	Lock:            " FOR UPDATE",
	LockSkip:        " FOR UPDATE SKIP LOCKED",
	LockShared:      " LOCK IN SHARE MODE", // MariaDB has no FOR SHARE
	TableSuffix:     " ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4",
	InlineIndex:     true,
	Columns: "SELECT column_name FROM information_schema.columns" +
		" WHERE table_schema = DATABASE() AND table_name = ?",
	Indexes: "SELECT DISTINCT index_name FROM information_schema.statistics" +
		" WHERE table_schema = DATABASE() AND table_name = ?",
	Now:      "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
	Database: "COALESCE(DATABASE(), '')",
}

// leftAlone is what an upsert answers, in place of a number of rows, of which a
// row was left alone. The number says little: a row that was inserted counts for
// one, one that was replaced for two, and one that was left alone for none, or
// for one where the caller's pool sets clientFoundRows.
const leftAlone = -1

// leftAloneID is how a statement tells: what LAST_INSERT_ID(expr) was given comes
// with the statement's answer ("Information Functions", MySQL 8.4 manual), and no
// column counts so far. A caller of Join who asks for LAST_INSERT_ID() later may
// see it.
const leftAloneID = 0x4f7572_526f77_0000

// allWon reports whether all rows of an upsert were inserted or replaced.
func allWon(affected int64, _ int) bool { return affected != leftAlone }

func quote(name string) string { return "`" + name + "`" }

func duplicate(set []string, value func(quoted string) string) string {
	assign := make([]string, len(set))
	for i, name := range set {
		assign[i] = quote(name) + " = " + value(quote(name))
	}
	return "ON DUPLICATE KEY UPDATE " + strings.Join(assign, ", ")
}

// place assigns from left to right, too: what reads a column comes before what
// replaces it.
const (
	newer = "(VALUES(version) > version OR VALUES(version) = version AND VALUES(tie) >= tie)"
	place = "ON DUPLICATE KEY UPDATE touched = touched + 1" +
		", former = IF(" + newer + " AND VALUES(place) <> place, CONCAT(former, place), former)" +
		", place = IF(" + newer + ", VALUES(place), place), until = IF(" + newer + ", VALUES(until), until)" +
		", tie = IF(" + newer + ", VALUES(tie), tie), version = GREATEST(VALUES(version), version)"
)

// upsert guards every assignment by the stamp, and by the key: the clause also
// meets a row that has another key and the same value in a unique index, which
// must be left alone. The server assigns from left to right and reads what it
// has assigned, so tie comes before version, and both after all else. The last
// tells of a row that is left alone.
func upsert(key, set []string) string {
	guard := "VALUES(version) > version OR VALUES(version) = version AND VALUES(tie) > tie"
	for _, name := range key {
		guard = quote(name) + " = VALUES(" + quote(name) + ") AND (" + guard + ")"
	}
	last := set[len(set)-1]
	return duplicate(set, func(c string) string {
		alone := c
		if c == quote(last) {
			alone = fmt.Sprintf("IF(LAST_INSERT_ID(%d), %s, %s)", leftAloneID, c, c)
		}
		return "IF(" + guard + ", VALUES(" + c + "), " + alone + ")"
	})
}
