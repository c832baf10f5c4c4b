package mysql_test

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

// outboxRecords is how many records TestOutboxStaysSmall drains; a million in the
// long tier:
//
//	go test ./transactional/mysql -run TestOutboxStaysSmall -v -args -records 1000000
var outboxRecords = flag.Int("records", 4000, "how many records TestOutboxStaysSmall drains")

func recordID(n int) (id transactional.RecordID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// TestOutboxStaysSmall: after a drain the outbox is empty, however much went
// through it; marks without a caller's token are gone when their fifteen minutes
// are over; and claiming reads as many rows as it did on the empty table, and is as
// quick.
func TestOutboxStaysSmall(t *testing.T) {
	s, name, store := fresh(t, nil)
	rows := func(table string) (n int) {
		t.Helper()
		if err := s.root.QueryRow("SELECT COUNT(*) FROM " + name + ".ff_" + table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := *outboxRecords
	empty, readEmpty := claimCost(t, s, store, n)
	began := time.Now()
	drain(t, store, n)
	t.Logf("%d records put and drained in %.1f s", n, time.Since(began).Seconds())
	if left := rows("outbox"); left >= 1000 {
		t.Errorf("%d rows are left in the outbox after a drain of %d, want fewer than 1,000", left, n)
	}
	if marks := rows("marks"); marks < n {
		t.Errorf("%d marks of %d are there before their time is over", marks, n)
	}
	full, readFull := claimCost(t, s, store, n+1000)
	t.Logf("a claim and its end read %.1f rows and took %v on the empty table, and %.1f and %v after the drain", readEmpty, empty, readFull, full)
	if readEmpty < 1 || readFull > 2*readEmpty {
		t.Errorf("a claim read %.1f rows on the empty table, and %.1f after a drain of %d", readEmpty, readFull, n)
	}
	// How long it takes depends on what else this machine does at the moment.
	for again := 1; full > 2*empty+time.Millisecond && again < 6; again++ {
		full, _ = claimCost(t, s, store, n+1000*(again+1))
	}
	if full > 2*empty+time.Millisecond {
		t.Errorf("a claim took %v on the empty table, and %v after a drain of %d", empty, full, n)
	}
	var soonest, latest int64
	const left = "SELECT MIN(until) - %[1]s, MAX(until) - %[1]s FROM %[2]s.ff_marks"
	now := "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
	if err := s.root.QueryRow(fmt.Sprintf(left, now, name)).Scan(&soonest, &latest); err != nil {
		t.Fatal(err)
	}
	if most := transactional.DefaultKeep.Microseconds(); latest > most || latest < most-time.Since(began).Microseconds() {
		t.Errorf("the newest mark is kept for %v from now, want fifteen minutes at most", time.Duration(latest)*time.Microsecond)
	}
	// A quarter of an hour passes.
	s.exec(t, "UPDATE "+name+".ff_marks SET until = until - ?", transactional.DefaultKeep.Microseconds())
	for sweeps := 0; rows("marks") > 0; sweeps++ {
		if sweeps > 2*n/(256*64)+10 {
			t.Fatalf("%d marks are left after %d sweeps", rows("marks"), sweeps)
		}
		if _, err := store.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// claimCost is how long it takes to claim and end one record, by the quickest
// quarter, and how many rows the server reads for that and for adding it. The lane
// is the one that is drained.
func claimCost(t *testing.T, s *server, store *transactional.Store, first int) (time.Duration, float64) {
	t.Helper()
	times := make([]time.Duration, 41)
	asked := rowsRead(t, s)
	before := rowsRead(t, s)
	asked -= before // what it takes to ask
	for i := range times {
		r := transactional.Record{ID: recordID(1<<40 + first + i), Kind: "k", Lane: "lane"}
		if _, err := store.Apply(t.Context(), &transactional.Unit{Add: []transactional.Record{r}}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		endAll(t, store, "lane", 1)
		times[i] = time.Since(began)
	}
	read := rowsRead(t, s) - before + asked
	slices.Sort(times)
	return times[len(times)/4], float64(read) / float64(len(times))
}

// rowsRead is how many rows the server has read, by key, along an index or along a
// table, for everybody.
func rowsRead(t *testing.T, s *server) (read int) {
	t.Helper()
	rows, err := s.root.Query("SHOW GLOBAL STATUS LIKE 'Handler_read%'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name, &n); err != nil {
			t.Fatal(err)
		}
		read += n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return read
}

// drain puts records and ends them, with eight at each side.
func drain(t *testing.T, store *transactional.Store, n int) {
	t.Helper()
	const some = 200
	var next, ended atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for from := int(next.Add(some)) - some; from < n; from = int(next.Add(some)) - some {
				u := &transactional.Unit{}
				for i := from; i < min(from+some, n); i++ {
					u.Add = append(u.Add, transactional.Record{ID: recordID(i + 1), Kind: "k", Lane: "lane", Body: make([]byte, 200)})
				}
				if _, err := store.Apply(context.Background(), u); err != nil {
					t.Error(err)
					return
				}
			}
		})
		all.Go(func() {
			for int(ended.Load()) < n && !t.Failed() {
				ended.Add(int64(endAll(t, store, "lane", some)))
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

var owners atomic.Uint64

// endAll claims records and ends them, as the layer does with envelopes that
// have no token of their caller's.
func endAll(t *testing.T, store *transactional.Store, lane string, most int) int {
	owner := owners.Add(1)
	records, err := store.Claim(context.Background(), transactional.ClaimRequest{Lanes: []string{lane}, Max: most, Owner: owner, Lease: time.Minute})
	if err != nil {
		t.Error(err)
		return 0
	}
	u := &transactional.Unit{}
	for _, r := range records {
		u.Settle = append(u.Settle, transactional.Settlement{ID: r.ID, Owner: owner, Seq: r.Seq, Done: true})
	}
	if len(records) > 0 {
		if _, err := store.Apply(context.Background(), u); err != nil {
			t.Error(err)
			return 0
		}
	}
	return len(records)
}

// TestPlans: the statements that look for work read a few rows along an index,
// however many there are. MariaDB chooses a plan by what it knows of the rows,
// so there have to be some.
func TestPlans(t *testing.T) {
	s, name, _ := fresh(t, nil)
	driver, err := mysql.Open(s.url(name), nil).OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	spy := &spyDriver{Driver: driver, seen: map[string][]any{}}
	store, err := transactional.New(spy, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for from := range 10 {
		u := &transactional.Unit{}
		for i := range 200 {
			r := transactional.Record{ID: recordID(from*1000 + i + 1), Kind: "k", Lane: []string{"a", "b"}[i%2], Priority: uint32(i % 5)}
			if i%10 == 0 {
				r.Due = time.Now().Add(time.Hour)
			}
			u.Add = append(u.Add, r)
		}
		if _, err := store.Apply(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	s.exec(t, "ANALYZE TABLE "+name+".ff_outbox")
	lanes := []string{"a", "b", "c"}
	if _, err := store.Claim(t.Context(), transactional.ClaimRequest{Lanes: lanes, Max: 64, Owner: 1, Lease: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Urgent(t.Context(), lanes); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for text, args := range spy.seen {
		if !strings.Contains(text, "ff_outbox") || !strings.HasPrefix(text, "SELECT") {
			continue
		}
		checked++
		testPlan(t, driver, text, args)
	}
	if checked < 4 {
		t.Errorf("only %d statements were looked at", checked)
	}
}

// testPlan wants an index for every step on the outbox, and no sort of its rows.
func testPlan(t *testing.T, driver transactional.Driver, text string, args []any) {
	t.Helper()
	var steps []string
	bad := false
	err := driver.View(t.Context(), func(c transactional.Conn) error {
		steps, bad = nil, false
		return c.Query(t.Context(), "EXPLAIN "+text, args, func(scan func(...any) error) error {
			var id, kind, table, how, possible, key, length, ref, rows, extra *string
			if err := scan(&id, &kind, &table, &how, &possible, &key, &length, &ref, &rows, &extra); err != nil {
				return err
			}
			step := fmt.Sprintf("%s: %s by key %s, %s rows; %s", deref(table), deref(how), deref(key), deref(rows), deref(extra))
			steps = append(steps, step)
			if deref(table) == "ff_outbox" && (deref(how) == "ALL" || deref(key) == "" || strings.Contains(deref(extra), "filesort")) {
				bad = true
			}
			return nil
		})
	})
	if err != nil {
		t.Errorf("EXPLAIN %s: %v", text, err)
	}
	if bad {
		t.Errorf("a statement does not walk its index alone:\n%s\n%s", text, strings.Join(steps, "\n"))
	}
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// A spyDriver notes the texts of all statements, so that the plans of exactly
// those that run can be looked at.
type spyDriver struct {
	transactional.Driver
	mu   sync.Mutex
	seen map[string][]any
}

type spyConn struct {
	transactional.Conn
	spy *spyDriver
}

func (d *spyDriver) Run(ctx context.Context, unit func(transactional.Conn) error) error {
	return d.Driver.Run(ctx, func(c transactional.Conn) error { return unit(&spyConn{c, d}) })
}

func (d *spyDriver) View(ctx context.Context, unit func(transactional.Conn) error) error {
	return d.Driver.View(ctx, func(c transactional.Conn) error { return unit(&spyConn{c, d}) })
}

func (c *spyConn) note(query string, args []any) {
	c.spy.mu.Lock()
	defer c.spy.mu.Unlock()
	c.spy.seen[query] = args
}

func (c *spyConn) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	c.note(query, args)
	return c.Conn.Exec(ctx, query, args...)
}

func (c *spyConn) Query(ctx context.Context, query string, args []any, row func(func(...any) error) error) error {
	c.note(query, args)
	return c.Conn.Query(ctx, query, args, row)
}
