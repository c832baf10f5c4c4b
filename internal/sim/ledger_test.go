package sim

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/transactional"
)

// lanes are those that claims look into.
var lanes = []string{"one", "two"}

// An entry is a record of the outbox: flow's state of it, and where it waits.
type entry struct {
	flow.Custody
	lane     string
	priority uint32
	ordered  int
	progress string
}

type token struct {
	id     int
	digest uint64
	until  int64
}

// A ledger is what the outbox has to hold: the custody of each record by flow's
// steps, and beside it what its contract says of orders, tokens and marks. Keys
// are the numbers of records.
type ledger struct {
	records map[int]entry
	orders  map[string]map[int]bool // who has an order, or waits for it
	tokens  map[string]token
	marks   map[int]int64
	back    int64
}

func newLedger() *ledger {
	return &ledger{records: map[int]entry{}, orders: map[string]map[int]bool{}, tokens: map[string]token{}, marks: map[int]int64{}}
}

// clone is for what may not have happened.
func (l *ledger) clone() *ledger {
	c := &ledger{records: maps.Clone(l.records), orders: map[string]map[int]bool{}, tokens: maps.Clone(l.tokens), marks: maps.Clone(l.marks), back: l.back}
	for name, ids := range l.orders {
		c.orders[name] = maps.Clone(ids)
	}
	return c
}

