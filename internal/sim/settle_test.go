package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/transactional"
)

// settlement draws what a process says of a record: most often of one that it
// thinks it holds. Zero ends it.
func (o *outbox) settlement(a *agent) (t transactional.Settlement, ok bool) {
	ids := slices.Sorted(maps.Keys(a.knows))
	t = transactional.Settlement{Owner: a.owner, Keep: keepFor, Mark: []byte("mark")}
	id := 0
	switch strange := !o.mended && o.choose(8) == 7; {
	case strange && len(ids) > 0 && o.choose(2) == 1: // or the same once more
		id = ids[o.choose(len(ids))]
		t.Seq = a.knows[id] - 1
	case strange && len(o.put) > 0: // or of any, as if it held it
		id = 1 + o.choose(len(o.put))
		t.Seq = a.knows[id] + uint64(o.choose(2))
	case len(ids) > 0:
		id = ids[o.choose(len(ids))]
		t.Seq = a.knows[id]
	default:
		return t, false
	}
	t.ID = recordID(id)
	how := 0
	if !o.mended {
		how = o.choose(7)
	}
	switch how {
	case 0, 6:
		t.Done = true
		return t, true
	case 1:
		t.Hold, t.Progress = true, []byte(fmt.Sprint("step ", t.Seq))
	case 2:
		t.Hold = true
	case 3:
		t.Progress = []byte("back")
	}
	if !t.Hold {
		t.Lane, t.Priority, t.Due = lanes[o.choose(2)], uint32(o.choose(3)), o.due(a)
	}
	if o.choose(3) == 2 {
		t.Release = []transactional.Order{{Task: "task", Key: "x"}}
	}
	return t, true
}

func describe(t *transactional.Settlement) string {
	return fmt.Sprintf("%d since %d: done %t, hold %t, progress %q, due %t, release %v",
		number(t.ID), t.Seq, t.Done, t.Hold, t.Progress, !t.Due.IsZero(), t.Release)
}

// tried notes what a process knows after it was answered. One that was not told
// asks custody later, or says the same again.
func (o *outbox) tried(a *agent, t *transactional.Settlement, got string) {
	id := number(t.ID)
	switch got {
	case "applied":
		if a.knows[id]++; !t.Hold {
			delete(a.knows, id)
		}
	case "conflict":
		delete(a.knows, id)
	}
}

// verdict is the ledger's on a unit, which it applies.
func (o *outbox) verdict(a *agent, ts []transactional.Settlement) string {
	if !o.ledger.mine(ts) {
		return "conflict"
	}
	o.ledger.settle(o.now(a), ts)
	return "applied"
}

// settle is a unit of one settlement, or of two.
func (o *outbox) settle(a *agent, before *ledger) string {
	t, ok := o.settlement(a)
	if !ok {
		return o.claim(a, before)
	}
	ts := []transactional.Settlement{t}
	if o.choose(4) == 3 {
		if second, ok := o.settlement(a); ok && second.ID != t.ID {
			ts = append(ts, second)
		}
	}
	_, err := a.store.Apply(o.ctx, &transactional.Unit{Settle: ts})
	got, want, what := outcome(err), o.verdict(a, ts), ""
	o.judge(ts, got)
	for i := range ts {
		what += " " + describe(&ts[i])
		o.tried(a, &ts[i], got)
	}
	return o.same(fmt.Sprintf("%d settles%s", a.owner, what), got, o.concluded(a, before, want))
}

