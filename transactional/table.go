package transactional

import (
	"fmt"
	"hash/fnv"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// MaxName is the longest name of a table, a column or a namespace with its
// table, so that every server takes what we make of it.
const MaxName = 46

// ValidName reports whether name may name a table or a column: a letter or
// underscore, then letters, digits and underscores of ASCII, at most MaxName
// bytes.
func ValidName(name string) bool {
	if name == "" || len(name) > MaxName || name[0] >= '0' && name[0] <= '9' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if !(c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z') {
			return false
		}
	}
	return true
}

// The names of ours. A table or column of the user's that bears one gets an
// underscore behind it, see escape.
var (
	ourTables  = []string{"outbox", "marks", "tokens", "orders", "slots", "dead", "whereabouts", "meta"}
	ourColumns = []string{"id", "version", "tie", "deleted"}
)

// escape returns the physical name for a name of the user's: the name itself,
// unless it is one of ours with any number of underscores behind it, which
// gets one more. So no two names meet.
func escape(name string, ours []string) string {
	if slices.Contains(ours, strings.ToLower(strings.TrimRight(name, "_"))) {
		return name + "_"
	}
	return name
}

// A plan is a Table as this Store's SQL sees it, with its statements.
type plan struct {
	table    *Table
	physical string   // with namespace, unquoted
	columns  []string // physical, unquoted, aligned with table.Columns
	byName   map[string]int
	indexed  []bool

	prepared atomic.Bool  // the driver owns its schema and has the table
	again    atomic.Int32 // units to come that most likely write a row which is there: see together

	insert     sized // all columns; a row that is there is an error
	upsert     sized // all columns; newest wins
	tombstones sized // id, version, tie, deleted
	read       sized // by id
	lock       sized // by id, stamps only, locking
	lockRead   sized // by id, locking
	lockSkip   sized // by id, stamps only, locking what nobody else has locked
	stamps     sized // by id, stamps only
	remove     sized // by id
	purge      sized // by id, old tombstones only
}

// newPlan checks a table and compiles it.
func newPlan(s *Store, t *Table) (*plan, error) {
	if err := validTable(t); err != nil {
		return nil, err
	}
	p := &plan{table: t, physical: s.prefix + escape(t.Name, ourTables), byName: map[string]int{}}
	for i, c := range t.Columns {
		p.columns = append(p.columns, escape(c.Name, ourColumns))
		p.byName[c.Name] = i
	}
	p.indexed = make([]bool, len(t.Columns))
	for _, names := range slices.Concat(t.Unique, t.Index) {
		for _, name := range names {
			p.indexed[p.byName[name]] = true
		}
	}
	p.compile(&s.dialect)
	return p, nil
}

func (p *plan) compile(d *Dialect) {
	q := d.Quote
	all := slices.Concat(ourColumns, p.columns)
	into := "INSERT INTO " + q(p.physical) + " (" + list(q, all) + ") VALUES "
	set := slices.Concat(p.columns, []string{"deleted", "tie", "version"})
	clause := d.Upsert([]string{"id"}, set)
	tuple := "(" + marks(len(all)) + ")"
	p.insert.build = func(n int) string { return into + repeat(tuple, n) }
	p.upsert.build = func(n int) string { return into + repeat(tuple, n) + " " + clause }
	stones := "INSERT INTO " + q(p.physical) + " (" + list(q, ourColumns) + ") VALUES "
	p.tombstones.build = func(n int) string { return stones + repeat("(?, ?, ?, ?)", n) }
	from := " FROM " + q(p.physical) + d.ByKey + " WHERE " + q("id") + " IN "
	in := func(n int) string { return "(" + marks(n) + ")" }
	p.read.build = func(n int) string { return "SELECT " + list(q, all) + from + in(n) }
	p.lockRead.build = func(n int) string { return p.read.build(n) + d.Lock }
	p.stamps.build = func(n int) string { return "SELECT " + list(q, ourColumns) + from + in(n) }
	p.lock.build = func(n int) string { return p.stamps.build(n) + d.Lock }
	p.lockSkip.build = func(n int) string { return p.stamps.build(n) + d.LockSkip }
	p.remove.build = func(n int) string { return d.deleteByKey(q(p.physical)) + " WHERE " + q("id") + " IN " + in(n) }
	old := d.deleteByKey(q(p.physical)) + " WHERE deleted = 1 AND version < ? AND id IN "
	p.purge.build = func(n int) string { return old + in(n) }
}

