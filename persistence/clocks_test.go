package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A wall is the clock of a database that several programs share, here an
// in-process one: a test sets it wrong. It counts what is asked of the database.
type wall struct {
	transactional.Source
	real  bool         // the database has a clock of its own, which is set otherwise
	off   atomic.Int64 // nanoseconds
	units atomic.Int64 // that may write
	down  atomic.Bool  // this program cannot reach it
	asked func(query string)
}

func (w *wall) set(off time.Duration) { w.off.Store(int64(off)) }

func (w *wall) OpenDriver(ctx context.Context) (transactional.Driver, error) {
	d, err := w.Source.OpenDriver(ctx)
	return walled{d, w}, err
}

type walled struct {
	transactional.Driver
	wall *wall
}

func (d walled) Features() transactional.Features {
	f := d.Driver.Features()
	f.SharedLog = true
	return f
}

func (d walled) Check(ctx context.Context) fault.Report {
	if d.wall.down.Load() {
		return fault.Report{Purpose: "transactional"}
	}
	return d.Driver.Check(ctx)
}

var errWalled = fault.New(fault.ErrUnavailable, "transactional", "", "it is walled off")

func (d walled) Run(ctx context.Context, unit func(transactional.Conn) error) error {
	if d.wall.down.Load() {
		return errWalled
	}
	if n := d.wall.units.Add(1); n > 20_000 { // nothing else would end a storm: no time passes in it
		panic("a storm: 20,000 transactions")
	}
	return d.Driver.Run(ctx, func(c transactional.Conn) error { return unit(d.conn(c)) })
}

func (d walled) View(ctx context.Context, unit func(transactional.Conn) error) error {
	if d.wall.down.Load() {
		return errWalled
	}
	return d.Driver.View(ctx, func(c transactional.Conn) error { return unit(d.conn(c)) })
}

func (d walled) conn(c transactional.Conn) transactional.Conn {
	return wallConn{c, d.wall, d.Features().Dialect.Now}
}

type wallConn struct {
	transactional.Conn
	wall *wall
	now  string
}

func (c wallConn) Query(ctx context.Context, query string, args []any, row func(scan func(dest ...any) error) error) error {
	if c.wall.asked != nil {
		c.wall.asked(query)
	}
	if c.wall.real {
		return c.Conn.Query(ctx, query, args, row)
	}
	now := time.Now().Add(time.Duration(c.wall.off.Load())).UnixMicro()
	return c.Conn.Query(ctx, strings.Replace(query, c.now, fmt.Sprint(now), 1), args, row)
}

// A pair is two programs that share a database whose clock can be set.
type pair struct {
	*testing.T
	lease  time.Duration
	wall   *wall
	layers [2]*persistence.Layer
	counts [2]*persistence.Handle[tally]
	visits [2]*persistence.Handle[visit]
	later  [2]*persistence.Handle[visit]

	mu   sync.Mutex
	runs map[string]int // of handlers, by key
}

// inPair runs test in a bubble. off is how far the database's clock is ahead.
func inPair(t *testing.T, off time.Duration, test func(p *pair)) {
	t.Helper()
	stores := embedded.Stores(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		w := &wall{Source: stores.Transactional}
		w.set(off)
		p := openPair(t, w, stores, 10*time.Second)
		defer p.close()
		test(p)
	})
}

func openPair(t *testing.T, w *wall, stores persistence.Stores, lease time.Duration) *pair {
	t.Helper()
	p := &pair{T: t, lease: lease, wall: w, runs: map[string]int{}}
	stores.Transactional = w
	for i := range p.layers {
		layer, err := persistence.Open(t.Context(), stores, &persistence.Options{Lease: lease})
		if err != nil {
			t.Fatal(err)
		}
		p.layers[i] = layer
		p.counts[i] = persistence.Declare(layer, "tally", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
		g := &game{layer: layer, tallies: p.counts[i]}
		p.visits[i] = persistence.Declare(layer, "visit", persistence.Plan[visit]{
			{Priority: 1, Name: "tell", Purpose: persistence.Transactional, RealTime: true, Do: p.tell},
			{Priority: 2, Name: "count", Purpose: persistence.Transactional, Tx: g.count},
			{Priority: 3, Name: "object", Purpose: persistence.Transactional},
		})
		p.later[i] = persistence.Declare(layer, "later", persistence.Plan[visit]{
			{Priority: 1, Name: "tell", Purpose: persistence.Transactional, Delay: 12 * lease, Do: p.tell},
		}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
	}
	if err := p.layers[0].CreateSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pair) close() { closeAll(p.T, p.layers[:]) }

// closeAll closes the layers of programs that share their stores.
func closeAll(t *testing.T, layers []*persistence.Layer) {
	t.Helper()
	for _, l := range layers {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// tell takes a fifth of a lease, and fails at the first attempt.
func (p *pair) tell(ctx context.Context, v visit) error {
	p.mu.Lock()
	p.runs[v.ID]++
	p.mu.Unlock()
	pass(p.lease / 5)
	if persistence.Current(ctx).Attempt == 1 {
		return fault.New(fault.ErrRefused, "", "tell", "not yet")
	}
	return nil
}

// pass lets time pass, that of the bubble, or in a campaign that of the servers.
func pass(d time.Duration) { time.Sleep(d) }

func (p *pair) put(h *persistence.Handle[visit], venue, prefix string, n int) (out []*persistence.Receipt) {
	p.Helper()
	objs := make([]visit, n)
	for i := range objs {
		objs[i] = visit{ID: fmt.Sprint(prefix, i), User: "ann", Venue: venue, At: time.Unix(1, 0)}
	}
	for _, r := range h.PutAll(p.Context(), objs) {
		if r.Err != nil {
			p.Fatal(r.Err)
		}
		out = append(out, r.Receipt)
	}
	return out
}

func (p *pair) within(limit time.Duration, rs []*persistence.Receipt) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), limit)
	defer cancel()
	var all sync.WaitGroup
	for _, r := range rs { // side by side: each asks custody once a second
		all.Go(func() {
			if err := r.Wait(ctx); err != nil {
				p.Errorf("after %v: %v: %v", limit, r, err)
			}
		})
	}
	all.Wait()
	if p.Failed() {
		p.FailNow()
	}
}

// The clock of a shared database that jumps by an hour, while two programs work:
// what was accepted is done within seconds, once; the newest Put wins, whoever
// makes it; and nothing is claimed again and again.
func TestTheDatabasesClockJumps_A21(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			inPair(t, 0, func(p *pair) { p.jumps(jump, p.wall.set) })
		})
	}
}

