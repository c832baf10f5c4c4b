package sim

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/transactional"
)

const (
	claimLease = 3 * time.Second
	handLease  = 2 * time.Second // of a record that is handed over
	keepFor    = 4 * time.Second // tokens and marks
	puts       = 8               // records of a history
	events     = 40
)

// An outbox is a history of the real one: processes that put, claim, renew,
// sweep and settle over one SQLite file, beside a ledger that takes flow's
// steps. After each event the answers and all rows are compared.
type outbox struct {
	*tape
	ctx    context.Context
	file   transactional.Driver
	bug    bug
	server bool   // other processes share the database, which has a clock of its own
	skew   int64  // of that clock, µs
	step   int    // counts jumps of it and looks at it
	moves  []move // of its clock, and of what is kept
	began  time.Time
	agents []*agent
	owners uint64
	ledger *ledger
	put    []transactional.Record
	rows   map[int]seen     // before this event
	ends   map[int]int64    // the moment at which each lease is over, whatever clocks say
	leased map[int]question // by the answer to which it was given
	actor  *agent           // of this event
	killed bool             // in this event
	mended bool             // all answers arrive
	log    strings.Builder
	broken string
}

func recordID(n int) (id transactional.RecordID) {
	binary.BigEndian.PutUint64(id[:8], uint64(n))
	return id
}

func number(id transactional.RecordID) int { return int(binary.BigEndian.Uint64(id[:8])) }

func numbers(rs []transactional.Record) (out []int) {
	for i := range rs {
		out = append(out, number(rs[i].ID))
	}
	return out
}

func (o *outbox) note(format string, args ...any) {
	fmt.Fprintf(&o.log, "%d ", o.at()/1000)
	fmt.Fprintf(&o.log, format, args...)
	o.log.WriteByte('\n')
}

// violated notes the first thing that must not be.
func (o *outbox) violated(format string, args ...any) {
	if o.broken == "" {
		o.broken = fmt.Sprintf(format, args...)
		o.note("VIOLATED %s", o.broken)
	}
}

// event is one thing that happens. Zero is nothing.
func (o *outbox) event() {
	a := o.agents[o.choose(len(o.agents))]
	a.wire.arm([]answer{12: applied, 13: down, 14: lost, 15: dropped}[o.choose(16)])
	o.actor, o.killed = a, false
	before, at := o.ledger.clone(), o.at()
	o.after(o.act(a, before), at)
	o.elapse()
}

// after compares everything when something has happened.
func (o *outbox) after(what string, began int64) {
	if o.at() != began {
		o.violated("%s took %d µs", what, o.at()-began)
	}
	o.compare(what)
	o.clocks()
}

// act draws what a process does.
func (o *outbox) act(a *agent, before *ledger) string {
	switch o.choose(22) {
	case 0:
		return "nothing"
	case 1, 2, 3, 4:
		return o.settle(a, before)
	case 5, 6, 7:
		return o.add(a, before)
	case 8:
		return o.addAgain(a, before)
	case 9, 10:
		return o.sweep(a, before)
	case 11:
		return o.extend(a, before)
	case 12:
		return o.claimByID(a, before)
	case 13:
		return o.settlePair(a, before)
	case 14:
		return o.inTx(a, before)
	case 15:
		return o.look(a)
	case 16:
		return o.find(a)
	case 17:
		return o.kill(a)
	case 18:
		return o.jump()
	}
	return o.claim(a, before)
}

// same compares an answer with the ledger's.
func (o *outbox) same(what, got, want string) string {
	if !o.mended || !strings.HasSuffix(got, "[]") && !strings.HasSuffix(got, " 0") {
		o.note("%s: %s", what, got)
	}
	if got != want {
		o.violated("%s: the store answers %s, want %s", what, got, want)
	}
	return what
}

// concluded is the answer that the wire makes of an operation of one
// transaction, with the ledger as it is then.
func (o *outbox) concluded(a *agent, before *ledger, answer string) string {
	switch {
	case a.wire.next == down:
		o.ledger = before
		return "unavailable"
	case !a.wire.struck:
		return answer
	case a.wire.hit == dropped:
		o.ledger = before
	}
	return "unknown"
}

