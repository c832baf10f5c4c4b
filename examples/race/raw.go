package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/beanstalkd/go-beanstalk"
)

// The raw entrants are no fan-out: they do by hand what acceptance does, and
// nothing else, so that the latency of a Put has something to be held against.
const (
	rawTube  = "hand-raw"
	rawTable = "CREATE TABLE IF NOT EXISTS hand_outbox (id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, " +
		"state INT NOT NULL, lane VARCHAR(64) NOT NULL, due BIGINT NOT NULL, progress BLOB NOT NULL, body MEDIUMBLOB NOT NULL, " +
		"INDEX claimed (state, lane, due)) ENGINE=InnoDB"
	insertOutbox = "INSERT INTO hand_outbox (id, state, lane, due, progress, body) VALUES (?, 0, 'race', ?, ?, ?)"
)

// progress stands for what an envelope says of its tasks.
var progress = make([]byte, 250)

// rawPut puts one job, as large as an envelope, over a connection of its own.
func rawPut(queue string) (putter, func(), error) {
	conn, err := dialQueue(queue)
	if err != nil {
		return nil, nil, err
	}
	tube := beanstalk.NewTube(conn, rawTube)
	return func(_ context.Context, c *Checkin) error {
		body, err := json.Marshal(c)
		if err == nil {
			_, err = tube.Put(append(body, progress...), 1, 0, time.Minute)
		}
		return err
	}, func() { _ = conn.Close() }, nil
}

// rawTx writes a row and an envelope in a transaction of prepared statements.
func rawTx(ctx context.Context, db *sql.DB) (putter, func(), error) {
	if _, err := db.ExecContext(ctx, rawTable); err != nil {
		return nil, nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	row, err := conn.PrepareContext(ctx, upsertRow)
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	envelope, err := conn.PrepareContext(ctx, insertOutbox)
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return func(ctx context.Context, c *Checkin) error {
		body, err := json.Marshal(c)
		if err != nil {
			return err
		}
		for _, step := range []func() error{
			func() error { _, err := conn.ExecContext(ctx, "START TRANSACTION"); return err },
			func() error { _, err := row.ExecContext(ctx, c.ID, c.User, c.Venue, c.At, c.Text); return err },
			func() error { _, err := envelope.ExecContext(ctx, c.ID, c.At.UnixMicro(), progress, body); return err },
			func() error { _, err := conn.ExecContext(ctx, "COMMIT"); return err },
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	}, func() { _ = conn.Close() }, nil
}

// rawLap times one of them.
func (r *race) rawLap(ctx context.Context, l *lap, make func() (putter, func(), error)) (reading, error) {
	var puts []putter
	for range l.callers {
		put, done, err := make()
		if err != nil {
			return reading{}, err
		}
		defer done()
		puts = append(puts, put)
	}
	return r.time(ctx, l, puts, nil, func() error { return nil })
}

// clearRaw removes the jobs of a raw lap, and counts them.
func (r *race) clearRaw(l *lap) error {
	conn, err := dialQueue(r.servers.Transitory)
	if err != nil {
		return err
	}
	defer conn.Close()
	jobs := beanstalk.NewTubeSet(conn, rawTube)
	for range l.objects {
		id, _, err := jobs.Reserve(time.Second)
		if err == nil {
			err = conn.Delete(id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
