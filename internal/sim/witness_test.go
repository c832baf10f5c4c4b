package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/transactional"
)

// A seen is a record as it lies in the file.
type seen struct {
	state, sort int64
	owner, seq  uint64
	lost, due   int64
}

const rowsOf = `SELECT 'record', id, state, queue, sort, owner, seq, lost, wake, orders, lane, priority, due, progress FROM ff_outbox
UNION ALL SELECT 'order', id, 0, okey, 0, 0, 0, 0, 0, 0, '', 0, 0, '' FROM ff_orders
UNION ALL SELECT 'token', id, 0, token, until, digest, 0, 0, 0, 0, '', 0, 0, '' FROM ff_tokens
UNION ALL SELECT 'mark', id, 0, '', until, 0, 0, 0, 0, 0, '', 0, 0, '' FROM ff_marks
UNION ALL SELECT 'back', '', 0, '', value, 0, 0, 0, 0, 0, '', 0, 0, '' FROM ff_meta WHERE name = 'clock back'`

// read returns all rows, as the ledger writes them and by number.
func (o *outbox) read() (text string, rows map[int]seen) {
	var out []string
	rows = map[int]seen{}
	err := o.file.View(o.ctx, func(c transactional.Conn) error {
		return c.Query(o.ctx, rowsOf, nil, func(scan func(dest ...any) error) error {
			var (
				kind, queue, lane                                      string
				raw, progress                                          []byte
				state, sort, owner, seq, lost, wake, ordered, pri, due int64
			)
			err := scan(&kind, &raw, &state, &queue, &sort, &owner, &seq, &lost, &wake, &ordered, &lane, &pri, &due, &progress)
			var id transactional.RecordID
			copy(id[:], raw)
			n := number(id)
			switch kind {
			case "record":
				rows[n] = seen{state, sort, uint64(owner), uint64(seq), lost, due}
				out = append(out, fmt.Sprintf("record %d: state %d queue %q sort %d owner %d seq %d lost %d wake %d orders %d lane %s priority %d due %d progress %q",
					n, state, queue, sort, owner, seq, lost, wake, ordered, lane, pri, due, progress))
			case "order":
				out = append(out, fmt.Sprintf("order %s: %d", queue, n))
			case "token":
				out = append(out, fmt.Sprintf("token %s: %d digest %d until %d", queue, n, owner, sort))
			case "mark":
				out = append(out, fmt.Sprintf("mark %d: until %d", n, sort))
			default:
				out = append(out, fmt.Sprintf("back %d", sort))
			}
			return err
		})
	})
	if err != nil {
		o.violated("the rows cannot be read: %v", err)
	}
	slices.Sort(out)
	return strings.Join(out, "\n"), rows
}

// compare holds the file to the ledger.
func (o *outbox) compare(what string) {
	if o.broken != "" {
		return
	}
	text, rows := o.read()
	if want := o.ledger.String(); text != want {
		o.violated("after %q the rows are\n%s\nwant\n%s", what, text, want)
	}
	if o.ledger.back > 0 && !slices.ContainsFunc(o.moves, func(m move) bool { return m.told == o.ledger.back }) {
		o.moves = append(o.moves, move{told: o.ledger.back})
	}
	o.watch(rows)
	o.rows = rows
}

// watch checks, from the rows alone, what one event may change. It knows nothing
// of flow's steps, which the store and the ledger share.
func (o *outbox) watch(rows map[int]seen) {
	for id, now := range rows {
		was, there := o.rows[id]
		switch {
		case !there:
			was = seen{owner: now.owner}
			o.leases(id, handLease)
		case now.owner != 0 && (now.owner != was.owner || now.sort != was.sort):
			o.leases(id, claimLease)
		}
		switch {
		case was.owner != 0 && now.owner != 0 && now.owner != was.owner:
			o.violated("record %d went from %d to %d at once", id, was.owner, now.owner)
		case now.seq < was.seq || now.seq > was.seq+2:
			o.violated("record %d was settled %d times, and then %d", id, was.seq, now.seq)
		case (now.owner != 0) != (now.state == 1):
			o.violated("record %d of owner %d is in state %d", id, now.owner, now.state)
		case now.lost != was.lost && (was.owner == 0 || now.owner != 0):
			o.violated("record %d lost an owner that it did not have", id)
		case was.owner != 0 && now.owner == 0 && now.seq == was.seq:
			o.taken(id, was, now)
		case now.owner == 0 && (!there || now.seq > was.seq) && now.state != 2 && now.due > o.actor.store.Now().UnixMicro():
			o.violated("record %d is ready, and due in %d ms", id, (now.due-o.actor.store.Now().UnixMicro())/ms)
		}
	}
}

// leases notes until when a lease of now lasts.
func (o *outbox) leases(id int, lease time.Duration) {
	o.ends[id] = o.at() + lease.Microseconds()
	if asks := o.actor.asks; len(asks) > 0 {
		o.leased[id] = asks[len(asks)-1]
	}
}

// taken checks that an owner was taken for dead, and that this was counted. Nobody
// loses a claim before its lease is over, whatever was done to the server's clock,
// but to a process that could not know.
func (o *outbox) taken(id int, was, now seen) {
	switch early := o.ends[id] - o.at(); {
	case now.lost != was.lost+1:
		o.violated("record %d was taken from %d, and %d losses were counted", id, was.owner, now.lost-was.lost)
	case o.killed || early <= 0:
	case o.server && excused(o.moves, o.actor.asks, o.leased[id]):
	default:
		o.violated("record %d was taken from %d %d ms before its lease was over", id, was.owner, early/ms)
	}
}

// judge holds the answer to settlements against the rows as they were.
func (o *outbox) judge(ts []transactional.Settlement, got string) {
	mine := true
	for i := range ts {
		row, there := o.rows[number(ts[i].ID)]
		mine = mine && there && row.owner == ts[i].Owner && row.seq == ts[i].Seq
	}
	if got == "applied" && !mine || got == "conflict" && mine {
		o.violated("settlements of %d are %s, although its claim holds: %t", ts[0].Owner, got, mine)
	}
}

// given checks that what a claim returned was nobody's, and due.
func (o *outbox) given(a *agent, rs []transactional.Record, early bool) {
	for i := range rs {
		id := number(rs[i].ID)
		row := o.rows[id]
		if wait := row.due - a.store.Now().UnixMicro(); row.owner != 0 || row.state == 2 && wait > 0 && !early {
			o.violated("%d was given record %d of owner %d, due in %d ms", a.owner, id, row.owner, wait/ms)
		}
	}
}

// clocks checks that no process's time goes back.
func (o *outbox) clocks() {
	for _, a := range o.agents {
		now := a.store.Now().UnixMicro()
		if now < a.shown {
			o.violated("the time of %d went back by %d ms", a.owner, (a.shown-now)/ms)
		}
		a.shown = now
	}
}
