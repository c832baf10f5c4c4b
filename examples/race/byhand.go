package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"github.com/beanstalkd/go-beanstalk"
	"github.com/bradfitz/gomemcache/memcache"
)

// byHand is what a careful program writes with the four clients: one pool of
// connections and one prepared statement for MySQL, one client for memcached,
// one session for Cassandra, which prepares, and sends each row to the server
// that has it.
type byHand struct {
	rows   *sql.DB
	upsert *sql.Stmt
	cache  *memcache.Client
	cells  *gocql.Session
}

// A hand is one of its workers. It has a connection to the queue of its own:
// the client is fastest so.
type hand struct {
	*byHand
	notify, index *beanstalk.Tube
}

const (
	upsertRow = "INSERT INTO hand_checkin (id, user, venue, at, text) VALUES (?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE " +
		"user = VALUES(user), venue = VALUES(venue), at = VALUES(at), text = VALUES(text)"
	insertActivity = "INSERT INTO hand_activity (user, at, id, body) VALUES (?, ?, ?, ?)"
	insertObject   = "INSERT INTO hand_object (id, body) VALUES (?, ?)"
)

// steps are what one check-in causes.
func (h *hand) steps(ctx context.Context, c *Checkin, body []byte) []func() error {
	return []func() error{
		func() error {
			_, err := h.upsert.ExecContext(ctx, c.ID, c.User, c.Venue, c.At, c.Text)
			return err
		},
		func() error {
			return h.cache.Set(&memcache.Item{Key: "hand:" + c.ID, Value: body, Expiration: 3600})
		},
		func() error { return h.cells.Query(insertActivity, c.User, c.At, c.ID, body).ExecContext(ctx) },
		func() error { return h.cells.Query(insertObject, c.ID, body).ExecContext(ctx) },
		func() error { _, err := h.notify.Put(body, 100, 0, time.Minute); return err },
		func() error { _, err := h.index.Put(body, 1000, 0, time.Minute); return err },
	}
}

// inTurn does one step after the other.
func (h *hand) inTurn(ctx context.Context, c *Checkin) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	for _, step := range h.steps(ctx, c, body) {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// sideBySide does all steps at once, and waits for the last.
func (h *hand) sideBySide(ctx context.Context, c *Checkin) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	steps := h.steps(ctx, c, body)
	errs := make([]error, len(steps))
	var all sync.WaitGroup
	for i, step := range steps {
		all.Go(func() { errs[i] = step() })
	}
	all.Wait()
	return errors.Join(errs...)
}

// follow does the follow-up jobs of one tube, until ctx ends and the connection
// is closed.
func follow(ctx context.Context, queue *beanstalk.Conn, tube string, do func(c *Checkin)) error {
	jobs := beanstalk.NewTubeSet(queue, tube)
	for {
		id, body, err := jobs.Reserve(time.Hour)
		if err == nil {
			var c Checkin
			if err = json.Unmarshal(body, &c); err == nil {
				err = queue.Delete(id)
				do(&c) // only notes it
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errors.Is(err, beanstalk.ErrTimeout):
			return err
		}
	}
}
