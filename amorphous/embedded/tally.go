package embedded

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A tallied is the texts of a Tallied table: two SQLite tables, of which
// "amorphous$NAME$members" holds per object what its newest version counts as,
// and "amorphous$NAME$tallies" the sums. Both change in one unit, so a sum is
// always that of the members.
type tallied struct {
	members, tallies string

	fresh   texts // members that nobody wrote before
	known   texts // members by ID
	replace texts // members as they are now
	add     texts // what is added to sums
	read    string
}

func newTallied(name string) *tallied {
	t := &tallied{members: "amorphous$" + name + "$members", tallies: "amorphous$" + name + "$tallies"}
	const columns = "(id,version,tie,unit,at,counts) VALUES "
	t.fresh = forSizes("INSERT OR FAIL INTO "+t.members+columns, "(?,?,?,?,?,?)", " ON CONFLICT(id) DO NOTHING")
	t.known = forSizes("SELECT id,version,tie,unit,counts FROM "+t.members+" WHERE id IN (", "?", ")")
	t.replace = forSizes("INSERT OR REPLACE INTO "+t.members+columns, "(?,?,?,?,?,?)", "")
	t.add = forSizes("INSERT OR FAIL INTO "+t.tallies+"(part,ord,n) VALUES ", "(?,?,?)", " ON CONFLICT(part,ord) DO UPDATE SET n=n+excluded.n")
	t.read = "SELECT ord,n FROM " + t.tallies + " WHERE part=? AND ord>=? AND (? IS NULL OR ord<?) AND n<>0"
	return t
}

// schema returns the statements that create both tables. "unit" tells what the
// unit at hand inserted from what was there; "at" is when a member was last
// written, by the wall clock, for Purge. A sum that leaves 64 bits would become
// a floating-point number, which the CHECK refuses.
func (t *tallied) schema() []string {
	return []string{
		"CREATE TABLE IF NOT EXISTS " + t.members + " (id TEXT NOT NULL PRIMARY KEY, version INTEGER, tie INTEGER, unit INTEGER, at INTEGER, counts BLOB) WITHOUT ROWID",
		"CREATE TABLE IF NOT EXISTS " + t.tallies + " (part TEXT NOT NULL, ord BLOB NOT NULL, n INTEGER CHECK (typeof(n)='integer'), PRIMARY KEY (part, ord)) WITHOUT ROWID",
	}
}

// talliedTables are the Tallied tables that were created or found.
type talliedTables struct {
	mu    sync.RWMutex
	known map[string]*tallied
}

