package embedded_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
)

// A lookingDriver counts how often held records are looked at, and how often a
// transaction is begun.
type lookingDriver struct {
	transactional.Driver
	looks, runs atomic.Int64
}

func (d *lookingDriver) Run(ctx context.Context, unit func(transactional.Conn) error) error {
	d.runs.Add(1)
	return d.Driver.Run(ctx, func(c transactional.Conn) error { return unit(lookingConn{c, d}) })
}

type lookingConn struct {
	transactional.Conn
	driver *lookingDriver
}

func (c lookingConn) Query(ctx context.Context, query string, args []any, row func(scan func(dest ...any) error) error) error {
	if strings.HasPrefix(query, "SELECT id, state, owner") {
		c.driver.looks.Add(1)
	}
	return c.Conn.Query(ctx, query, args, row)
}

// Records that are done are removed without a look at them. One that has orders
// costs two, and one whose claim is lost a transaction that is rolled back.
func TestWhatIsDoneIsNotLookedAt(t *testing.T) {
	inner, err := embedded.Dir(t.TempDir(), nil).OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	driver := &lookingDriver{Driver: inner}
	store, err := transactional.New(driver, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	settle := func(looks, runs int64, records ...transactional.Record) []error {
		t.Helper()
		if _, err := store.Apply(t.Context(), &transactional.Unit{Add: records}); err != nil {
			t.Fatal(err)
		}
		units := make([]*transactional.Unit, len(records))
		for i := range records {
			units[i] = &transactional.Unit{Settle: []transactional.Settlement{{ID: records[i].ID, Owner: 7, Done: true}}}
		}
		driver.looks.Store(0)
		driver.runs.Store(0)
		_, errs := store.ApplyAll(t.Context(), units)
		if l, r := driver.looks.Load(), driver.runs.Load(); l != looks || r != runs {
			t.Errorf("%d looks in %d transactions, want %d in %d", l, r, looks, runs)
		}
		for _, r := range records {
			if _, mark, err := store.Find(t.Context(), r.ID); r.Owner == 7 && (err != nil || mark == nil) {
				t.Errorf("record %s: mark %q, %v", r.ID, mark, err)
			}
		}
		return errs
	}
	id := byte(0)
	record := func(owner uint64, orders ...transactional.Order) transactional.Record {
		id++
		return transactional.Record{
			ID: transactional.RecordID{1, id}, Kind: "k", Key: "k", Lane: "l", Body: []byte{}, Progress: []byte{},
			Owner: owner, Lease: time.Minute, Orders: orders,
		}
	}
	order := transactional.Order{Task: "t", Key: "k"}
	for i, err := range settle(0, 1, record(7), record(7), record(7)) {
		if err != nil {
			t.Errorf("record %d: %v", i, err)
		}
	}
	for i, err := range settle(2, 1, record(7), record(7, order), record(7)) {
		if err != nil {
			t.Errorf("record %d, of which one has an order: %v", i, err)
		}
	}
	if blocked, err := store.Blocked(t.Context(), transactional.RecordID{2}, []transactional.Order{order}); err != nil || blocked[0] {
		t.Errorf("the order is still held: %v, %v", blocked, err)
	}
	for i, err := range settle(2, 2, record(7), record(8), record(7, order)) {
		if lost := i == 1; errors.Is(err, fault.ErrConflict) != lost || !lost && err != nil {
			t.Errorf("record %d, of which the second is another owner's: %v", i, err)
		}
	}
}
