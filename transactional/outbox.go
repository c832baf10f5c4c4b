package transactional

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func idArg(id RecordID) any { return append(make([]byte, 0, len(id)), id[:]...) }

func compareIDs(a, b RecordID) int { return bytes.Compare(a[:], b[:]) }

// moment is the time of a wave: the server's where other processes share the
// database, and zero when nothing in the units depends on it.
func (s *Store) moment(ctx context.Context, c Conn, jobs []*job) (int64, error) {
	for _, j := range jobs {
		if len(j.unit.Settle) > 0 || slices.ContainsFunc(j.adds, (*add).timed) {
			return s.clock.now(ctx, s, c)
		}
	}
	return 0, nil
}

// timed reports whether a record's row depends on the moment.
func (a *add) timed() bool { return a.Token != "" || a.Owner != 0 || !a.Due.IsZero() }

// A remembered is a token that was accepted before.
type remembered struct {
	id     RecordID
	digest uint64
	until  int64
}

// checkTokens decides the units whose tokens were accepted before, and removes
// tokens that are past their time.
func (s *Store) checkTokens(ctx context.Context, c Conn, jobs []*job, now int64) error {
	var asked []*add
	for _, j := range jobs {
		for _, a := range j.adds {
			if a.Token != "" {
				asked = append(asked, a)
			}
		}
	}
	slices.SortFunc(asked, func(a, b *add) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Token, b.Token))
	})
	for len(asked) > 0 {
		n := 1
		for n < len(asked) && n < maxChunk && asked[n].Kind == asked[0].Kind {
			n++
		}
		found, err := s.readTokens(ctx, c, asked[:n])
		if err != nil {
			return err
		}
		for _, a := range asked[:n] {
			if before, there := found[a.Token]; there {
				if err := s.meetToken(ctx, c, a, before, now); err != nil {
					return err
				}
			}
		}
		asked = asked[n:]
	}
	return nil
}

// readTokens reads and locks the tokens of one kind.
func (s *Store) readTokens(ctx context.Context, c Conn, asked []*add) (map[string]remembered, error) {
	found := map[string]remembered{}
	err := inChunks(asked, func(a *add) any { return a.Token }, func(args []any) error {
		query := s.ours.tokens.text(len(args))
		return c.Query(ctx, query, append([]any{asked[0].Kind}, args...), func(scan func(...any) error) error {
			var (
				token  string
				id     []byte
				digest int64
				r      remembered
			)
			if err := scan(&token, &id, &digest, &r.until); err != nil {
				return err
			}
			copy(r.id[:], id)
			r.digest = uint64(digest)
			found[token] = r
			return nil
		})
	})
	return found, err
}

func (s *Store) meetToken(ctx context.Context, c Conn, a *add, before remembered, now int64) error {
	switch {
	case before.until <= now:
		_, err := c.Exec(ctx, s.ours.deleteToken, a.Kind, a.Token)
		return err
	case before.digest != a.Digest:
		e := fault.New(fault.ErrConflict, purpose, "add", "the token was accepted before, with other content")
		e.Kind, e.Key = a.Kind, a.Key
		a.job.try.fail(e)
	default:
		if a.job.try.result.Repeats == nil {
			a.job.try.result.Repeats = make([]RecordID, len(a.job.unit.Add))
		}
		a.job.try.result.Repeats[a.index] = before.id
		a.job.try.out = true
	}
	return nil
}

// addRecords inserts records with their tokens and orders.
func (s *Store) addRecords(ctx context.Context, c Conn, jobs []*job, now int64) error {
	var adds, tokens []*add
	type order struct {
		Order
		id RecordID
	}
	var orders []order
	lease := time.Duration(0)
	for _, j := range jobs {
		if j.try.out {
			continue
		}
		for _, a := range j.adds {
			adds = append(adds, a)
			lease = max(lease, a.Lease)
			if a.Token != "" {
				tokens = append(tokens, a)
			}
			for _, o := range a.Orders {
				orders = append(orders, order{o, a.ID})
			}
		}
	}
	if len(adds) == 0 {
		return nil
	}
	s.clock.leased(lease)
	slices.SortFunc(tokens, func(a, b *add) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Token, b.Token))
	})
	err := s.chunked(ctx, c, &s.ours.insertToken, len(tokens), 5, func(args []any, i int) []any {
		t := tokens[i]
		return append(args, t.Kind, t.Token, idArg(t.ID), int64(t.Digest), now+t.Remember.Microseconds())
	})
	if err != nil {
		return err
	}
	slices.SortFunc(orders, func(a, b order) int {
		return cmp.Or(cmp.Compare(a.Task, b.Task), cmp.Compare(a.Key, b.Key), compareIDs(a.id, b.id))
	})
	err = s.chunked(ctx, c, &s.ours.insertOrder, len(orders), 3, func(args []any, i int) []any {
		return append(args, orders[i].Task, orders[i].Key, idArg(orders[i].id))
	})
	if err != nil {
		return err
	}
	slices.SortFunc(adds, func(a, b *add) int { return compareIDs(a.ID, b.ID) })
	width := len(ourTable("outbox").columns)
	return s.chunked(ctx, c, &s.ours.insertRecord, len(adds), width, func(args []any, i int) []any {
		return adds[i].append(args, now)
	})
}

// append appends the arguments of a record's row, in the order of the
// outbox's columns.
func (a *add) append(args []any, now int64) []any {
	row := flow.Accept(now, a.Owner, a.Lease.Microseconds(), micros(a.Due))
	queue, sort := placeOf(row, a.Lane, a.Priority)
	return append(args, idArg(a.ID), int64(row.Stand), queue, sort, int64(row.Owner),
		int64(0), int64(0), int64(0), int64(len(a.Orders)),
		a.Kind, a.Key, a.Lane, int64(a.Priority),
		row.Due, micros(a.AcceptedAt), a.Token, int64(a.Digest), a.progress, a.body)
}

