package amorphous

import (
	"context"
	"errors"
	"slices"

	"github.com/fourfold-dev/fourfold/internal/crash"
)

// DerivedRows is a table of rows that are derived from objects, their origins,
// and a register of which origin has rows where. Most programs use Derived,
// which is made of it.
//
// Each version of an origin registers the places that it is about to write
// before it writes there, and then reads the register. Of two versions at
// least one sees the other, since both register before they read. Whoever sees
// an older one removes the rows that the newest does not imply, with
// tombstones right below the newest's stamp, which also forbid what is still
// on its way there; whoever sees a newer one writes nothing, and removes what
// it may have written before. So when the last write of an origin has come to
// its end, exactly the rows of its newest version are left, however the writes
// were interleaved, repeated or cut off in between. A write that was cut off
// is finished by its repeat. A driver that is a Registrar does the first three
// of these steps in one.
//
// An origin's key belongs to one object. Two origins that imply a row of one
// place write two versions of one row.
type DerivedRows struct {
	store    *Store
	table    Table
	register register
	spread   *buckets // splits hot buckets; nil: partitions are as they are given
	most     int      // rows of an origin
}

// NewDerivedRows returns the derived rows of a name, valid by ValidName with
// "__places" behind it.
func NewDerivedRows(store *Store, name string, opts *RegisterOptions) (*DerivedRows, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &DerivedRows{store: store, table: Table{Name: name}, most: MaxDerived}
	d.register = register{store: store, table: Table{Name: name + "__places"}, horizon: o.Horizon}
	for _, table := range d.Tables() {
		if _, err := store.qualify(table); err != nil {
			return nil, locate(err, "declare", name, "")
		}
	}
	return d, nil
}

// Tables are the tables of the rows and of their register, for
// Store.CreateSchema, Store.Prepare and Store.Purge.
func (d *DerivedRows) Tables() []Table {
	tables := []Table{d.table, d.register.table}
	if d.spread != nil {
		tables = append(tables, d.spread.table)
	}
	return tables
}

// Bounds of what is in memory, registered and written at a time.
const (
	deriveRows  = 512
	deriveBytes = 1 << 20
)

// Put makes the rows of each origin those that its implication says, grouped
// into as few writes as its size allows; rows of large implications are
// streamed. The result is aligned with all: nil when the rows are written, or
// ErrSuperseded when a newer version of the origin was there and none of this
// one is left. Every other error means that a repeat is needed, which is
// harmless; fault.ErrInvalid and fault.ErrTooLarge mean that it would end
// alike, and that nothing was written of this version. It is not atomic: readers
// may see some of the rows before the others.
func (d *DerivedRows) Put(ctx context.Context, all ...Implication) []error {
	w := deriving{rows: d, ctx: ctx}
	origins := make([]implied, len(all))
	for i := range all {
		origins[i] = implied{Implication: &all[i]}
		w.add(&origins[i])
	}
	w.flush()
	errs := make([]error, len(all))
	for i := range origins {
		o := &origins[i]
		if errs[i] = locate(o.err, "derive", d.table.Name, o.Key); o.err == nil && o.overruled {
			errs[i] = ErrSuperseded
		}
	}
	return errs
}

// An implied is an implication on its way.
type implied struct {
	*Implication
	chunks    int // that were registered
	rows      int
	own       []Address // of the last chunk
	overruled bool
	err       error
}

func (o *implied) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

// A share is the rows of one origin in a batch.
type share struct {
	of       *implied
	from, to int
	more     bool // rows of this origin follow in another batch
}

// A deriving gathers the rows of origins and writes them a batch at a time.
type deriving struct {
	rows   *DerivedRows
	ctx    context.Context
	batch  []Row
	bytes  int
	shares []share
}

func (d *DerivedRows) validate(o *Implication) error {
	if err := validateKey("Origin's Key", o.Key); err != nil {
		return err
	}
	if o.Stamp.Version <= 0 {
		return invalid("the origin's version is %d; versions are greater than zero", o.Stamp.Version)
	}
	return nil
}

// flush registers the batch, reads what else is registered of the origins that
// end with it, writes the rows, and removes what the newest versions do not
// imply.
func (w *deriving) flush() {
	d, ctx, shares := w.rows, w.ctx, w.shares
	if len(shares) == 0 {
		return
	}
	crash.Point("derive.register.before")
	var known map[string][]entry
	if registrar, ok := d.store.driver.(Registrar); ok && entire(shares) {
		known = w.introduce(registrar, shares)
	} else {
		d.register.enter(ctx, shares, w.batch)
		crash.Point("derive.register.after")
		shares = slices.DeleteFunc(shares, func(s share) bool { return s.of.err != nil })
		known = d.register.readEnded(ctx, shares)
		w.write(shares, known)
	}
	crash.Point("derive.rows.after")
	for _, s := range shares {
		if s.more || s.of.err != nil {
			continue
		}
		s.of.own = addresses(w.batch[s.from:s.to])
		s.of.fail(d.settle(ctx, s.of, known[s.of.Key]))
	}
	w.batch, w.shares, w.bytes = w.batch[:0], w.shares[:0], 0
}

