package transactionaltest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A Harness tells the suite about the driver under test; zero values are the
// defaults.
type Harness struct {
	// Source returns the source of an empty database, for one test. A source
	// that is opened again opens the same database. Not nil.
	Source func(t *testing.T) transactional.Source
	// Restart returns the source of an empty database on a server that nothing
	// else uses meanwhile, and what kills that server without a warning and
	// brings it back. A store that is open goes on. Nil: there is no such server,
	// and stores are only closed and opened again.
	Restart func(t *testing.T) (source transactional.Source, restart func(ctx context.Context) error)
	// Ops is how many operations the long tests make. Default 2000, and a
	// tenth of it with -short.
	Ops int
	// Full makes the long tests as long as they get: 10,000 operations, whatever
	// Ops says, 64 goroutines of 1,000 each, and ten that open and close fifty times.
	Full bool
}

func (h Harness) withDefaults() Harness {
	if h.Ops == 0 {
		h.Ops = 2000
	}
	if h.Full {
		h.Ops = 10_000
	}
	if testing.Short() {
		h.Ops = max(100, h.Ops/10)
	}
	return h
}

// Run runs the whole suite.
func Run(t *testing.T, h Harness) {
	h = h.withDefaults()
	for _, part := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"Modes", testModes}, {"Tombstones", testTombstones}, {"Unique", testUnique}, {"Columns", testColumns},
		{"Values_D25", testValues}, {"Identity_D16", testIdentity}, {"Refusals", testRefusals}, {"Units", testUnits},
		{"Groups", testGroups}, {"Scan", testScan}, {"Claim", testClaim}, {"Due", testDue}, {"Settle", testSettle},
		{"Leases", testLeases}, {"Tokens", testTokens}, {"Orders", testOrders}, {"Slots", testSlots}, {"Places", testPlaces}, {"Walk", testWalk},
		{"Dead", testDead}, {"Meta", testMeta}, {"Tx", testTx}, {"TxFaults", testTxFaults}, {"Schema", testSchema},
		{"Life", testLife}, {"Faults", testFaults}, {"Restart", testRestart}, {"Load", testLoad}, {"Model", testModel},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, h) })
	}
}

// An env is one open store with its test.
type env struct {
	*testing.T
	h     Harness
	src   transactional.Source
	store *transactional.Store
	next  atomic.Uint64
}

// open opens a store on a fresh database with the tables in it.
func (h Harness) open(t *testing.T, tables ...*transactional.Table) *env {
	t.Helper()
	e := &env{T: t, h: h, src: h.Source(t)}
	e.store = e.again(nil)
	if err := e.store.CreateSchema(t.Context(), tables...); err != nil {
		t.Fatalf("create schema: %v", err)
	}
	if err := e.store.Prepare(t.Context(), tables...); err != nil {
		t.Fatalf("prepare: %v", err)
	}
	return e
}

// again opens one more store on the same database.
func (e *env) again(opts *transactional.Options) *transactional.Store {
	e.Helper()
	store, err := transactional.Open(e.Context(), e.src, opts)
	if err != nil {
		e.Fatalf("open: %v", err)
	}
	e.Cleanup(func() { store.Close() })
	return store
}

// on is the same env with another T.
func (e *env) on(t *testing.T) *env {
	return &env{T: t, h: e.h, src: e.src, store: e.store}
}

// run runs a subtest on its own fresh database.
func (h Harness) run(t *testing.T, name string, do func(*env)) {
	t.Run(name, func(t *testing.T) { do(h.open(t, tables...)) })
}

// The tables of the suite.
var (
	things = &transactional.Table{Name: "things", Columns: []transactional.Column{
		{Name: "n", Type: transactional.Int}, {Name: "s", Type: transactional.Text},
	}}
	people = &transactional.Table{
		Name: "people",
		Columns: []transactional.Column{
			{Name: "email", Type: transactional.Text}, {Name: "team", Type: transactional.Text}, {Name: "seat", Type: transactional.Int},
		},
		Unique: [][]string{{"email"}, {"team", "seat"}},
	}
	everything = &transactional.Table{
		Name: "everything",
		Columns: []transactional.Column{
			{Name: "i", Type: transactional.Int}, {Name: "u", Type: transactional.Uint}, {Name: "f", Type: transactional.Float},
			{Name: "b", Type: transactional.Bool}, {Name: "s", Type: transactional.Text}, {Name: "y", Type: transactional.Bytes},
			{Name: "t", Type: transactional.Time}, {Name: "j", Type: transactional.JSON},
		},
	}
	// ranked is everything that Scan orders by.
	ranked = &transactional.Table{
		Name: "ranked",
		Columns: []transactional.Column{
			{Name: "i", Type: transactional.Int}, {Name: "u", Type: transactional.Uint}, {Name: "s", Type: transactional.Text},
			{Name: "t", Type: transactional.Time}, {Name: "f", Type: transactional.Float},
		},
		Index: [][]string{{"i"}, {"s"}},
	}
	// wider and narrower are two programs' views of one table.
	wider = &transactional.Table{Name: "shared", Columns: []transactional.Column{
		{Name: "a", Type: transactional.Int}, {Name: "b", Type: transactional.Text},
	}}
	narrower = &transactional.Table{Name: "shared", Columns: []transactional.Column{{Name: "a", Type: transactional.Int}}}

	tables = []*transactional.Table{things, people, everything, ranked, wider}
)

