package transactional

// Dialect is how one server writes what standard SQL leaves open. It is data:
// two dialects differ by their values.
type Dialect struct {
	Name string // "sqlite" or "mysql"
	// Types maps a column type to the server's own.
	Types map[Type]string
	// IndexedTypes is Types for columns that stand in Unique or Index, where a
	// server must know how long a value may be. A type that is missing here is
	// taken from Types.
	IndexedTypes map[Type]string
	// Key is the column type of identity columns and of every other name of
	// ours: at most MaxKey bytes, any byte, compared bytewise.
	Key string
	// ID is the column type of a RecordID: 16 bytes.
	ID string
	// Quote quotes an identifier that is valid by ValidName.
	Quote func(name string) string
	// Uint is the value that stands for an unsigned number in a column of type
	// Uint, such that the server orders these values as unsigned.
	Uint func(uint64) any
	// Upsert renders the clause that follows VALUES (...) and replaces each of
	// the set columns by the new row's value where the row of that key is there
	// and its (version, tie) is older than the new row's. A row that collides
	// with another key's row in a unique index must be left alone, or be an
	// error, never be replaced. The last two of the set columns are tie and
	// version.
	Upsert func(key []string, set []string) string
	// AllWon reports whether what Exec returned of an Upsert, the number of rows
	// that it affected or what the driver has in its place, proves that every one
	// of its rows was inserted or replaced. Where it does not, the rows are looked
	// at.
	AllWon func(affected int64, rows int) bool
	// Replace renders the clause that follows VALUES (...) and replaces each of
	// the set columns whatever the old row holds.
	Replace func(key []string, set []string) string
	// Place is the clause that follows VALUES (...) in the register of places.
	// Where the row is there it raises touched by one, and where its (version,
	// tie) is not newer also replaces version, tie, until and place, after it
	// has appended the old place to former, if the two places differ.
	Place string
	// AllNew reports whether the number of rows affected by Place proves that
	// every one of its rows was inserted.
	AllNew func(affected int64, rows int) bool
	// IgnoreDuplicate renders the clause that follows VALUES (...) and leaves
	// a row that is there unchanged.
	IgnoreDuplicate func(key []string) string
	// ByKey follows the name of a table whose rows are found by the primary keys
	// that the condition names, however small the table is: a statement that read
	// all of it would wait for every row that somebody else is about to insert.
	// Empty: the server has no choice, or nobody else inserts.
	ByKey string
	// Lock is appended to a SELECT to lock its rows: " FOR UPDATE", or "".
	Lock string
	// LockSkip is Lock for rows that nobody else has locked: " FOR UPDATE SKIP
	// LOCKED", or "".
	LockSkip string
	// LockShared is appended to a SELECT to lock its rows together with others
	// who read them so: " LOCK IN SHARE MODE". Only a Joiner needs it.
	LockShared string
	// TableSuffix follows CREATE TABLE (...): engine, character set.
	TableSuffix string
	// InlineIndex says that CREATE TABLE (...) also creates the indexes that
	// are not unique; else CREATE INDEX IF NOT EXISTS follows it.
	InlineIndex bool
	// Columns and Indexes are queries with the table's name as their one
	// argument that return the names of its columns and of its indexes.
	Columns string
	Indexes string
	// Now is an expression for the server's UTC clock in microseconds since
	// 1970.
	Now string
	// Database is an expression for the name of the database that a statement
	// works in. Only a Joiner needs it.
	Database string
}

// deleteByKey is the beginning of a DELETE, up to its WHERE, that finds rows so.
func (d *Dialect) deleteByKey(table string) string {
	if d.ByKey == "" {
		return "DELETE FROM " + table
	}
	return "DELETE " + table + " FROM " + table + d.ByKey
}

// A Type is the type of a column.
type Type string

// The column types. Every type may be NULL.
const (
	Int   Type = "int"   // int64
	Uint  Type = "uint"  // uint64, all 64 bits
	Float Type = "float" // float64, no NaN and no infinity; a negative zero comes back as zero
	Bool  Type = "bool"
	Text  Type = "text"  // valid UTF-8, compared bytewise
	Bytes Type = "bytes" // []byte
	Time  Type = "time"  // UTC, microseconds, stored as int64 microseconds since 1970
	JSON  Type = "json"  // JSON text, kept byte for byte: []byte or string when written, []byte when read
)
