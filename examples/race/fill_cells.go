package main

import (
	"context"
	"errors"
	"strings"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
)

// amorphousShare is which part of what is stored the wide-column store gets: a
// write costs it the same, whatever it holds, and it would take an hour to fill.
const amorphousShare = 10

// A cell is a row of ours in Cassandra.
type cell struct {
	part, id  string
	order     []byte
	shape     int64
	body      []byte
	version   int64
	of        int    // which of the check-ins
	statement string // writes it
}

// cells adds n check-ins to the two tables of a kind, copies of those of a lap.
func (f *filler) cells(ctx context.Context, kind string, l *lap, n int) error {
	session, err := openCells(f.servers.Amorphous, 0)
	if err != nil {
		return err
	}
	defer session.Close()
	const most = 1000 // of the lap's
	seeds, at := l.objects[:min(most, len(l.objects))], map[string]int{}
	for i := range seeds {
		at[seeds[i].ID] = i
	}
	var all []cell
	for _, table := range []string{kind + "__object", kind + "__activity"} {
		table = `"` + f.namespace + "_" + table + `"`
		into := "INSERT INTO " + table + " (part, ord, id, shape, cell) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?"
		for i := range seeds {
			part := seeds[i].ID
			if strings.HasSuffix(table, `activity"`) {
				if part = seeds[i].User; i%perUser > 0 {
					continue
				}
			}
			rows := session.Query("SELECT part, ord, id, shape, cell, writetime(cell) FROM "+table+" WHERE part = ?", part).IterContext(ctx)
			c := cell{statement: into}
			for rows.Scan(&c.part, &c.order, &c.id, &c.shape, &c.body, &c.version) {
				c.of, c.order = at[c.id], append([]byte{}, c.order...) // not null where it is empty
				all = append(all, c)
				c = cell{statement: into}
			}
			if err := rows.Close(); err != nil {
				return err
			}
		}
	}
	return f.copyCells(ctx, session, l, seeds, all, n)
}

// copyCells writes copies in batches, several at a time.
func (f *filler) copyCells(ctx context.Context, session *gocql.Session, l *lap, seeds []Checkin, all []cell, n int) error {
	const batch = 40 // rows: less than the 50 KiB that Cassandra takes at most
	slots := make(chan error, 16)
	for range cap(slots) {
		slots <- nil
	}
	var failed error
	for block := 1; n > 0 && failed == nil; block++ {
		objects := f.block(l, block)
		b := session.Batch(gocql.UnloggedBatch)
		for i, c := range all {
			if to := &objects[c.of]; c.of < n {
				as := strings.NewReplacer(seeds[c.of].ID, to.ID, seeds[c.of].User, to.User)
				b.Query(c.statement, as.Replace(c.part), c.order, to.ID, c.shape, []byte(as.Replace(string(c.body))), c.version)
			}
			if b.Size() == batch || i == len(all)-1 && b.Size() > 0 {
				failed = errors.Join(failed, <-slots)
				full := b
				go func() { slots <- full.ExecContext(ctx) }()
				b = session.Batch(gocql.UnloggedBatch)
			}
		}
		n -= len(seeds)
	}
	for range cap(slots) {
		failed = errors.Join(failed, <-slots)
	}
	return failed
}
