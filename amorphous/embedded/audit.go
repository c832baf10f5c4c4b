package embedded

import (
	"context"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/sqlitefile"
)

// auditSums is how many sums one audit compares. It goes over all members for
// them.
const auditSums = 20_000

// Members implements amorphous.Auditor.
func (d *driver) Members(ctx context.Context, table amorphous.Table, ids []string) (out []amorphous.Member, err error) {
	t, err := d.tallied(ctx, table)
	if err != nil {
		return nil, err
	}
	err = d.file.Read(ctx, func(conn sqlitefile.Conn) error {
		out = nil
		for _, id := range ids {
			if err := t.eachMember(ctx, conn, " WHERE id=?", []any{id}, &out); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// WalkMembers implements amorphous.Auditor.
func (d *driver) WalkMembers(ctx context.Context, table amorphous.Table, after string, limit int) (out []amorphous.Member, err error) {
	t, err := d.tallied(ctx, table)
	if err != nil {
		return nil, err
	}
	err = d.file.Read(ctx, func(conn sqlitefile.Conn) error {
		out = nil
		return t.eachMember(ctx, conn, " WHERE id>? ORDER BY id LIMIT ?", []any{after, limit}, &out)
	})
	return out, err
}

// eachMember appends members. What one counts as that cannot be read is
// nothing.
func (t *tallied) eachMember(ctx context.Context, conn sqlitefile.Conn, where string, args []any, out *[]amorphous.Member) error {
	return conn.Query(ctx, "SELECT id,version,tie,counts FROM "+t.members+where, args, func(scan func(dest ...any) error) error {
		var m amorphous.Member
		var tie int64
		var counts []byte
		if err := scan(&m.ID, &m.Stamp.Version, &tie, &counts); err != nil {
			return err
		}
		m.Stamp.Tie = unsigned(tie)
		m.Counts, _ = amorphous.ParseTallies(counts)
		*out = append(*out, m)
		return nil
	})
}

// Audit implements amorphous.Auditor. A sum that cannot be added up differs.
func (d *driver) Audit(ctx context.Context, table amorphous.Table, after []byte) (wrong []amorphous.Tally, next []byte, err error) {
	t, err := d.tallied(ctx, table)
	if err != nil {
		return nil, nil, err
	}
	var from sumKey // behind which
	if after != nil {
		at, err := amorphous.ParseCursor(after, "")
		if err != nil {
			return nil, nil, err
		}
		from = sumKey{at.Partition, string(at.Order)}
	}
	err = d.file.Read(ctx, func(conn sqlitefile.Conn) error {
		wrong, next = nil, nil
		kept := map[sumKey]int64{}
		var last sumKey
		err := conn.Query(ctx, "SELECT part,ord,n FROM "+t.tallies+" WHERE (part,ord)>(?,?) ORDER BY part,ord LIMIT ?",
			[]any{from.part, []byte(from.ord), auditSums}, func(scan func(dest ...any) error) error {
				var ord []byte
				var n int64
				err := scan(&last.part, &ord, &n)
				last.ord = string(ord)
				kept[last] = n
				return err
			})
		if err != nil {
			return err
		}
		full := len(kept) == auditSums
		held, err := t.held(ctx, conn, func(key sumKey) bool {
			return key.after(from) && (!full || !key.after(last))
		})
		if err != nil {
			return err
		}
		if full {
			next = amorphous.Address{Partition: last.part, Order: []byte(last.ord), ID: "sum"}.Cursor()
		}
		for key, n := range held {
			if kept[key] != n {
				wrong = append(wrong, amorphous.Tally{Partition: key.part, Order: []byte(key.ord), N: kept[key]})
			}
			delete(kept, key)
		}
		for key, n := range kept {
			if n != 0 {
				wrong = append(wrong, amorphous.Tally{Partition: key.part, Order: []byte(key.ord), N: n})
			}
		}
		return nil
	})
	return wrong, next, err
}

func (k sumKey) after(other sumKey) bool {
	return k.part > other.part || k.part == other.part && k.ord > other.ord
}

// held adds up what all members add at some places.
func (t *tallied) held(ctx context.Context, conn sqlitefile.Conn, at func(sumKey) bool) (map[sumKey]int64, error) {
	sums := map[sumKey]int64{}
	err := conn.Query(ctx, "SELECT counts FROM "+t.members, nil, func(scan func(dest ...any) error) error {
		var counts []byte
		if err := scan(&counts); err != nil {
			return err
		}
		tallies, _ := amorphous.ParseTallies(counts)
		for _, one := range tallies {
			if key := (sumKey{one.Partition, string(one.Order)}); at(key) {
				sums[key] += one.N
			}
		}
		return nil
	})
	return sums, err
}

// Recount implements amorphous.Auditor.
func (d *driver) Recount(ctx context.Context, table amorphous.Table, places []amorphous.Tally) error {
	if len(places) == 0 {
		return nil
	}
	t, err := d.tallied(ctx, table)
	if err != nil {
		return err
	}
	wanted := map[sumKey]bool{}
	for _, p := range places {
		wanted[sumKey{p.Partition, string(p.Order)}] = true
	}
	return d.file.Write(ctx, func(conn sqlitefile.Conn) error {
		sums, err := t.held(ctx, conn, func(key sumKey) bool { return wanted[key] })
		if err != nil {
			return err
		}
		for key := range wanted {
			_, err := conn.Exec(ctx, "INSERT INTO "+t.tallies+"(part,ord,n) VALUES (?,?,?) ON CONFLICT(part,ord) DO UPDATE SET n=excluded.n",
				key.part, []byte(key.ord), sums[key])
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Strike implements amorphous.Auditor.
func (d *driver) Strike(ctx context.Context, table amorphous.Table, id string) error {
	t, err := d.tallied(ctx, table)
	if err != nil {
		return err
	}
	return d.file.Write(ctx, func(conn sqlitefile.Conn) error {
		_, err := conn.Exec(ctx, "DELETE FROM "+t.members+" WHERE id=?", id)
		return err
	})
}
