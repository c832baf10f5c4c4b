package sim

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/transactional"
)

// play is a history to its end, at which every record is done. Some of the
// processes are killed, so what they held is found by those who live.
func play(ctx context.Context, file transactional.Driver, t *tape, planted bug) *outbox {
	o := newOutbox(ctx, file, t)
	o.bug = planted
	o.server = o.choose(2) == 1
	for range 2 + o.choose(2) {
		o.agents = append(o.agents, o.start())
	}
	for n := 0; n < events && o.broken == ""; n++ {
		o.event()
	}
	o.drain()
	for _, a := range o.agents {
		a.store.Close()
	}
	return o
}

func newOutbox(ctx context.Context, file transactional.Driver, t *tape) *outbox {
	o := &outbox{tape: t, ctx: ctx, file: file, began: time.Now(), ledger: newLedger(), ends: map[int]int64{}, leased: map[int]question{}}
	o.empty()
	return o
}

// empty takes away what another history left.
func (o *outbox) empty() {
	err := o.file.Run(o.ctx, func(c transactional.Conn) error {
		for _, table := range []string{"outbox", "orders", "tokens", "marks", "meta"} {
			if _, err := c.Exec(o.ctx, "DELETE FROM ff_"+table); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
}

// drain lets all answers arrive until nothing is left.
func (o *outbox) drain() {
	o.note("everything is mended")
	o.mended = true
	pause := time.Second
	for round := 0; len(o.ledger.records) > 0 && o.broken == ""; round++ {
		switch {
		case round == 40:
			o.violated("%d records are never done", len(o.ledger.records))
		case round == 20 && o.server:
			// Who saw the server's clock go back was killed before it told anybody.
			pause = time.Hour
		}
		for _, a := range o.agents {
			for _, do := range []func(*agent, *ledger) string{o.sweep, o.claim, o.settle} {
				a.wire.arm(applied)
				o.actor, o.killed = a, false
				o.after(do(a, o.ledger.clone()), o.at())
			}
		}
		time.Sleep(pause)
	}
}