// tallied returns what is known of a Tallied table, created at its first use.
func (d *driver) tallied(ctx context.Context, table amorphous.Table) (*tallied, error) {
	d.mu.RLock()
	closed := d.closed
	d.mu.RUnlock()
	if closed {
		return nil, fault.New(fault.ErrClosed, "", "", "the store was closed")
	}
	d.tallies.mu.RLock()
	known := d.tallies.known[table.Name]
	d.tallies.mu.RUnlock()
	if known != nil {
		return known, nil
	}
	known = newTallied(table.Name)
	err := d.file.Write(ctx, func(conn sqlitefile.Conn) error {
		for _, statement := range known.schema() {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	d.tallies.mu.Lock()
	d.tallies.known[table.Name] = known
	d.tallies.mu.Unlock()
	return known, nil
}

// A tallyCall is the members of one Tally, or a part of them, on its way
// through a group. It owns them.
type tallyCall struct {
	table   *tallied
	members []amorphous.Member
	errs    []error
	bytes   int
}

func (c *tallyCall) cost() int { return c.bytes + rowCost*len(c.members) }

// Tally implements amorphous.Tallier.
func (d *driver) Tally(ctx context.Context, table amorphous.Table, members []amorphous.Member) []error {
	t, err := d.tallied(ctx, table)
	if err != nil {
		return repeat(err, len(members))
	}
	var calls []*tallyCall
	for some := range slices.Chunk(members, callRows) {
		c := &tallyCall{table: t, members: slices.Clone(some), errs: make([]error, len(some))}
		for i := range c.members {
			c.members[i].Counts = cloneTallies(some[i].Counts)
			c.bytes += 64 * len(some[i].Counts)
		}
		calls = append(calls, c)
	}
	groupErrs := d.counts.DoAll(ctx, calls)
	errs := make([]error, 0, len(members))
	for i, c := range calls {
		if groupErrs != nil && groupErrs[i] != nil {
			errs = append(errs, repeat(groupErrs[i], len(c.members))...)
			continue
		}
		errs = append(errs, c.errs...)
	}
	return errs
}

func cloneTallies(tallies []amorphous.Tally) []amorphous.Tally {
	out := slices.Clone(tallies)
	for i := range out {
		out[i].Order = slices.Clone(out[i].Order)
	}
	return out
}

// A counted is one member of a call.
type counted struct {
	table  *tallied
	member *amorphous.Member
	err    *error
}

// runTallies counts the calls of one group in one unit. As in runGroup, a
// member that the file refuses fails alone.
func (d *driver) runTallies(ctx context.Context, calls []*tallyCall) []error {
	ctx, cancel := context.WithTimeout(ctx, groupTimeout)
	defer cancel()
	var all []counted
	for _, c := range calls {
		for i := range c.members {
			all = append(all, counted{c.table, &c.members[i], &c.errs[i]})
		}
	}
	slices.SortFunc(all, func(a, b counted) int {
		return cmp.Or(strings.Compare(a.table.members, b.table.members), strings.Compare(a.member.ID, b.member.ID), b.member.Stamp.Compare(a.member.Stamp))
	})
	u := unit[counted]{
		file: d.file, halves: inHalves[counted],
		write: func(conn sqlitefile.Conn, all []counted) error {
			now := time.Now().UnixMicro()
			for some := range runsOf(all, func(a, b counted) bool { return a.table == b.table }) {
				unit := tallyUnit{ctx: ctx, conn: conn, table: some[0].table, now: now, unit: rand.Int64()}
				if err := unit.run(some); err != nil {
					return err
				}
			}
			return nil
		},
		failed: func(c counted, err error) { *c.err = err },
	}
	u.run(ctx, all)
	return nil
}

// A tallyUnit counts members of one table within one unit.
type tallyUnit struct {
	ctx   context.Context
	conn  sqlitefile.Conn
	table *tallied
	now   int64
	unit  int64
	args  []any
	sums  map[sumKey]int64
}

type sumKey struct{ part, ord string }

// run counts members, which are sorted by ID, newest first. Running it again
// after a rollback gives all answers anew.
func (u *tallyUnit) run(all []counted) error {
	u.sums = map[sumKey]int64{}
	newest := make([]counted, 0, len(all))
	for i, c := range all {
		*c.err = nil
		if i > 0 && all[i-1].member.ID == c.member.ID {
			if n := len(newest) - 1; newest[n].member.Stamp != c.member.Stamp {
				*c.err = amorphous.ErrSuperseded
			}
			continue
		}
		newest = append(newest, c)
	}
	known, err := u.introduce(newest)
	if err == nil {
		err = u.change(known)
	}
	if err == nil {
		err = u.write()
	}
	for i, c := range all {
		// A repeat within the unit has the answer of what it repeats.
		if i > 0 && all[i-1].member.ID == c.member.ID && all[i-1].member.Stamp == c.member.Stamp {
			*c.err = *all[i-1].err
		}
	}
	return err
}

// introduce inserts members and counts those of which it then knows that they
// are new; the others it returns.
func (u *tallyUnit) introduce(newest []counted) (known []counted, err error) {
	err = u.table.fresh.chunks(len(newest), func(from, to int, text string) error {
		changed, err := u.conn.Exec(u.ctx, text, u.rows(newest[from:to])...)
		switch {
		case err != nil:
			return err
		case changed == int64(to-from):
			for _, c := range newest[from:to] {
				if err := u.add(c.member.Counts, 1); err != nil {
					return err
				}
			}
		default:
			known = append(known, newest[from:to]...)
		}
		return nil
	})
	return known, err
}

// rows are the arguments of members.
func (u *tallyUnit) rows(some []counted) []any {
	u.args = u.args[:0]
	for _, c := range some {
		m := c.member
		u.args = append(u.args, m.ID, m.Stamp.Version, signed(m.Stamp.Tie), u.unit, u.now, amorphous.AppendTallies(make([]byte, 0, 64*len(m.Counts)), m.Counts))
	}
	return u.args
}

// change takes older versions of members out of the sums, and counts the newer
// ones. Some are new all the same: this unit inserted them.
func (u *tallyUnit) change(members []counted) error {
	byID := make(map[string]counted, len(members))
	for _, c := range members {
		byID[c.member.ID] = c
	}
	var newer []counted
	err := u.table.known.chunks(len(members), func(from, to int, text string) error {
		u.args = u.args[:0]
		for _, c := range members[from:to] {
			u.args = append(u.args, c.member.ID)
		}
		return u.conn.Query(u.ctx, text, u.args, func(scan func(dest ...any) error) error {
			var id string
			var stamp amorphous.Stamp
			var tie, unit int64
			var counts []byte
			if err := scan(&id, &stamp.Version, &tie, &unit, &counts); err != nil {
				return err
			}
			stamp.Tie = unsigned(tie)
			c := byID[id]
			switch order := c.member.Stamp.Compare(stamp); {
			case unit == u.unit:
				return u.add(c.member.Counts, 1)
			case order < 0:
				*c.err = amorphous.ErrSuperseded
			case order > 0:
				former, err := amorphous.ParseTallies(counts)
				if err != nil {
					return err
				}
				newer = append(newer, c)
				return errors.Join(u.add(former, -1), u.add(c.member.Counts, 1))
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	return u.table.replace.chunks(len(newer), func(from, to int, text string) error {
		_, err := u.conn.Exec(u.ctx, text, u.rows(newer[from:to])...)
		return err
	})
}

// add adds tallies to what the unit changes, or takes them away. What leaves 64
// bits is refused here or, once it is added to a sum, by the CHECK.
func (u *tallyUnit) add(tallies []amorphous.Tally, sign int64) error {
	for i := range tallies {
		key := sumKey{tallies[i].Partition, string(tallies[i].Order)}
		before, n := u.sums[key], sign*tallies[i].N
		if u.sums[key] = before + n; (before+n > before) != (n > 0) {
			return fault.New(fault.ErrInvalid, "", "", "the sum does not fit into 64 bits")
		}
	}
	return nil
}

// write adds what has come together to the sums, in the order of the table.
func (u *tallyUnit) write() error {
	keys := make([]sumKey, 0, len(u.sums))
	for key, n := range u.sums {
		if n != 0 {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b sumKey) int { return cmp.Or(strings.Compare(a.part, b.part), strings.Compare(a.ord, b.ord)) })
	return u.table.add.chunks(len(keys), func(from, to int, text string) error {
		u.args = u.args[:0]
		for _, key := range keys[from:to] {
			u.args = append(u.args, key.part, []byte(key.ord), u.sums[key])
		}
		_, err := u.conn.Exec(u.ctx, text, u.args...)
		return err
	})
}

// Tallies implements amorphous.Tallier.
func (d *driver) Tallies(ctx context.Context, table amorphous.Table, ranges []amorphous.Range) ([]amorphous.Tally, error) {
	t, err := d.tallied(ctx, table)
	if err != nil {
		return nil, err
	}
	var out []amorphous.Tally
	err = d.file.Read(ctx, func(conn sqlitefile.Conn) error {
		out = out[:0]
		for _, r := range ranges {
			err := conn.Query(ctx, t.read, []any{r.Partition, notNil(r.From), r.To, r.To}, func(scan func(dest ...any) error) error {
				tally := amorphous.Tally{Partition: r.Partition}
				err := scan(&tally.Order, &tally.N)
				out = append(out, tally)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}
