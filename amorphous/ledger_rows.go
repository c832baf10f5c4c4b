package amorphous

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A rowLedger counts on a store that has neither transactions nor counters
// that can be repeated: what an object adds is a row at each place where it
// counts, and a sum is the sum of rows. Writing a row twice is writing it once,
// so what is counted cannot drift. It has three tables.
//
// The rows, or members, lie in the partitions of the counter.
//
// The register holds per object where each version of it said that it counts,
// one cell per different set of places. A version registers its places, writes
// its rows, and then reads all that is registered: whoever sees a newer version
// than another buries the rows of the older one, at the newest one's stamp, so
// that they are dead also when they arrive later. Of two versions at least one
// sees the other, since both register before they read. What was buried is
// struck off last, so that a writer that dies in between begins anew.
//
// The seals hold the sums of chunks of time that are over, so that a reader
// reads one row where there are thousands. See sealing in seal.go.
type rowLedger struct {
	store    *Store
	members  Table
	register Table
	seals    *seals
}

func newRowLedger(store *Store, name string, chunk func(at time.Time) (from, to time.Time)) *rowLedger {
	members := Table{Name: name}
	return &rowLedger{store: store, members: members, register: Table{Name: name + "__places"},
		seals: &seals{store: store, table: Table{Name: name + "__seals"}, members: members, chunk: chunk, worth: sealRows}}
}

func (l *rowLedger) tables() []Table { return []Table{l.members, l.register, l.seals.table} }

// record writes members: each step for all of them, as many rows as there are
// in one call of the store.
func (l *rowLedger) record(ctx context.Context, members []Member) []error {
	ctx = storesOwn(ctx)
	r := &recording{ledger: l, members: members, errs: make([]error, len(members)), touched: make([][]Tally, len(members))}
	crash.Point("count.enlist.before")
	r.enlist(ctx)
	crash.Point("count.write.before")
	r.write(ctx)
	crash.Point("count.settle.before")
	r.settle(ctx)
	crash.Point("count.void.before")
	r.void(ctx)
	crash.Point("count.strike.before")
	r.strike(ctx)
	return r.errs
}

// storesOwn is a context whose reads have the consistency of the store, at
// which they see what was written: the caller's own is for what it reads.
func storesOwn(ctx context.Context) context.Context {
	if ConsistencyOf(ctx) == 0 {
		return ctx
	}
	return WithConsistency(ctx, 0)
}

// A recording is members on their way. A member that fails takes no further
// step.
type recording struct {
	ledger  *rowLedger
	members []Member
	errs    []error
	touched [][]Tally // per member: places where its rows, or older ones, changed
	overs   []Row     // tombstones of the register
	owners  []int     // of overs: the member that asks for it
	late    []bool    // a newer version is registered
}

// An owned row belongs to the member with that number.
type owned struct {
	row   Row
	owner int
}

// send writes rows to a table and gives failures to their owners. What was
// registered and failed afterwards is in between, whatever the store says: its
// outcome is unknown until it is repeated.
func (r *recording) send(ctx context.Context, table Table, rows []owned, between bool) {
	if len(rows) == 0 {
		return
	}
	cells := make([]Row, len(rows))
	for i := range rows {
		cells[i] = rows[i].row
	}
	for i, err := range r.ledger.store.Write(ctx, table, cells...) {
		if err != nil && !errors.Is(err, ErrSuperseded) {
			r.fail(rows[i].owner, err, between)
		}
	}
}

func (r *recording) fail(i int, err error, between bool) {
	if between && !fault.Unknown(err) {
		err = &fault.Error{Class: fault.ErrUnknown, Err: err}
	}
	if r.errs[i] == nil {
		r.errs[i] = err
	}
}

// enlist registers the places of each version.
func (r *recording) enlist(ctx context.Context) {
	rows := make([]owned, len(r.members))
	for i := range r.members {
		m := &r.members[i]
		body := AppendTallies(nil, m.Counts)
		rows[i] = owned{Row{Partition: m.ID, ID: registered, Shape: shapeOfPlaces(body), Stamp: m.Stamp, Body: body}, i}
	}
	r.send(ctx, r.ledger.register, rows, false)
}

// registered is the ID of the row in the register.
const registered = "places"

// shapeOfPlaces tells sets of places apart. They come from users, so a digest
// that can be forged will not do.
func shapeOfPlaces(body []byte) uint64 {
	sum := sha256.Sum256(body)
	return binary.BigEndian.Uint64(sum[:]) | 1
}