// thing makes a write of a row of things.
func thing(id string, version int64, n int64, mode transactional.Mode) transactional.Write {
	return transactional.Write{Table: things, Mode: mode, Row: transactional.Row{
		ID: id, Stamp: transactional.Stamp{Version: version}, Values: []any{n, fmt.Sprint("s", n)},
	}}
}

// gone makes a tombstone of things.
func gone(id string, version int64, mode transactional.Mode) transactional.Write {
	return transactional.Write{Table: things, Mode: mode, Row: transactional.Row{
		ID: id, Stamp: transactional.Stamp{Version: version}, Deleted: true,
	}}
}

func expecting(w transactional.Write, version int64) transactional.Write {
	w.Mode, w.Expect = transactional.IfVersion, version
	return w
}

// id makes record ids that grow.
func (e *env) id() (id transactional.RecordID) {
	n := e.next.Add(1)
	binary.BigEndian.PutUint64(id[:8], n)
	binary.BigEndian.PutUint64(id[8:], n*0x9e3779b97f4a7c15)
	return id
}

// record makes a record of a lane.
func (e *env) record(lane string, priority uint32) transactional.Record {
	id := e.id()
	return transactional.Record{ID: id, Kind: "kind", Key: "key", Lane: lane, Priority: priority, Body: id[:]}
}

func writes(ws ...transactional.Write) *transactional.Unit { return &transactional.Unit{Writes: ws} }

func adds(rs ...transactional.Record) *transactional.Unit { return &transactional.Unit{Add: rs} }

func settles(ts ...transactional.Settlement) *transactional.Unit {
	return &transactional.Unit{Settle: ts}
}

// must applies a unit that has to succeed.
func (e *env) must(u *transactional.Unit) transactional.Result {
	e.Helper()
	res, err := e.store.Apply(e.Context(), u)
	if err != nil {
		e.Fatalf("apply: %v", err)
	}
	return res
}

// fails applies a unit that has to fail in a class.
func (e *env) fails(promise string, u *transactional.Unit, class error) {
	e.Helper()
	_, err := e.store.Apply(e.Context(), u)
	e.class(promise, err, class)
}

// class checks the class of an error.
func (e *env) class(promise string, err, class error) {
	e.Helper()
	if !errors.Is(err, class) || fault.ClassOf(err) != class {
		e.Errorf("%s: got %v, want class %v", promise, err, class)
	}
}

func (e *env) nil(promise string, err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("%s: %v", promise, err)
	}
}

// same checks a value.
func (e *env) same(promise string, got, want any) {
	e.Helper()
	if !reflect.DeepEqual(got, want) {
		e.Errorf("%s:\n got %+v\nwant %+v", promise, got, want)
	}
}

// row reads one row, or nil.
func (e *env) row(table *transactional.Table, id string) *transactional.Row {
	e.Helper()
	rows, err := e.store.Read(e.Context(), table, id)
	if err != nil {
		e.Fatalf("read %q: %v", id, err)
	}
	if len(rows) == 0 {
		return nil
	}
	return &rows[0]
}

// holds checks version and n of a row of things.
func (e *env) holds(promise, id string, version, n int64) {
	e.Helper()
	row := e.row(things, id)
	if row == nil || row.Deleted || row.Stamp.Version != version || row.Values[0] != n {
		e.Errorf("%s: %q is %+v, want version %d with n=%d", promise, id, row, version, n)
	}
}

// lacks checks that no row, not even a tombstone, is there.
func (e *env) lacks(promise, id string) {
	e.Helper()
	if row := e.row(things, id); row != nil {
		e.Errorf("%s: %q is %+v, want nothing", promise, id, row)
	}
}

const longLease = time.Hour

// claim claims what is due in lanes, for an owner.
func (e *env) claim(owner uint64, most int, lanes ...string) []transactional.Record {
	e.Helper()
	return e.claimFor(owner, longLease, most, lanes...)
}

func (e *env) claimFor(owner uint64, lease time.Duration, most int, lanes ...string) []transactional.Record {
	e.Helper()
	records, err := e.store.Claim(e.Context(), transactional.ClaimRequest{Lanes: lanes, Max: most, Owner: owner, Lease: lease})
	if err != nil {
		e.Fatalf("claim: %v", err)
	}
	return records
}

// sweepUntil sweeps until so many claims were freed.
func (e *env) sweepUntil(freed int) {
	e.Helper()
	for deadline := time.Now().Add(10 * time.Second); freed > 0; {
		n, err := e.store.Sweep(e.Context())
		e.nil("sweep", err)
		if freed -= n; time.Now().After(deadline) {
			e.Fatalf("%d claims are not freed 10 s after their leases ended", freed)
		}
	}
}

// until polls: nothing may depend on how fast a machine is.
func (e *env) until(promise string, ok func() bool) {
	e.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			e.Fatalf("%s: not within 10 s", promise)
		}
	}
}

func ids(records []transactional.Record) []transactional.RecordID {
	out := make([]transactional.RecordID, len(records))
	for i, r := range records {
		out[i] = r.ID
	}
	return out
}

// held makes the settlement that ends a record.
func held(r transactional.Record) transactional.Settlement {
	return transactional.Settlement{ID: r.ID, Owner: r.Owner, Seq: r.Seq, Done: true}
}

func background() context.Context { return context.Background() }