// settlePair is two units in one group, which succeed or fail alone; they may
// be about one record.
func (o *outbox) settlePair(a *agent, before *ledger) string {
	var units []*transactional.Unit
	for range 2 {
		t, ok := o.settlement(a)
		if !ok {
			return o.claim(a, before)
		}
		units = append(units, &transactional.Unit{Settle: []transactional.Settlement{t}})
	}
	_, errs := a.store.ApplyAll(o.ctx, units)
	verdicts := []string{"conflict", "conflict"}
	if one, two := units[0].Settle, units[1].Settle; one[0].ID == two[0].ID {
		verdicts = []string{o.verdict(a, one), o.verdict(a, two)}
	} else { // both together
		var ts []transactional.Settlement
		for i, u := range units {
			if o.ledger.mine(u.Settle) {
				verdicts[i], ts = "applied", append(ts, u.Settle...)
			}
		}
		o.ledger.settle(o.now(a), ts)
	}
	got, want, what := "", "", ""
	for i, u := range units {
		want += o.concluded(a, before, verdicts[i]) + " "
		got += outcome(errs[i]) + " "
		what += " " + describe(&u.Settle[0])
		if units[0].Settle[0].ID != units[1].Settle[0].ID {
			o.judge(u.Settle, outcome(errs[i]))
		}
		o.tried(a, &u.Settle[0], outcome(errs[i]))
	}
	return o.same(fmt.Sprintf("%d settles at a time%s", a.owner, what), got, want)
}

// inTx records what remains in a transaction of the program's own.
func (o *outbox) inTx(a *agent, before *ledger) string {
	t, ok := o.settlement(a)
	if !ok {
		return o.claim(a, before)
	}
	if o.choose(4) > 0 { // most often what remains
		t.Done, t.Hold, t.Progress, t.Release = false, true, []byte("in tx"), nil
	}
	ts := []transactional.Settlement{t}
	err := a.store.Tx(o.ctx, func(ctx context.Context, tx *transactional.Tx) error {
		_, err := tx.Apply(ctx, &transactional.Unit{Settle: ts})
		return err
	})
	got, want := outcome(err), o.verdict(a, ts)
	o.judge(ts, got)
	o.tried(a, &t, got)
	return o.same(fmt.Sprintf("%d settles in a transaction %s", a.owner, describe(&t)), got, o.concluded(a, before, want))
}

// sweep frees and promotes, one transaction for each sort of what is over.
func (o *outbox) sweep(a *agent, before *ledger) string {
	if a.wire.next > down {
		a.wire.skip = o.choose(5)
	}
	freed, err := a.store.Sweep(o.ctx)
	got := fmt.Sprint(outcome(err), " ", freed)
	now, want := o.now(a), 0
	l := o.ledger
	var stages []func()
	if back := a.wire.untold; back > 0 {
		stages = append(stages, func() { l.back = max(l.back, back) })
	}
	told := len(stages)
	if l.overdue(now) {
		unsettled := told > 0 || a.clock.Unsettled(o.at())
		stages = append(stages,
			func() { want = l.free(func(e entry) bool { return !unsettled && e.Over(now) }) },
			func() {
				l.step(l.ids(func(e entry) bool { return e.Stand == flow.Later }), func(c flow.Custody) flow.Custody { return c.Promote(now) })
			},
			func() { maps.DeleteFunc(l.marks, func(_ int, until int64) bool { return until <= now }) },
			func() { maps.DeleteFunc(l.tokens, func(_ string, t token) bool { return t.until <= now }) },
			func() {}, // slots, of which there are none
		)
	}
	answer := o.swept(a, stages, told, &want)
	if len(stages) == 0 && !o.server && err == nil {
		answer = "applied 0" // that nothing is over it knew without a look
	}
	return o.same(fmt.Sprintf("%d sweeps", a.owner), got, answer)
}

// swept takes the stages as far as the wire let them come.
func (o *outbox) swept(a *agent, stages []func(), told int, freed *int) string {
	if a.wire.next == down {
		return "unavailable 0"
	}
	for i, stage := range stages {
		last := a.wire.struck && i == a.wire.runs-1
		if !last || a.wire.hit == lost {
			stage()
		}
		if i < told && !last {
			a.clock = a.clock.Told(o.at(), o.ledger.back)
		}
		if last {
			if i == told {
				*freed = 0 // nobody was told how many
			}
			return fmt.Sprint("unknown ", *freed)
		}
	}
	return fmt.Sprint("applied ", *freed)
}
