package sqlitefile

import (
	"database/sql/driver"
	"errors"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
)

// logLimits are the lengths of the write-ahead log, in pages of 4 KiB, at which
// something is done about it.
type logLimits struct {
	work time.Duration // of units, before the length is looked at again: that costs 5 µs

	pass   int // not copied: start copying beside the writer
	short  int // not copied: short enough for the writer to finish it between two groups
	long   int // in all: worth starting over
	atMost int // in all: the writer waits until it is copied
}

// The log may grow long before it is copied, since a page that changes often is
// then copied once: with a pass at 1000 pages a load of scattered rows wrote a
// third more to the disk.
var usualLog = logLimits{work: time.Millisecond, pass: 8000, short: 256, long: 16000, atMost: 32000}

// A logKeeper copies the write-ahead log into the database. Left to itself
// SQLite does that inside a commit whenever the log has 1000 pages, and all of
// the group waits for the scattered writes and for two more fsyncs. The keeper
// copies on a connection of its own, beside the writer. But only a log that is
// copied to its last page starts over, and under load new pages come all the
// time; so the little that then remains is copied by the writer itself.
type logKeeper struct {
	open   func() (*rawConn, error)
	limits logLimits

	mu     sync.Mutex // held while anybody copies
	passes sync.WaitGroup
	raw    *rawConn // the keeper's connection, nil until it is needed; guarded by mu

	// What follows is the leader's.
	worked time.Duration // by units since the length was looked at
	tried  int           // pages of the log when the writer last finished it
}

func newLogKeeper(open func() (*rawConn, error)) *logKeeper {
	return &logKeeper{open: open, limits: usualLog}
}

// tend is called by the leader between two groups, with its connection and the
// time that the units of the last group took.
func (k *logKeeper) tend(writer *rawConn, worked time.Duration) {
	if k.worked += worked; k.worked < k.limits.work {
		return
	}
	k.worked = 0
	pages, copied, err := writer.checkpoint("NOOP")
	if err != nil {
		return // the next commit tells
	}
	rest := pages - copied
	if pages < k.tried {
		k.tried = 0 // it has started over
	}
	switch {
	case pages >= k.limits.atMost && pages-k.tried >= k.limits.pass:
		k.mu.Lock() // a pass that runs has most of the work behind it
		k.finish(writer)
	case pages >= k.limits.long && rest > 0 && rest <= k.limits.short && pages-k.tried >= k.limits.short:
		if k.mu.TryLock() {
			k.finish(writer)
		}
	case rest >= k.limits.pass:
		if k.mu.TryLock() {
			k.passes.Go(k.pass)
		}
	}
}

// finish copies what remains, so that the log starts over, unless somebody
// still reads from it. It gives the mutex back.
func (k *logKeeper) finish(writer *rawConn) {
	defer k.mu.Unlock()
	crash.Point("sqlite.log.finish")
	pages, _, err := writer.checkpoint("PASSIVE")
	if err == nil {
		k.tried = pages
	}
}

// pass copies the log beside the writer, and gives the mutex back. An error
// loses nothing: what was not copied stays in the log, and is copied again by
// the next pass on a new connection.
func (k *logKeeper) pass() {
	defer k.mu.Unlock()
	if k.raw == nil {
		raw, err := k.open()
		if err != nil {
			return
		}
		k.raw = raw
	}
	crash.Point("sqlite.log.pass")
	if _, _, err := k.raw.checkpoint("PASSIVE"); err != nil {
		_ = k.raw.close() // it is broken, and says so
		k.raw = nil
	}
}

// close waits for a pass that runs. No leader may be left.
func (k *logKeeper) close() error {
	k.passes.Wait()
	if k.raw == nil {
		return nil
	}
	return Classify(k.raw.close(), "close")
}

// checkpoint runs a checkpoint and returns the pages of the log, and how many
// of them are copied.
func (c *rawConn) checkpoint(mode string) (pages, copied int, err error) {
	s, rows, err := c.query(&c.own, "PRAGMA wal_checkpoint("+mode+")", nil)
	if err != nil {
		return 0, 0, err
	}
	defer c.own.put(s)
	var row [3]driver.Value
	err = rows.Next(row[:])
	if closeErr := rows.Close(); err != nil || closeErr != nil {
		return 0, 0, errors.Join(err, closeErr)
	}
	var busy int
	return pages, copied, scanRow(row[:], []any{&busy, &pages, &copied})
}
