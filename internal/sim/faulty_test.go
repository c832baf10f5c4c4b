package sim

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// An answer is what becomes of the next transaction that would commit.
type answer int

const (
	applied answer = iota
	down           // nothing can be reached, reads neither: not applied
	lost           // applied, and nobody hears of it
	dropped        // COMMIT is lost: not applied, and nobody knows
)

// serverTime stands in the dialect where the server's clock is asked for.
const serverTime = "0 + 0"

// A wire is what lies between an agent's store and the file that all of them
// share. It loses answers and, when it leads to a server, tells the time.
type wire struct {
	transactional.Driver
	a      *agent
	o      *outbox
	next   answer
	skip   int    // so many transactions go through before
	runs   int    // transactions that would have committed, in this operation
	struck bool   // the answer of the last of them was lost
	hit    answer // in this way
	asked  bool   // for the time, in this operation
	untold int64  // what others had to be told of then
}

var errWire = errors.New("injected")

func (v *wire) fails(class error) error {
	return &fault.Error{Op: "run", Store: "transactional", Class: class, Err: errWire}
}

func (v *wire) Features() transactional.Features {
	f := v.Driver.Features()
	if v.o.server {
		f.SharedLog, f.Dialect.Now = true, serverTime
	}
	return f
}

func (v *wire) Run(ctx context.Context, unit func(transactional.Conn) error) error {
	if v.next == down {
		return v.fails(fault.ErrUnavailable)
	}
	err := v.Driver.Run(ctx, func(c transactional.Conn) error {
		if err := unit(told{c, v}); err != nil || v.next != dropped || v.skip > 0 {
			return err
		}
		return v.fails(fault.ErrUnknown)
	})
	own := errors.Is(err, errWire)
	if err != nil && !own {
		return err
	}
	v.runs++
	if v.skip--; v.next == lost && v.skip < 0 || own {
		v.hit, v.next, v.struck = v.next, applied, true
		return v.fails(fault.ErrUnknown)
	}
	return nil
}

func (v *wire) View(ctx context.Context, unit func(transactional.Conn) error) error {
	if v.next == down {
		return v.fails(fault.ErrUnavailable)
	}
	return v.Driver.View(ctx, func(c transactional.Conn) error { return unit(told{c, v}) })
}

// Close leaves the file to the other agents.
func (v *wire) Close() error { return nil }

// A local is the wire to a file that only this process changes.
type local struct{ *wire }

func (l local) Commits() (uint64, bool) { return l.Driver.(transactional.Counting).Commits() }

// A bug is planted into the statements of the outbox.
type bug struct{ instead, of string }

func (b bug) in(query string) string {
	if b.of == "" {
		return query
	}
	return strings.ReplaceAll(query, b.of, b.instead)
}

// told answers for the server's clock, and tells the agent's own copy of the
// clock what it was told.
type told struct {
	transactional.Conn
	v *wire
}

// Exec has the bug that is planted, if one is.
func (c told) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return c.Conn.Exec(ctx, c.v.o.bug.in(query), args...)
}

func (c told) Query(ctx context.Context, query string, args []any, row func(scan func(dest ...any) error) error) error {
	if !strings.HasPrefix(query, "SELECT "+serverTime) {
		return c.Conn.Query(ctx, c.v.o.bug.in(query), args, row)
	}
	return c.Conn.Query(ctx, query, args, func(scan func(dest ...any) error) error {
		return row(func(dest ...any) error {
			var zero int64
			kept, us := dest[1].(*int64), c.v.o.serverNow()
			err := scan(&zero, kept)
			*dest[0].(*int64) = us
			at := c.v.o.at()
			c.v.o.step++
			c.v.a.asks = append(c.v.a.asks, question{c.v.o.step, at, c.v.o.skew, *kept})
			c.v.a.clock = c.v.a.clock.Answered(at, at, us, *kept)
			if !c.v.asked {
				c.v.asked, c.v.untold = true, c.v.a.clock.Untold()
			}
			return err
		})
	})
}

// serverNow is what the server's clock shows.
func (o *outbox) serverNow() int64 { return time.Now().UnixMicro() + o.skew }

// at is the moment by the processes' own clocks, which count from somewhere.
func (o *outbox) at() int64 { return time.Since(o.began).Microseconds() }

// now is the time by which an agent measures.
func (o *outbox) now(a *agent) int64 {
	if !o.server {
		return time.Now().UnixMicro()
	}
	now, _ := a.clock.Continued(o.at())
	return now
}

// An agent is a process over the outbox, and what it thinks that it holds.
type agent struct {
	owner uint64
	store *transactional.Store
	wire  *wire
	clock flow.StoreClock
	knows map[int]uint64 // the sequence number, by record
	asks  []question     // for the server's time
	shown int64          // what its Now said last
}

// start begins a process over the shared file.
func (o *outbox) start() *agent {
	o.owners++
	a := &agent{owner: o.owners, knows: map[int]uint64{}}
	a.wire = &wire{Driver: o.file, a: a, o: o}
	var driver transactional.Driver = a.wire
	if !o.server {
		driver = local{a.wire}
	}
	var err error
	if a.store, err = transactional.New(driver, nil); err != nil {
		panic(err)
	}
	// As every layer does it looks for work, which makes our tables, and knows by
	// that for how long others claim.
	a.clock = a.clock.Leased(claimLease.Microseconds())
	r := transactional.ClaimRequest{Lanes: []string{"none"}, Max: 1, Owner: a.owner, Lease: claimLease}
	if _, err = a.store.Claim(o.ctx, r); err != nil {
		panic(err)
	}
	o.ledger.claim(o.now(a), &r)
	return a
}

// arm says what the answer of the next operation is.
func (v *wire) arm(next answer) {
	v.next, v.skip, v.runs, v.struck, v.hit = next, 0, 0, false, applied
	v.asked, v.untold = false, 0
}

// outcome sorts an error by what is known after it.
func outcome(err error) string {
	switch class := fault.ClassOf(err); {
	case err == nil:
		return "applied"
	case fault.Unknown(err):
		return "unknown"
	case class == fault.ErrUnavailable:
		return "unavailable"
	case class == fault.ErrConflict:
		return "conflict"
	case class == fault.ErrExists:
		return "exists"
	case class == fault.ErrNotFound:
		return "not found"
	}
	return err.Error()
}