// scanRecord scans claimColumns, without the body when walking.
func scanRecord(scan func(...any) error, walking bool) (Record, int, error) {
	var (
		r                                                Record
		id                                               []byte
		owner, seq, lost, orders, priority, due, at, sum int64
	)
	dest := []any{
		&id, &owner, &seq, &lost, &orders, &r.Kind, &r.Key, &r.Lane, &priority,
		&due, &at, &r.Token, &sum, &r.Progress, &r.Body,
	}
	if walking {
		dest = dest[:len(dest)-1]
	}
	if err := scan(dest...); err != nil {
		return r, 0, err
	}
	copy(r.ID[:], id)
	r.Owner, r.Seq, r.Lost, r.Digest = uint64(owner), uint64(seq), int(lost), uint64(sum)
	r.Priority, r.Due, r.AcceptedAt = uint32(priority), fromMicros(due), fromMicros(at)
	return r, int(orders), nil
}

// fillOrders adds the orders that records still hold.
func (s *Store) fillOrders(ctx context.Context, c Conn, records []Record, ordered []int) error {
	if len(ordered) == 0 {
		return nil
	}
	at := make(map[RecordID]*Record, len(ordered))
	ids := make([]RecordID, len(ordered))
	for i, k := range ordered {
		at[records[k].ID] = &records[k]
		ids[i] = records[k].ID
	}
	held, err := s.heldOrders(ctx, c, ids)
	for _, h := range held {
		r := at[h.id]
		r.Orders = append(r.Orders, h.Order)
	}
	return err
}

// A heldOrder is an order that a record holds.
type heldOrder struct {
	Order
	id RecordID
}

func (s *Store) heldOrders(ctx context.Context, c Conn, ids []RecordID) ([]heldOrder, error) {
	var out []heldOrder
	err := inChunks(ids, idArg, func(args []any) error {
		return c.Query(ctx, s.ours.ordersOf.text(len(args)), args, func(scan func(...any) error) error {
			var (
				h  heldOrder
				id []byte
			)
			if err := scan(&h.Task, &h.Key, &id); err != nil {
				return err
			}
			copy(h.id[:], id)
			out = append(out, h)
			return nil
		})
	})
	slices.SortFunc(out, func(a, b heldOrder) int {
		return cmp.Or(cmp.Compare(a.Task, b.Task), cmp.Compare(a.Key, b.Key), compareIDs(a.id, b.id))
	})
	return out, err
}

// Find returns a record that is still there, or the mark of one that is done
// (mark non-nil), or fault.ErrNotFound.
func (s *Store) Find(ctx context.Context, id RecordID) (rec Record, mark []byte, err error) {
	if err := s.open(ctx); err != nil {
		return rec, nil, s.locate(err, "find", nil, "")
	}
	found := false
	err = s.view(ctx, func(c Conn) error {
		found, mark = false, nil
		records, err := s.queryRecords(ctx, c, s.ours.find.text(1), []any{idArg(id)})
		if err != nil || len(records) > 0 {
			if len(records) > 0 {
				rec, found = records[0], true
			}
			return err
		}
		return c.Query(ctx, s.ours.mark, []any{idArg(id)}, func(scan func(...any) error) error {
			err := scan(&mark)
			if mark == nil {
				mark = []byte{}
			}
			return err
		})
	})
	if err == nil && !found && mark == nil {
		return rec, nil, &fault.Error{Op: "find", Store: purpose, Key: id.String(), Class: fault.ErrNotFound}
	}
	if err != nil {
		return Record{}, nil, s.explain(ctx, err, "find", nil)
	}
	return rec, mark, nil
}

// queryRecords reads whole records with their orders.
func (s *Store) queryRecords(ctx context.Context, c Conn, query string, args []any) ([]Record, error) {
	var (
		out     []Record
		ordered []int
	)
	err := c.Query(ctx, query, args, func(scan func(...any) error) error {
		r, orders, err := scanRecord(scan, false)
		if orders > 0 {
			ordered = append(ordered, len(out))
		}
		out = append(out, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, s.fillOrders(ctx, c, out, ordered)
}

// walkPage is how many records Walk reads at a time.
const walkPage = 512

// Walk calls fn for every record that is there, in id order, bodies left out,
// until fn returns false. It reads in pages, so records that come or go
// meanwhile may or may not be seen.
func (s *Store) Walk(ctx context.Context, fn func(Record) bool) error {
	if err := s.open(ctx); err != nil {
		return s.locate(err, "walk", nil, "")
	}
	for last := []byte{}; ; {
		var page []Record
		err := s.view(ctx, func(c Conn) (err error) {
			page, err = s.walkPage(ctx, c, last)
			return err
		})
		if err != nil {
			return s.explain(ctx, err, "walk", nil)
		}
		for _, r := range page {
			if !fn(r) {
				return nil
			}
		}
		if len(page) < walkPage {
			return nil
		}
		last = page[len(page)-1].ID[:]
	}
}

func (s *Store) walkPage(ctx context.Context, c Conn, after []byte) ([]Record, error) {
	var (
		page    []Record
		ordered []int
	)
	err := c.Query(ctx, s.ours.walk, []any{after, int64(walkPage)}, func(scan func(...any) error) error {
		r, orders, err := scanRecord(scan, true)
		if orders > 0 {
			ordered = append(ordered, len(page))
		}
		page = append(page, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return page, s.fillOrders(ctx, c, page, ordered)
}
