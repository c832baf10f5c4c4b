package persistence

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/internal/keys"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// An accepting is an object between Put's call and its acceptance: checked,
// encoded once, versioned, its tasks chosen. No store has seen it.
type accepting struct {
	kind     *kind
	version  version
	env      envelope.Envelope
	few      [few]envelope.Task // room for those of env
	rows     []*task            // transactional default writes at priority 0: part of acceptance
	direct   *task              // the only task, when it is one default write at priority 0 and needs no envelope
	unit     transactional.Unit
	receipt  *Receipt
	held     *held   // nil when no task is left for after acceptance
	own      held    // room for it
	external []*held // of the tasks that another program serves, each with an envelope of its own
	placed   []*task // aligned with unit.Place
	mine     bool    // this process takes the envelope in hand at once
	together bool    // who has accepted it with others hands it over with them
	byRun    bool    // the token is that of a handler's run, and a repeat may have other content
	over     bool    // a job of the queue has all of it, and nobody needs this any more
}

// acceptings are for objects whose acceptance leaves nothing in memory but a
// receipt: two kilobytes for each, most of them the envelope that the queue has.
var acceptings = sync.Pool{New: func() any { return &accepting{} }}

// recycle gives the memory to the next object, if nobody needs it any more.
func (a *accepting) recycle() {
	if a.over {
		*a = accepting{}
		acceptings.Put(a)
	}
}

// maxToken is the longest token, in bytes.
const maxToken = 128

// prepare checks and encodes an object, for a transaction or, with a nil tx,
// for itself.
func (l *Layer) prepare(ctx context.Context, k *kind, obj any, p putOptions, tx *Tx) (*accepting, error) {
	a := acceptings.Get().(*accepting)
	a.kind = k
	err := l.encode(a, obj, p)
	if err == nil {
		err = l.stamp(ctx, a, obj, p, tx)
	}
	if err == nil {
		err = l.checkOptions(k, p)
	}
	if err != nil {
		return nil, opError(p.op(), k, a.version.key, err)
	}
	if run := Current(ctx); run != nil && p.token == "" && run.layer == l && k.envelopes() {
		p.token, a.byRun = run.token(k.name, a.version.key), true
	}
	l.choose(a, obj, p)
	return a, nil
}

// opError names operation, kind and key, and keeps the class.
func opError(op string, k *kind, key string, err error) error {
	class := fault.ClassOf(err)
	if class == nil {
		return err
	}
	if fe, ok := err.(*fault.Error); ok && fe.Kind == "" && fe.Store == "" {
		named := *fe
		named.Op, named.Kind, named.Key = op, k.name, key
		return &named
	}
	return &fault.Error{Op: op, Kind: k.name, Key: key, Class: class, Err: err, Accepted: fault.Accepted(err)}
}

func invalid(format string, args ...any) error {
	return &fault.Error{Op: "put", Class: fault.ErrInvalid, Err: fmt.Errorf(format, args...)}
}

// encode validates the object and encodes it once.
func (l *Layer) encode(a *accepting, obj any, p putOptions) (err error) {
	if p.delete {
		a.version.key, a.version.deleted = p.key, true
		return checkKey(p.key)
	}
	if p.patches {
		return l.encodePatch(a, obj, p.patch)
	}
	v := value(obj)
	if a.version.key, err = a.kind.typ.KeyOf(v); err != nil {
		return err
	}
	if err = checkKey(a.version.key); err != nil {
		return err
	}
	// All of it is encoded, and so it is validated.
	if a.version.body, err = a.kind.all.Encode(v); err != nil {
		return err
	}
	for _, t := range a.kind.tasks {
		switch {
		case t.write == writeCount:
			err = t.checkCounted(obj, a.version.key)
		case t.partition != nil:
			var room [32]byte
			_, _, err = t.place(obj, room[:0])
		}
		if err != nil {
			return err
		}
	}
	if limit := a.kind.limit; limit > 0 && len(a.version.body) > limit {
		return &fault.Error{Op: "put", Class: fault.ErrTooLarge,
			Err: fmt.Errorf("the encoded object has %d bytes, and a store of its plan takes %d", len(a.version.body), limit)}
	}
	if err = l.cacheable(a.kind, obj, a.version.body); err != nil {
		return err
	}
	a.version.obj, a.version.shape = obj, a.kind.all.Shape
	return nil
}

// checkKey refuses keys that some store cannot hold.
func checkKey(key string) error {
	if keys.Plain(key) {
		return nil
	}
	switch {
	case key == "":
		return invalid("the key is empty")
	case len(key) > transactional.MaxKey:
		return invalid("the key has %d bytes; %d are possible", len(key), transactional.MaxKey)
	case !utf8.ValidString(key):
		return invalid("the key is not valid UTF-8")
	case strings.IndexByte(key, 0) >= 0:
		return invalid("the key contains a NUL byte")
	}
	return nil
}

