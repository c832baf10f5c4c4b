package persistence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A mark is what is left of a finished envelope for a while, so that its
// receipt can be asked for.
type mark struct {
	Kind     string            `json:"k"`
	Key      string            `json:"i"`
	Version  int64             `json:"v"`
	Token    string            `json:"t,omitempty"`
	Accepted int64             `json:"a"`           // µs
	Other    map[string]string `json:"o,omitempty"` // tasks that ended otherwise than done
}

// mark makes the mark of a finished envelope.
func (h *held) mark() []byte {
	m := mark{Kind: h.kind.name, Key: h.env.Key, Version: h.env.Version, Token: h.env.Token, Accepted: h.env.Accepted.UnixMicro()}
	for i := range h.run.Tasks {
		if s := h.run.Tasks[i].State; s > flow.Done {
			if m.Other == nil {
				m.Other = map[string]string{}
			}
			m.Other[h.env.Tasks[i].Name] = markStates[s]
		}
	}
	out, err := json.Marshal(m)
	if err != nil {
		return nil // a mark of strings and numbers always encodes
	}
	return out
}

var markStates = map[flow.State]string{flow.Superseded: "superseded", flow.Skipped: "skipped", flow.Dead: "dead"}

// Receipt tells what became of a Put, by the ID of its receipt: for a caller
// whose answer was lost. Finished envelopes are remembered for fifteen minutes,
// those with a token for Options.Remember; past that it is fault.ErrNotFound.
// In transitory custody it knows what this process put and nobody finished.
func (l *Layer) Receipt(ctx context.Context, id string) (*Receipt, error) {
	if err := l.open("receipt"); err != nil {
		return nil, err
	}
	eid, ok := envelope.ParseID(id)
	if !ok {
		return nil, fault.New(fault.ErrInvalid, "", "receipt", "an id has 32 hexadecimal digits")
	}
	if l.rows != nil {
		rec, done, err := l.rows.Find(ctx, transactional.RecordID(eid))
		switch {
		case err == nil && done != nil:
			return l.receiptOfMark(ctx, eid, done)
		case err == nil:
			return l.receiptOfRecord(ctx, &rec, eid)
		case fault.ClassOf(err) != fault.ErrNotFound:
			return nil, err
		}
	}
	if r := l.engine.followed(transactional.RecordID(eid)); r != nil {
		return r, nil
	}
	if l.rows != nil {
		if r, err := l.receiptOfExternal(ctx, eid); r != nil || err != nil {
			return r, err
		}
	}
	return nil, fault.New(fault.ErrNotFound, "", "receipt", "no envelope with this id is remembered")
}

func (l *Layer) receiptOfMark(ctx context.Context, id envelope.ID, data []byte) (*Receipt, error) {
	var m mark
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, &fault.Error{Op: "receipt", Class: fault.ErrCorrupt, Err: err}
	}
	r := &Receipt{ID: id.String(), Kind: m.Kind, Key: m.Key, Version: m.Version, Accepted: time.UnixMicro(m.Accepted).UTC(),
		Custody: TransactionalCustody, Durability: l.rows.Features().Durability, layer: l}
	if k := l.kindOf(m.Kind); k != nil {
		for _, t := range k.tasks {
			state := TaskDone
			for s := TaskDone; s <= TaskDead; s++ {
				if m.Other[t.name] == s.String() {
					state = s
				}
			}
			r.tasks = append(r.tasks, TaskReceipt{Name: t.name, Purpose: t.purpose, Priority: t.priority, State: state})
		}
		return r, l.findOthers(ctx, r, k, m.Token, id)
	}
	return r, nil
}

// findOthers corrects a receipt for what its envelope does not tell: tasks that
// went alone, and those that died.
func (l *Layer) findOthers(ctx context.Context, r *Receipt, k *kind, token string, id envelope.ID) error {
	if err := l.findExternal(ctx, r, k, id); err != nil {
		return err
	}
	return l.findDead(ctx, r, k, token)
}