// write writes the rows of a batch, less those of which a newer version is
// known already.
func (w *deriving) write(shares []share, known map[string][]entry) {
	d := w.rows
	rows := make([]Row, 0, len(w.batch))
	owners := make([]*implied, 0, len(w.batch))
	for _, s := range shares {
		if s.of.err != nil || newestOf(known[s.of.Key]).Compare(s.of.Stamp) > 0 {
			continue
		}
		rows = append(rows, w.batch[s.from:s.to]...)
		for range s.to - s.from {
			owners = append(owners, s.of)
		}
	}
	if len(rows) == 0 {
		return
	}
	if d.spread != nil {
		if err := d.spread.place(w.ctx, rows); err != nil {
			for _, o := range owners {
				o.fail(err)
			}
			return
		}
	}
	for i, err := range d.store.Write(w.ctx, d.table, rows...) {
		if err != nil && !errors.Is(err, ErrSuperseded) {
			owners[i].fail(err)
		}
	}
}

func addresses(rows []Row) []Address {
	out := make([]Address, len(rows))
	for i := range rows {
		out[i] = rows[i].Address()
	}
	return out
}

// settle is the step at the heart of derived rows: what a writer that has
// registered has to do about what else is registered. It buries, right below
// the newest stamp, whatever older versions registered and the newest does
// not imply. What it saw of them is then struck off. An overruled writer
// buries its own places too, whether its registration was struck off by
// somebody who did not see all of it or not.
func (d *DerivedRows) settle(ctx context.Context, o *implied, known []entry) error {
	top := o.Stamp
	if newest := newestOf(known); newest.Compare(top) > 0 {
		top, o.overruled = newest, true
	}
	older := slices.DeleteFunc(slices.Clone(known), func(e entry) bool { return e.stamp.Compare(top) >= 0 })
	if len(older) == 0 && !o.overruled {
		return nil
	}
	b := burial{rows: d, ctx: ctx, stamp: below(top), done: map[string]bool{}}
	for _, e := range known {
		if e.stamp == top {
			for _, at := range e.places {
				b.done[placeKey(at)] = true
			}
		}
	}
	crash.Point("derive.bury.before")
	for _, e := range older {
		b.add(e.places...)
	}
	if o.overruled {
		b.addOwn(o)
	}
	if err := b.flush(); err != nil {
		return err
	}
	crash.Point("derive.strike.before")
	return d.register.strike(ctx, o.Key, older)
}

// below is the stamp right below s.
func below(s Stamp) Stamp {
	if s.Tie > 0 {
		return Stamp{s.Version, s.Tie - 1}
	}
	return Stamp{s.Version - 1, ^uint64(0)}
}

func placeKey(at Address) string { return at.Partition + "\x00" + at.ID + "\x00" + string(at.Order) }

// Registered returns what is registered of an origin, newest first: one
// version, but for what others are about to remove. It costs the memory of all
// places.
func (d *DerivedRows) Registered(ctx context.Context, key string) ([]Registration, error) {
	if err := validateKey("Origin's Key", key); err != nil {
		return nil, locate(err, "read", d.table.Name, key)
	}
	entries, err := d.register.scan(ctx, key)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return b.stamp.Compare(a.stamp) })
	var out []Registration
	for _, e := range entries {
		if n := len(out); n == 0 || out[n-1].Stamp != e.stamp {
			out = append(out, Registration{Stamp: e.stamp})
		}
		last := &out[len(out)-1]
		last.Places = append(last.Places, e.places...)
	}
	return out, nil
}

// Read returns the rows at places, as Registered and Implication name them; of
// each the newest cell. What is not there is left out.
func (d *DerivedRows) Read(ctx context.Context, at ...Address) ([]Row, error) {
	if d.spread != nil {
		var err error
		if at, err = d.spread.addresses(ctx, at); err != nil {
			return nil, err
		}
	}
	cells, err := d.store.Read(ctx, d.table, at...)
	if err != nil {
		return nil, err
	}
	if d.spread != nil {
		unsplit(cells)
	}
	var out []Row
	for row := range Grouped(cells) {
		out = append(out, newestCell(row))
	}
	return out, nil
}

// newestCell is the row as its newest version has it. A derived row is wholly
// of one version, so nothing of another is mixed in.
func newestCell(cells []Row) Row {
	return slices.MaxFunc(cells, func(a, b Row) int { return a.Stamp.Compare(b.Stamp) })
}