// write writes the rows of each version.
func (r *recording) write(ctx context.Context) {
	var rows []owned
	for i := range r.members {
		if r.errs[i] != nil {
			continue
		}
		m := &r.members[i]
		for _, t := range m.Counts {
			rows = append(rows, owned{Row{Partition: t.Partition, Order: t.Order, ID: m.ID, Shape: 1, Stamp: m.Stamp, Body: memberBody(t.N)}, i})
		}
		r.touched[i] = slices.Clone(m.Counts)
	}
	r.send(ctx, r.ledger.members, rows, true)
}

// memberBody is what a member adds at a place; one is nothing.
func memberBody(n int64) []byte {
	if n == 1 {
		return nil
	}
	return binary.AppendVarint(nil, n)
}

func memberCount(body []byte) (int64, error) {
	if len(body) == 0 {
		return 1, nil
	}
	n, used := binary.Varint(body)
	if used != len(body) {
		return 0, errCounts()
	}
	return n, nil
}

// settle reads what is registered, and buries the rows that the newest version
// no longer has.
func (r *recording) settle(ctx context.Context) {
	var at []Address
	for i := range r.members {
		if r.errs[i] == nil {
			at = append(at, Address{Partition: r.members[i].ID, ID: registered})
		}
	}
	if len(at) == 0 {
		return
	}
	cells, err := r.ledger.store.Read(ctx, r.ledger.register, at...)
	byID := map[string][]Row{}
	for row := range Grouped(cells) {
		byID[row[0].Partition] = row
	}
	r.late = make([]bool, len(r.members))
	var graves []owned
	for i := range r.members {
		if r.errs[i] != nil {
			continue
		}
		if err != nil {
			r.fail(i, err, true)
			continue
		}
		found, err := r.bury(i, byID[r.members[i].ID])
		if err != nil {
			r.fail(i, err, true)
			continue
		}
		graves = append(graves, found...)
	}
	r.send(ctx, r.ledger.members, graves, true)
}

// bury returns the tombstones that a member asks for, given what is registered
// of its object.
func (r *recording) bury(i int, cells []Row) (graves []owned, err error) {
	m := &r.members[i]
	newest := Row{Stamp: m.Stamp, Body: AppendTallies(nil, m.Counts)}
	newest.Shape = shapeOfPlaces(newest.Body)
	older := false
	for _, cell := range cells {
		switch c := cell.Stamp.Compare(newest.Stamp); {
		case c > 0 || c == 0 && cell.Shape > newest.Shape:
			newest = cell
		}
	}
	keep, err := ParseTallies(newest.Body)
	if err != nil {
		return nil, err
	}
	stale := slices.Clone(m.Counts)
	for _, cell := range cells {
		if cell.Shape == newest.Shape {
			continue
		}
		places, err := ParseTallies(cell.Body)
		if err != nil {
			return nil, err
		}
		stale = append(stale, places...)
		older = older || cell.Stamp.Compare(newest.Stamp) < 0
	}
	for _, t := range stale {
		if slices.ContainsFunc(keep, func(k Tally) bool { return comparePlaces(k, t) == 0 }) {
			continue
		}
		graves = append(graves, owned{Row{Partition: t.Partition, Order: t.Order, ID: m.ID, Deleted: true, Stamp: newest.Stamp}, i})
		r.touched[i] = append(r.touched[i], t)
	}
	r.late[i] = newest.Stamp.Compare(m.Stamp) > 0
	if older {
		r.overs = append(r.overs, Row{Partition: m.ID, ID: registered, Deleted: true, Stamp: just(newest.Stamp)})
		r.owners = append(r.owners, i)
	}
	return graves, nil
}

// just is the stamp right below s.
func just(s Stamp) Stamp {
	if s.Tie > 0 {
		return Stamp{Version: s.Version, Tie: s.Tie - 1}
	}
	return Stamp{Version: s.Version - 1, Tie: ^uint64(0)}
}

// void makes void the seals of all chunks in which a row changed.
func (r *recording) void(ctx context.Context) {
	var changed []Tally
	for i := range r.members {
		if r.errs[i] == nil {
			changed = append(changed, r.touched[i]...)
		}
	}
	err := r.ledger.seals.void(ctx, changed)
	if err == nil {
		return
	}
	for i := range r.members {
		if len(r.touched[i]) > 0 {
			r.fail(i, err, true)
		}
	}
}

// strike takes older versions off the register, whose rows are buried and whose
// seals are void.
func (r *recording) strike(ctx context.Context) {
	var rows []owned
	for n, row := range r.overs {
		if i := r.owners[n]; r.errs[i] == nil && row.Stamp.Version > 0 {
			rows = append(rows, owned{row, i})
		}
	}
	r.send(ctx, r.ledger.register, rows, true)
	for i := range r.late {
		if r.errs[i] == nil && r.late[i] {
			r.errs[i] = ErrSuperseded
		}
	}
}
