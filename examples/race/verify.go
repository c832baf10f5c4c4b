package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/beanstalkd/go-beanstalk"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
)

// readers is how many reads are under way at once.
const readers = 32

// same says how what a store holds differs from what was put.
func same(store string, want, got *Checkin) error {
	if !got.At.Equal(want.At) || got.ID != want.ID || got.User != want.User || got.Venue != want.Venue || got.Text != want.Text {
		return fmt.Errorf("%s has %+v, and %+v was put", store, *got, *want)
	}
	return nil
}

// followedUp checks that every follow-up was done.
func (l *lap) followedUp() error {
	for task := range l.done {
		for i := range l.done[task] {
			if l.done[task][i].Load() == 0 {
				return fmt.Errorf("follow-up %d of %s was not done", task+1, l.objects[i].ID)
			}
		}
	}
	return nil
}

// cached checks that the cache has nearly everything: a cache may lose an entry
// at any moment, but a lap that lost many was no race.
func (l *lap) cached() error {
	if lost := int(l.lost.Load()); lost > len(l.objects)/100 && !l.waits {
		return fmt.Errorf("the cache has lost %d of %d entries", lost, len(l.objects))
	}
	return nil
}

// each calls check for slices of the check-ins, several at a time.
func (l *lap) each(size int, check func(part []Checkin) error) error {
	slots := make(chan struct{}, readers)
	var all sync.WaitGroup
	var mu sync.Mutex
	var first error
	for part := range slices.Chunk(l.objects, size) {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if err := check(part); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if first == nil {
					first = err
				}
			}
		})
	}
	all.Wait()
	return first
}

// listed checks what a query by user returned, in whatever order.
func listed(store string, want, got []Checkin) error {
	if len(got) != len(want) {
		return fmt.Errorf("%s has %d check-ins of %s, and %d were put", store, len(got), want[0].User, len(want))
	}
	slices.SortFunc(got, func(a, b Checkin) int { return a.At.Compare(b.At) })
	for i := range want {
		if err := same(store, &want[i], &got[i]); err != nil {
			return err
		}
	}
	return nil
}

// verify reads back what the entrants by hand wrote.
func (h *byHand) verify(ctx context.Context, s servers, l *lap) error {
	if err := l.followedUp(); err != nil {
		return err
	}
	if err := h.tubesEmpty(s); err != nil {
		return err
	}
	err := l.each(perUser, func(part []Checkin) error {
		return errors.Join(h.verifyRows(ctx, part), h.verifyCache(l, part), h.verifyCells(ctx, part))
	})
	return errors.Join(err, l.cached())
}