func (o *outbox) claim(a *agent, before *ledger) string {
	r := transactional.ClaimRequest{Lanes: lanes[o.choose(2):], Max: 1 + o.choose(3), Owner: a.owner, Lease: claimLease}
	rs, err := a.store.Claim(o.ctx, r)
	due := o.ledger.claim(o.now(a), &r)
	idle := len(due) == 0 && o.ledger.String() == before.String()
	want := o.concluded(a, before, "applied")
	if want != "applied" {
		due = nil
	}
	if idle && !o.server && err == nil {
		want = "applied" // that there is nothing it knew without a look
	}
	o.given(a, rs, false)
	o.hold(a, rs)
	return o.same(fmt.Sprintf("%d claims %d of %v", a.owner, r.Max, r.Lanes),
		fmt.Sprint(outcome(err), numbers(rs)), fmt.Sprint(want, due))
}

// hold notes what a process was given.
func (o *outbox) hold(a *agent, rs []transactional.Record) {
	for i := range rs {
		a.knows[number(rs[i].ID)] = rs[i].Seq
	}
}

func (o *outbox) claimByID(a *agent, before *ledger) string {
	early := o.choose(2) == 1
	take, what := a.store.ClaimByID, "takes"
	if early {
		take, what = a.store.Seize, "seizes"
	}
	ids := o.some()
	rs, err := take(o.ctx, a.owner, claimLease, recordIDs(ids)...)
	now := o.now(a)
	due := o.ledger.ids(func(e entry) bool { return e.Claimable(now, early) })
	due = slices.DeleteFunc(due, func(id int) bool { return !slices.Contains(ids, id) })
	o.ledger.step(due, func(c flow.Custody) flow.Custody { return c.Claim(now, a.owner, claimLease.Microseconds()) })
	want := o.concluded(a, before, "applied")
	if want != "applied" {
		due = nil
	}
	o.given(a, rs, early)
	o.hold(a, rs)
	return o.same(fmt.Sprintf("%d %s %v", a.owner, what, ids), fmt.Sprint(outcome(err), numbers(rs)), fmt.Sprint(want, due))
}