// validTable lists everything that is wrong with a declaration.
func validTable(t *Table) error {
	if t == nil {
		return fault.New(fault.ErrInvalid, purpose, "prepare", "there is no table")
	}
	var faults []string
	say := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if !ValidName(t.Name) {
		say("table %q is not a name of letters, digits and underscores, %d bytes at most", t.Name, MaxName)
	}
	seen := map[string]bool{}
	for _, c := range t.Columns {
		lower := strings.ToLower(c.Name)
		switch {
		case !ValidName(c.Name):
			say("column %q is not a name of letters, digits and underscores, %d bytes at most", c.Name, MaxName)
		case seen[lower]:
			say("column %q stands twice; SQL does not tell upper case from lower", c.Name)
		case !slices.Contains([]Type{Int, Uint, Float, Bool, Text, Bytes, Time, JSON}, c.Type):
			say("column %q has no known type: %q", c.Name, c.Type)
		}
		seen[lower] = true
	}
	for _, names := range slices.Concat(t.Unique, t.Index) {
		if len(names) == 0 {
			say("an index has no column")
		}
		for _, name := range names {
			if !slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Name == name }) {
				say("an index names %q, which is no column", name)
			}
		}
	}
	if faults == nil {
		return nil
	}
	e := fault.New(fault.ErrInvalid, purpose, "prepare", strings.Join(faults, "; "))
	e.Kind = t.Name
	return e
}

// sized is a statement whose text depends on how many rows it is for. Texts
// are built once and kept, and there are few sizes, since a connection keeps a
// prepared statement for each.
type sized struct {
	build func(n int) string
	// fine is for a statement of every commit: any number of rows up to exactFine
	// is one statement, and one round trip.
	fine  bool
	mu    sync.Mutex
	texts map[int]string
}

const (
	maxChunk  = 128 // rows of one statement
	exactMost = 8   // rows, up to which there is a size for each number
	exactFine = 32
	// fineTables is how many of the user's tables have fine statements, the first
	// that are used: more would not fit into what a connection keeps prepared.
	fineTables = 4
)

// text returns the statement for n rows, a size of chunk or of padded.
func (z *sized) text(n int) string {
	z.mu.Lock()
	defer z.mu.Unlock()
	text, ok := z.texts[n]
	if !ok {
		if z.texts == nil {
			z.texts = map[int]string{}
		}
		text = z.build(n)
		z.texts[n] = text
	}
	return text
}

// chunk returns how many of n rows go into the next statement, as many as fit
// into it with width arguments each. Beyond the exact sizes these are the powers
// of two and, between two of them, half as much again as the lower: 12, 16, 24,
// 32 and so on.
func (s *Store) chunk(z *sized, n, width int) int {
	n = min(n, maxChunk, max(1, s.maxArgs/max(1, width)))
	if n <= exactMost || z.fine && n <= exactFine {
		return n
	}
	lower := 1 << (bits.Len(uint(n)) - 1)
	if between := lower + lower/2; between <= n {
		return between
	}
	return lower
}

// padded returns the smallest power of two that holds n, up to maxChunk.
func padded(n int) int {
	if n >= maxChunk {
		return maxChunk
	}
	return 1 << bits.Len(uint(n-1))
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

func repeat(tuple string, n int) string {
	return strings.TrimSuffix(strings.Repeat(tuple+", ", n), ", ")
}

func list(quote func(string) string, names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(name)
	}
	return strings.Join(quoted, ", ")
}

// indexName names an index by its table and columns, so that the same index
// has the same name in every program and every version. The hash carries the
// table's name, because SQLite has one name space for the indexes of all
// tables.
func (p *plan) indexName(unique bool, columns []string) string {
	prefix := "i_"
	if unique {
		prefix = "u_"
	}
	h := fnv.New32a()
	h.Write([]byte(prefix + p.physical + " " + strings.Join(columns, " ")))
	return fmt.Sprintf("%s%s_%08x", prefix, columns[0], h.Sum32())
}