// stamp gives the object its version: the clock's, or the user's own. In a
// transaction it must lie above everything that was read there.
func (l *Layer) stamp(ctx context.Context, a *accepting, obj any, p putOptions, tx *Tx) error {
	if err := l.skewed(); err != nil {
		return err
	}
	if tx != nil {
		l.ticks.clock.Observe(tx.read)
	}
	tick, err := l.ticks.now(ctx, tx != nil)
	if err != nil {
		return err
	}
	a.version.stamp = transactional.Stamp{Version: tick, Tie: digest(a.version.body, p.delete)}
	if a.kind.typ.Version != nil {
		err = ownVersion(a, obj, p)
	} else if p.atVersion != 0 {
		err = invalid("AtVersion is for kinds with a version field")
	}
	a.version.accepted = time.Now().UTC().Truncate(time.Microsecond)
	a.env.ID = newID(tick)
	return err
}

// ownVersion takes the version from the object, or from AtVersion.
func ownVersion(a *accepting, obj any, p putOptions) error {
	v := p.atVersion
	if !p.delete {
		v = a.kind.typ.VersionOf(value(obj))
	}
	a.version.stamp.Version = v
	if v <= 0 {
		return invalid("the version is %d; versions start at 1 (a delete takes AtVersion)", v)
	}
	return nil
}

// newID makes an envelope's id: time first, so that rows are appended.
func newID(tick int64) (id envelope.ID) {
	binary.BigEndian.PutUint64(id[:], uint64(tick))
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	return id
}

// digest breaks ties between two contents at one version; a delete wins.
func digest(body []byte, deleted bool) uint64 {
	if deleted {
		return ^uint64(0)
	}
	return record.Digest(body)
}

func (l *Layer) checkOptions(k *kind, p putOptions) error {
	if (p.create || p.hasIf) && !k.transactionalRecord() {
		return fault.New(fault.ErrUnsupported, "", "put",
			"Create, Update and IfVersion need a record that is wholly transactional")
	}
	if (p.create || p.hasIf) && k.record[0].priority != 0 {
		return fault.New(fault.ErrUnsupported, "", "put",
			"Create, Update and IfVersion need the transactional default write at priority 0")
	}
	if len(p.token) > maxToken {
		return invalid("the token has %d bytes; %d are possible", len(p.token), maxToken)
	}
	return nil
}

// choose picks the tasks of this object and puts together what acceptance
// records.
func (l *Layer) choose(a *accepting, obj any, p putOptions) {
	env := &a.env
	env.Kind, env.Key, env.Version, env.Tie = a.kind.name, a.version.key, a.version.stamp.Version, a.version.stamp.Tie
	env.Token, env.Accepted, env.Delete, env.Body = p.token, a.version.accepted, p.delete, a.version.body
	if p.delete {
		a.version.shape = a.kind.all.Shape
	}
	env.Shape = a.version.shape
	a.receipt = newReceipt(len(a.kind.tasks))
	a.receipt.Kind, a.receipt.Key, a.receipt.Version, a.receipt.Accepted = env.Kind, env.Key, env.Version, env.Accepted
	a.receipt.layer = l
	if env.Tasks = a.few[:0]; len(a.kind.tasks) > few {
		env.Tasks = make([]envelope.Task, 0, len(a.kind.tasks))
	}
	for _, t := range a.kind.tasks {
		if skip := p.delete && t.handles() && t.onDelete == nil || p.delete && t.external; skip {
			continue
		}
		if !p.delete && t.when != nil && t.write != writeCount && !t.when(obj) || a.kind.skips(t, p.patch) {
			continue
		}
		a.receipt.tasks = append(a.receipt.tasks, TaskReceipt{Name: t.name, Purpose: t.purpose, Priority: t.priority})
		if t.write == writeRow && t.priority == 0 {
			a.rows = append(a.rows, t)
			continue
		}
		env.Tasks = append(env.Tasks, remainingTask(t, env.Accepted))
	}
	if len(a.rows)+len(env.Tasks) == 1 && p.token == "" && a.receipt.tasks[0].Priority == 0 {
		a.direct = a.kind.task(a.receipt.tasks[0].Name)
	}
}

func remainingTask(t *task, accepted time.Time) envelope.Task {
	e := envelope.Task{Name: t.name}
	if t.realTime {
		e.Class = 1
	}
	if t.delay > 0 {
		e.NotBefore = accepted.Add(t.delay).UnixMicro()
	}
	return e
}

// rowWrites adds the transactional writes at priority 0 to the unit.
func (a *accepting) rowWrites(p putOptions, mode transactional.Mode) error {
	for _, t := range a.rows {
		row, err := t.rowOf(a.version.obj, a.version.stamp, a.version.deleted, a.version.key)
		if err != nil {
			return err
		}
		w := transactional.Write{Table: t.row, Row: row, Mode: mode}
		switch {
		case p.create:
			w.Mode = transactional.Insert
		case p.hasIf:
			w.Mode, w.Expect = transactional.IfVersion, p.ifVersion
		}
		a.unit.Writes = append(a.unit.Writes, w)
	}
	return nil
}

// record is the outbox row of the envelope.
func (a *accepting) record(c *outboxCustody) transactional.Record {
	rec := c.record(a.held, a.settlement())
	if a.byRun {
		rec.Digest = 0 // the same for every content
	}
	return rec
}

// settlement is where the envelope waits first.
func (a *accepting) settlement() flow.Settlement {
	return a.held.run.Settlement(a.env.Accepted.UnixMicro())
}