// The same over a real server, whose clock is set.
func TestDegradationOfAClock_A21(t *testing.T) {
	if *degradation == 0 {
		t.Skip("the campaign that -args -degradation=1s asks for: a server whose clock is set, NOT TESTED here")
	}
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			server := servers.Test(t, servers.MariaDB{Clock: true})
			p := openPair(t, &wall{Source: transactional.URL(server.URL()), real: true}, persistence.Stores{}, 2*time.Second)
			defer p.close()
			p.jumps(jump, func(off time.Duration) {
				if err := server.SetClock(off); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func (p *pair) jumps(jump time.Duration, set func(off time.Duration)) {
	for _, l := range p.layers {
		persistencetest.Work(p.T, l)
	}
	rs := append(p.put(p.visits[0], "before", "a", 20), p.put(p.visits[1], "before", "b", 20)...)
	waits, due := p.put(p.later[0], "", "w", 260), time.Now().Add(12*p.lease)
	pass(p.lease / 10) // handlers run, and their claims with them
	set(jump)
	pass(2 * p.lease)
	rs = append(rs, p.put(p.visits[1], "after", "a", 20)...)
	rs = append(rs, p.put(p.visits[0], "after", "b", 20)...)
	p.within(15*time.Second, rs)
	for i, h := range p.visits {
		for _, id := range []string{"a7", "b7"} {
			if v, err := h.Get(p.Context(), id); err != nil || v.Venue != "after" {
				p.Errorf("program %d reads %q of %s, %v; the newest Put says after", i, v.Venue, id, err)
			}
		}
	}
	if n, err := p.counts[0].Get(p.Context(), "ann"); err != nil || n.N != 80 {
		p.Errorf("80 objects were counted %d times, %v", n.N, err)
	}
	p.mu.Lock()
	for id, n := range p.runs {
		if n != 4 { // two versions, two attempts
			p.Errorf("the handlers of %s ran %d times, want 4", id, n)
		}
	}
	p.mu.Unlock()
	before := p.wall.units.Load()
	pass(3 * p.lease)
	if n := p.wall.units.Load() - before; n > int64(3*p.lease/time.Second)*2+20 {
		p.Errorf("%d transactions in %v in which nothing is due", n, 3*p.lease)
	}
	set(0) // it is put right
	pass(time.Until(due) + p.lease)
	p.within(10*time.Second, waits)
}

// A machine whose clock is ahead of the database's by more than MaxSkew puts
// nothing: its versions would win over all that others write until they get
// there. It puts again when the clocks agree.
func TestAMachineThatIsAheadPutsNothing_A21(t *testing.T) {
	inPair(t, -time.Hour, func(p *pair) {
		put := func() error {
			_, err := p.counts[0].Put(p.Context(), tally{User: "ann", N: 1})
			return err
		}
		pass(11 * time.Second) // it looks every ten
		err := put()
		if !errors.Is(err, fault.ErrUnavailable) || fault.OutcomeOf(err) != fault.NotApplied || !strings.Contains(err.Error(), "MaxSkew") {
			p.Errorf("an hour ahead: %v, want unavailable for MaxSkew", err)
		}
		p.wall.set(-900 * time.Millisecond)
		pass(11 * time.Second)
		if err := put(); err != nil {
			p.Errorf("less than MaxSkew ahead: %v", err)
		}
		p.wall.set(time.Hour)
		pass(11 * time.Second)
		if err := put(); err != nil {
			p.Errorf("behind: %v", err)
		}
	})
}