// findDead marks the tasks of a receipt dead that have a dead letter. Custody
// forgets a task when it is final, and its letter stays.
func (l *Layer) findDead(ctx context.Context, r *Receipt, k *kind, token string) error {
	for i := range r.tasks {
		t := &r.tasks[i]
		if t.State != TaskDone {
			continue
		}
		id := taskID(k.name, r.Key, t.Name, token, r.Version)
		letters, err := l.rows.DeadLetters(ctx, transactional.DeadFilter{After: before(id), Limit: 1})
		if err != nil {
			return err
		}
		if len(letters) > 0 && letters[0].ID == id {
			t.State = TaskDead
		}
	}
	return nil
}

func (l *Layer) receiptOfRecord(ctx context.Context, rec *transactional.Record, id envelope.ID) (*Receipt, error) {
	env, err := envelope.Decode(rec.Body)
	if err != nil {
		return nil, err
	}
	left, err := envelope.DecodeTasks(rec.Progress)
	if err != nil {
		return nil, err
	}
	r := &Receipt{ID: id.String(), Kind: env.Kind, Key: env.Key, Version: env.Version, Accepted: env.Accepted,
		Custody: TransactionalCustody, Durability: l.rows.Features().Durability, layer: l}
	waiting := map[string]bool{}
	for _, t := range left {
		waiting[t.Name] = true
	}
	k := l.kindOf(rec.Kind)
	if k == nil {
		return r, nil
	}
	for _, t := range k.tasks {
		state := TaskDone
		if waiting[t.name] {
			state = TaskPending
		}
		r.tasks = append(r.tasks, TaskReceipt{Name: t.name, Purpose: t.purpose, Priority: t.priority, State: state})
	}
	return r, l.findOthers(ctx, r, k, env.Token, id)
}

// letter makes the dead letter of a task.
func (h *held) letter(i int, t *flow.Task) transactional.DeadLetter {
	name := h.env.Tasks[i].Name
	env := *h.env
	env.Tasks = []envelope.Task{{Name: name, Attempts: t.Attempts, Since: t.Since}}
	return transactional.DeadLetter{
		ID:   taskID(h.kind.name, env.Key, name, env.Token, env.Version),
		Kind: h.kind.name, Key: env.Key, Task: name, Reason: oneLine(t.Reason), Detail: detail(h.reason[i]),
		Attempts: t.Attempts, Accepted: env.FirstAccepted(), Died: time.Now().UTC().Truncate(time.Microsecond),
		Envelope: env.Append(nil),
	}
}

// oneLine keeps a reason short and printable.
func oneLine(s string) string {
	const most = 300
	out := []rune(s)
	if len(out) > most {
		out = append(out[:most], '…')
	}
	for i, r := range out {
		if r < ' ' || r == 0x7f {
			out[i] = ' '
		}
	}
	return string(out)
}

// purge removes tombstones past the horizon, where the stores do not do so by
// themselves.
func (l *Layer) purge(ctx context.Context) {
	before := time.Now().Add(-l.opts.Horizon)
	for _, k := range l.declared() {
		for _, t := range k.tasks {
			var err error
			switch {
			case t.write == writeRow && k.typ.Version == nil:
				_, err = l.rows.PurgeTombstones(ctx, t.row, before.UnixMicro())
			case t.write == writeCell:
				if _, err = l.bookOf(ctx, k, t); err == nil {
					_, err = l.cells.Purge(ctx, t.table(), before)
				}
				if err == nil && t.registered() {
					_, err = l.rows.PurgePlaces(ctx, t.cell.Name, before)
				}
			case t.write == writeCount:
				err = t.count.counter.Purge(ctx, before)
			case t.write == writeDerived:
				for _, table := range t.derive.rows.Tables() {
					_, failed := l.cells.Purge(ctx, table, before)
					err = errors.Join(err, failed)
				}
			}
			if err != nil && ctx.Err() == nil {
				l.log.Debug("purging tombstones failed", "task", fmt.Sprint(k.name, "/", t.name), "error", err)
			}
		}
	}
}