func (h *byHand) tubesEmpty(s servers) error {
	conn, err := dialQueue(s.Transitory)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, name := range tubeNames {
		stats, err := beanstalk.NewTube(conn, name).Stats()
		if errors.Is(err, beanstalk.ErrNotFound) {
			continue // it ends with its last job
		}
		for _, state := range []string{"ready", "reserved", "delayed"} {
			if n := stats["current-jobs-"+state]; err == nil && n != "0" {
				err = fmt.Errorf("tube %s has %s jobs %s", name, n, state)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (h *byHand) verifyRows(ctx context.Context, part []Checkin) error {
	rows, err := h.rows.QueryContext(ctx, "SELECT id, user, venue, at, text FROM hand_checkin WHERE user = ?", part[0].User)
	if err != nil {
		return err
	}
	defer rows.Close()
	var got []Checkin
	for rows.Next() {
		var c Checkin
		if err := rows.Scan(&c.ID, &c.User, &c.Venue, &c.At, &c.Text); err != nil {
			return err
		}
		got = append(got, c)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return listed("MySQL", part, got)
}

func (h *byHand) verifyCache(l *lap, part []Checkin) error {
	keys := make([]string, len(part))
	for i := range part {
		keys[i] = "hand:" + part[i].ID
	}
	items, err := h.cache.GetMulti(keys)
	if err != nil {
		return err
	}
	for i, key := range keys {
		if items[key] == nil {
			l.lost.Add(1)
			continue
		}
		var c Checkin
		if err := json.Unmarshal(items[key].Value, &c); err != nil {
			return err
		}
		if err := same("memcached", &part[i], &c); err != nil {
			return err
		}
	}
	return nil
}

func (h *byHand) verifyCells(ctx context.Context, part []Checkin) error {
	var got []Checkin
	var body []byte
	rows := h.cells.Query("SELECT body FROM hand_activity WHERE user = ?", part[0].User).IterContext(ctx)
	for rows.Scan(&body) {
		var c Checkin
		if err := json.Unmarshal(body, &c); err != nil {
			return err
		}
		got = append(got, c)
	}
	if err := rows.Close(); err != nil {
		return err
	}
	if err := listed("Cassandra's activity", part, got); err != nil {
		return err
	}
	for i := range part {
		if err := h.cells.Query("SELECT body FROM hand_object WHERE id = ?", part[i].ID).ScanContext(ctx, &body); err != nil {
			return err
		}
		var c Checkin
		if err := json.Unmarshal(body, &c); err != nil {
			return err
		}
		if err := same("Cassandra's object", &part[i], &c); err != nil {
			return err
		}
	}
	return nil
}

// kind returns the handle of an entrant.
func (s *system) kind(name string) *persistence.Handle[Checkin] {
	return map[string]*persistence.Handle[Checkin]{
		"now": s.now, "later": s.later, "accept": s.later, "queued": s.queued, "rowed": s.rowed,
	}[name]
}

// tables names the kind whose tables an entrant fills.
func tables(name string) string {
	if name == "accept" {
		return "later"
	}
	return name
}

// verify reads back what an entrant of Fourfold wrote, each store by itself: a
// Get would be content with the first that has the object.
func (s *system) verify(ctx context.Context, name string, l *lap) error {
	if err := errors.Join(l.followedUp(), s.settled(ctx)); err != nil {
		return err
	}
	kind := s.kind(name)
	objects, err := amorphous.NewCollection[Checkin](s.layer.Amorphous(), tables(name)+"__object", nil)
	if err != nil {
		return err
	}
	err = l.each(perUser, func(part []Checkin) error {
		where := map[string]any{"User": part[0].User}
		keys := make([]string, len(part))
		for i := range part {
			keys[i] = part[i].ID
		}
		found, err := objects.GetAll(ctx, keys...)
		for i := range part {
			if c, ok := found[part[i].ID]; err == nil && ok {
				err = same("the amorphous store", &part[i], &c)
			} else if err == nil {
				err = fmt.Errorf("the amorphous store has no %s", part[i].ID)
			}
		}
		return errors.Join(err, s.verifyCache(ctx, l, tables(name), part),
			find(ctx, kind, persistence.Query{Where: where}, "the transactional store", part),
			find(ctx, kind, persistence.Query{Task: "activity", Where: where}, "the activity", part))
	})
	return errors.Join(err, l.cached())
}

// settled checks that custody holds nothing more, unless it is to hold a backlog.
func (s *system) settled(ctx context.Context) error {
	if s.owes {
		return nil
	}
	left, err := s.layer.Drain(ctx)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("custody still has %+v", left)
	}
	if err != nil {
		return err
	}
	stats, err := s.layer.Stats(ctx)
	for _, t := range stats.Tasks {
		if t.Pending+t.Dead+t.Skipped > 0 {
			return fmt.Errorf("the layer did not do all: %s", stats)
		}
	}
	return err
}

func find(ctx context.Context, kind *persistence.Handle[Checkin], q persistence.Query, store string, part []Checkin) error {
	var got []Checkin
	for c, err := range kind.Find(ctx, q) {
		if err != nil {
			return err
		}
		got = append(got, c)
	}
	return listed(store, part, got)
}

func (s *system) verifyCache(ctx context.Context, l *lap, table string, part []Checkin) error {
	const shape = 8 // bytes in front of the object
	keys := make([]string, len(part))
	for i := range part {
		keys[i] = table + ":" + part[i].ID
	}
	entries, err := s.layer.Volatile().GetAll(ctx, keys)
	if err != nil {
		return err
	}
	for i, key := range keys {
		e, ok := entries[key]
		if !ok || len(e.Value) < shape {
			l.lost.Add(1)
			continue
		}
		var c Checkin
		if err := json.Unmarshal(e.Value[shape:], &c); err != nil {
			return err
		}
		c.ID = part[i].ID // the key stands in the entry's key
		if err := same("the cache", &part[i], &c); err != nil {
			return err
		}
	}
	return nil
}