// ids are the records that a predicate holds for, by number.
func (l *ledger) ids(is func(entry) bool) (out []int) {
	for id, e := range l.records {
		if is(e) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// step changes the custody of records.
func (l *ledger) step(ids []int, to func(flow.Custody) flow.Custody) {
	for _, id := range ids {
		e := l.records[id]
		e.Custody = to(e.Custody)
		l.records[id] = e
	}
}

// add accepts a record; first is the id of whoever brought its token before.
func (l *ledger) add(now int64, r *transactional.Record) (verdict string, first int) {
	id := number(r.ID)
	if before, there := l.tokens[r.Token]; r.Token != "" && there && before.until > now {
		if before.digest != r.Digest {
			return "conflict", 0
		}
		return "repeat", before.id
	}
	if _, there := l.records[id]; there {
		return "exists", 0
	}
	if r.Token != "" {
		l.tokens[r.Token] = token{id, r.Digest, now + r.Remember.Microseconds()}
	}
	for _, o := range r.Orders {
		if l.orders[o.Key] == nil {
			l.orders[o.Key] = map[int]bool{}
		}
		l.orders[o.Key][id] = true
	}
	due := int64(0)
	if !r.Due.IsZero() {
		due = r.Due.UnixMicro()
	}
	l.records[id] = entry{
		Custody: flow.Accept(now, r.Owner, r.Lease.Microseconds(), due),
		lane:    r.Lane, priority: r.Priority, ordered: len(r.Orders), progress: string(r.Progress),
	}
	return "applied", 0
}

// claim takes due records by priority and then number.
func (l *ledger) claim(now int64, r *transactional.ClaimRequest) (out []int) {
	l.step(l.ids(func(e entry) bool { return e.Stand == flow.Later && e.Due <= now }), func(c flow.Custody) flow.Custody { return c.Promote(now) })
	out = l.ids(func(e entry) bool { return e.Claimable(now, false) && slices.Contains(r.Lanes, e.lane) })
	l.sort(out)
	out = out[:min(len(out), r.Max)]
	l.step(out, func(c flow.Custody) flow.Custody { return c.Claim(now, r.Owner, r.Lease.Microseconds()) })
	return out
}

func (l *ledger) sort(ids []int) {
	slices.SortFunc(ids, func(a, b int) int {
		return cmp.Or(cmp.Compare(l.records[a].priority, l.records[b].priority), cmp.Compare(a, b))
	})
}

// urgent is the smallest priority of what a claim could take.
func (l *ledger) urgent(now int64) (priority uint32, ok bool) {
	ids := l.ids(func(e entry) bool { return e.Claimable(now, false) })
	if l.sort(ids); len(ids) == 0 {
		return 0, false
	}
	return l.records[ids[0]].priority, true
}

// mine is the fence in front of all settlements of a unit.
func (l *ledger) mine(ts []transactional.Settlement) bool {
	for i := range ts {
		e, there := l.records[number(ts[i].ID)]
		if !there || !e.Mine(ts[i].Owner, ts[i].Seq) {
			return false
		}
	}
	return true
}

// settle applies settlements of different records, and wakes who waited for an
// order of theirs.
func (l *ledger) settle(now int64, ts []transactional.Settlement) {
	var left []held
	for i := range ts {
		if t := &ts[i]; t.Done {
			left = append(left, l.end(now, t)...)
		} else {
			l.goOn(now, t)
		}
	}
	for i := range ts {
		id := number(ts[i].ID)
		for _, o := range ts[i].Release {
			delete(l.orders[o.Key], id)
			l.wake(now, held{o.Key, id})
		}
	}
	for _, h := range left {
		l.wake(now, h)
	}
}

// A held is an order that a record had.
type held struct {
	name string
	id   int
}

// end removes a record, and returns the orders that it had.
func (l *ledger) end(now int64, t *transactional.Settlement) (left []held) {
	id := number(t.ID)
	delete(l.records, id)
	if _, there := l.marks[id]; !there {
		l.marks[id] = now + t.Keep.Microseconds()
	}
	for name, ids := range l.orders {
		if ids[id] {
			delete(ids, id)
			left = append(left, held{name, id})
		}
	}
	return left
}

// goOn applies a settlement of a record that is not done.
func (l *ledger) goOn(now int64, t *transactional.Settlement) {
	id := number(t.ID)
	e := l.records[id]
	if t.Progress != nil {
		e.progress = string(t.Progress)
	}
	if t.Hold {
		e.Custody = e.Keep()
	} else {
		due := int64(0)
		if !t.Due.IsZero() {
			due = t.Due.UnixMicro()
		}
		e.Custody, e.lane, e.priority = e.Back(now, due), t.Lane, t.Priority
	}
	l.records[id] = e
}

// wake tells whoever is next behind a record that has left an order.
func (l *ledger) wake(now int64, h held) {
	if next, there := l.head(h.name); there && next > h.id {
		l.step([]int{next}, func(c flow.Custody) flow.Custody { return c.Wake(now) })
	}
}

// head is the earliest record that has an order.
func (l *ledger) head(name string) (id int, ok bool) {
	ids := slices.Sorted(maps.Keys(l.orders[name]))
	if len(ids) == 0 {
		return 0, false
	}
	return ids[0], true
}

// overdue reports whether a sweep has anything to do.
func (l *ledger) overdue(now int64) bool {
	for _, e := range l.records {
		if e.Over(now) || e.Stand == flow.Later && e.Due <= now {
			return true
		}
	}
	for _, t := range l.tokens {
		if t.until <= now {
			return true
		}
	}
	for _, until := range l.marks {
		if until <= now {
			return true
		}
	}
	return false
}

// free ends the claims of owners that are taken for dead.
func (l *ledger) free(is func(entry) bool) int {
	ids := l.ids(is)
	l.step(ids, flow.Custody.Free)
	return len(ids)
}

// String is the rows of the outbox, as rowsOf reads them.
func (l *ledger) String() string {
	var out []string
	for id, e := range l.records {
		queue, sort := e.lane, int64(e.priority)
		switch e.Stand {
		case flow.Claimed:
			queue, sort = "", e.Until
		case flow.Later:
			queue, sort = "", e.Due
		}
		woken := 0
		if e.Woken {
			woken = 1
		}
		out = append(out, fmt.Sprintf("record %d: state %d queue %q sort %d owner %d seq %d lost %d wake %d orders %d lane %s priority %d due %d progress %q",
			id, e.Stand, queue, sort, e.Owner, e.Seq, e.Lost, woken, e.ordered, e.lane, e.priority, e.Due, e.progress))
	}
	for name, ids := range l.orders {
		for id := range ids {
			out = append(out, fmt.Sprintf("order %s: %d", name, id))
		}
	}
	for name, t := range l.tokens {
		out = append(out, fmt.Sprintf("token %s: %d digest %d until %d", name, t.id, t.digest, t.until))
	}
	for id, until := range l.marks {
		out = append(out, fmt.Sprintf("mark %d: until %d", id, until))
	}
	if l.back != 0 {
		out = append(out, fmt.Sprintf("back %d", l.back))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}