// some draws one or two records that were put, in their order.
func (o *outbox) some() (ids []int) {
	for range 1 + o.choose(2) {
		if id := 1 + o.choose(max(len(o.put), 1)); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func recordIDs(ids []int) (out []transactional.RecordID) {
	for _, id := range ids {
		out = append(out, recordID(id))
	}
	return out
}

func (o *outbox) extend(a *agent, before *ledger) string {
	ids := o.some()
	errs := a.store.Extend(o.ctx, a.owner, claimLease, recordIDs(ids)...)
	now := o.now(a)
	got, want := make([]string, len(ids)), make([]string, len(ids))
	for i, id := range ids {
		want[i] = "applied"
		if e := o.ledger.records[id]; !e.HeldBy(a.owner) {
			want[i] = "conflict"
		}
	}
	there := slices.DeleteFunc(slices.Clone(ids), func(id int) bool { _, there := o.ledger.records[id]; return !there })
	o.ledger.step(there, func(c flow.Custody) flow.Custody { return c.Extend(now, a.owner, claimLease.Microseconds()) })
	for i := range ids {
		want[i] = o.concluded(a, before, want[i])
		if got[i] = "applied"; errs != nil {
			got[i] = outcome(errs[i])
		}
		if got[i] == "conflict" {
			delete(a.knows, ids[i])
		}
	}
	return o.same(fmt.Sprintf("%d renews %v", a.owner, ids), fmt.Sprint(got), fmt.Sprint(want))
}

// add accepts a new record, for whoever comes or for itself.
func (o *outbox) add(a *agent, before *ledger) string {
	if len(o.put) == puts {
		return o.claim(a, before)
	}
	r := transactional.Record{ID: recordID(len(o.put) + 1), Kind: "k", Lane: lanes[o.choose(2)], Priority: uint32(o.choose(3)), Progress: []byte("all")}
	if kind := o.choose(4); kind > 1 {
		r.Token, r.Digest, r.Remember = "t", uint64(kind-1), keepFor
	}
	for _, name := range [][]string{nil, nil, {"x"}, {"x", "y"}}[o.choose(4)] {
		r.Orders = append(r.Orders, transactional.Order{Task: "task", Key: name})
	}
	r.Due = o.due(a)
	if o.choose(4) == 3 {
		r.Owner, r.Lease = a.owner, handLease
	}
	o.put = append(o.put, r)
	return o.apply(a, before, "puts", &r)
}

// due draws a time by the store's clock.
func (o *outbox) due(a *agent) time.Time {
	d := []time.Duration{0, 0, time.Second, 5 * time.Second, -time.Second}[o.choose(5)]
	if d == 0 {
		return time.Time{}
	}
	return a.store.Now().Add(d)
}

// addAgain is what a caller does who was not told.
func (o *outbox) addAgain(a *agent, before *ledger) string {
	if len(o.put) == 0 {
		return o.claim(a, before)
	}
	return o.apply(a, before, "puts again", &o.put[o.choose(len(o.put))])
}

func (o *outbox) apply(a *agent, before *ledger, what string, r *transactional.Record) string {
	res, err := a.store.Apply(o.ctx, &transactional.Unit{Add: []transactional.Record{*r}})
	got, id := outcome(err), number(r.ID)
	if res.Repeats != nil {
		got = fmt.Sprint("repeats ", number(res.Repeats[0]))
	}
	want, first := o.ledger.add(o.now(a), r)
	if want == "repeat" {
		want = fmt.Sprint("repeats ", first)
	}
	if want = o.concluded(a, before, want); want == "applied" && r.Owner == a.owner {
		a.knows[id] = 0
	}
	return o.same(fmt.Sprintf("%d %s %d, lane %s, priority %d, token %q %d, orders %v, owner %d, due %v", a.owner, what, id,
		r.Lane, r.Priority, r.Token, r.Digest, r.Orders, r.Owner, !r.Due.IsZero()), got, want)
}

// look asks what is urgent, and who waits for whom.
func (o *outbox) look(a *agent) string {
	priority, ok, err := a.store.Urgent(o.ctx, lanes)
	id := 1 + o.choose(puts)
	blocked, err2 := a.store.Blocked(o.ctx, recordID(id), []transactional.Order{{Task: "task", Key: "x"}})
	want := "unavailable unavailable 0 false []"
	if a.wire.next != down {
		priority, ok := o.ledger.urgent(o.now(a))
		head, there := o.ledger.head("x")
		want = fmt.Sprint("applied applied ", priority, " ", ok, " ", []bool{there && head < id})
	}
	return o.same(fmt.Sprintf("%d asks what is urgent, and whether %d waits", a.owner, id),
		fmt.Sprint(outcome(err), " ", outcome(err2), " ", priority, " ", ok, " ", blocked), want)
}

// find asks custody how far a record is, as whoever was not told does.
func (o *outbox) find(a *agent) string {
	id := 1 + o.choose(puts)
	r, mark, err := a.store.Find(o.ctx, recordID(id))
	got := fmt.Sprint(outcome(err), " ", r.Owner, " ", r.Seq, " ", r.Lost, " ", mark != nil)
	e, there := o.ledger.records[id]
	_, marked := o.ledger.marks[id]
	want := "not found 0 0 0 false"
	switch {
	case a.wire.next == down:
		want = "unavailable 0 0 0 false"
	case there:
		want = fmt.Sprint("applied ", e.Owner, " ", e.Seq, " ", e.Lost, " false")
	case marked:
		want = "applied 0 0 0 true"
	}
	if err == nil && r.Owner == a.owner {
		a.knows[id] = r.Seq
	}
	return o.same(fmt.Sprintf("%d asks for %d", a.owner, id), got, want)
}

// kill ends a process, and begins another. Where nobody else uses the file, the
// others end with it, and what they held is free when the first is back.
func (o *outbox) kill(a *agent) string {
	o.killed = true
	for i, other := range o.agents {
		if other == a || !o.server {
			other.store.Close()
			o.agents[i] = o.start()
		}
	}
	what := fmt.Sprintf("%d is killed, %d begins", a.owner, o.owners)
	if o.server {
		return o.same(what, "", "")
	}
	freed, err := o.agents[0].store.Recover(o.ctx)
	return o.same(what, fmt.Sprint(outcome(err), " ", freed), fmt.Sprint("applied ", o.ledger.free(func(e entry) bool { return e.Owner != 0 })))
}

// jump sets the server's clock.
func (o *outbox) jump() string {
	if !o.server {
		return "nothing"
	}
	d := []int64{2 * second, 3600 * second, -2 * second, -3600 * second}[o.choose(4)]
	o.step++
	o.skew += d
	o.moves = append(o.moves, move{step: o.step, by: d})
	o.note("the server's clock jumps by %d s", d/second)
	return "a jump"
}

// elapse lets time go on.
func (o *outbox) elapse() {
	if d := []time.Duration{0, time.Millisecond, 400 * time.Millisecond, time.Second, 2 * time.Second}[o.choose(5)]; d > 0 {
		time.Sleep(d)
	}
}
