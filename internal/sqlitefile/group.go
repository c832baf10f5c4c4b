package sqlitefile

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A group is the transaction that several units share. One goroutine at a time
// leads it.
type group struct {
	w     *writer
	raw   *rawConn // while a transaction is open
	jobs  []*job   // which ran well and wait for the commit
	firm  bool     // one of them must not be told to run again
	begun time.Time
}

// A turn is one unit's time on the writer. Exactly one of its ends (its own,
// and the cut-off) wins, and whoever wins leads the group on.
type turn struct {
	g     *group
	job   *job
	unit  *unitConn
	saved bool // it has a savepoint; the first of a group needs none
	over  atomic.Bool
}

// fill runs units until the group is full or nothing waits. It returns false
// when this goroutine has lost the group to another.
func (g *group) fill() bool {
	for len(g.jobs) < maxGroupUnits && (g.raw == nil || time.Since(g.begun) < g.w.work) {
		j := g.w.pop()
		if j == nil && len(g.jobs) > 0 {
			runtime.Gosched() // whoever is about to come shares this commit
			j = g.w.pop()
		}
		if j == nil {
			return true
		}
		if !g.run(j) {
			return false
		}
	}
	return true
}

// run gives one job its turn.
func (g *group) run(j *job) (leads bool) {
	t := &turn{g: g, job: j, saved: g.raw != nil && g.saves(j)}
	if err := g.begin(t.saved); err != nil {
		g.w.settle(err, j)
		if !t.saved {
			g.w.refuseWaiting(err)
		}
		return true
	}
	t.unit = newUnit(g.raw, nil)
	timer := time.AfterFunc(g.w.timeout, t.cut)
	if end := j.terms.End; end != nil {
		defer context.AfterFunc(end, func() { t.takeOver(end.Err()) })()
	}
	err := t.call()
	timer.Stop()
	if t.over.Swap(true) {
		return false
	}
	t.unit.finish()
	g.conclude(t, err)
	return true
}

// saves reports whether a job that is not the first needs a savepoint.
func (g *group) saves(j *job) bool {
	if g.w.wary > 0 {
		g.w.wary--
		return true
	}
	return g.firm || !j.terms.Again
}

// begin opens the transaction, unless it is open, or a savepoint in it.
func (g *group) begin(save bool) error {
	switch {
	case save:
		crash.Point("sqlite.savepoint")
		err := g.raw.control("SAVEPOINT unit")
		if err != nil {
			g.abort(classifyWrite(err, "savepoint"), breaksConn(err))
		}
		return classifyWrite(err, "savepoint")
	case g.raw != nil:
		return nil
	}
	raw, err := g.w.conn()
	if err != nil {
		return err
	}
	if err := raw.control("BEGIN IMMEDIATE"); err != nil {
		// Unless another program holds the file, a new connection may do what
		// this one cannot.
		if codeOf(err) != sqlite3.SQLITE_BUSY {
			g.w.discard()
		}
		return classifyWrite(err, "begin")
	}
	g.raw, g.begun = raw, time.Now()
	return nil
}

// call runs the unit's function. A function that ends its goroutine takes the
// leader with it, so somebody else must lead on.
func (t *turn) call() (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if p := recover(); p != nil {
			err = panicError(p, debug.Stack())
			return
		}
		go t.takeOver(errGoexit)
	}()
	err = t.job.unit(t.unit)
	returned = true
	return err
}

// cut ends the turn of a unit that holds the writer for too long.
func (t *turn) cut() { t.takeOver(&cutOff{t.g.w.timeout}) }

// takeOver ends the turn, unless it has ended, and leads on.
func (t *turn) takeOver(why error) {
	if t.over.Swap(true) {
		return
	}
	t.unit.revoke(errUnitOver)
	g := t.g
	g.conclude(t, why)
	if g.fill() {
		g.commit()
		g.w.lead()
	}
}

// conclude keeps what the unit did or rolls it back.
func (g *group) conclude(t *turn, err error) {
	switch {
	case t.unit.doom != nil:
		g.abort(t.unit.doom, t.unit.broken)
		if err == nil {
			err = t.unit.doom
		}
		g.w.settle(err, t.job)
	case err != nil:
		g.undo(t)
		g.w.settle(err, t.job)
	default:
		g.keep(t)
	}
}

// keep makes what the unit did part of the group.
func (g *group) keep(t *turn) {
	g.jobs = append(g.jobs, t.job)
	g.firm = g.firm || !t.job.terms.Again
	if !t.saved {
		return
	}
	if lost := g.raw.control("RELEASE unit"); lost != nil {
		g.abort(commitError(lost), true)
	}
}

// undo rolls one unit back. When that fails, SQLite has ended the transaction
// by itself: it does so when a statement that writes is interrupted.
func (g *group) undo(t *turn) {
	switch {
	case !t.saved:
		if len(g.jobs) > 0 {
			g.w.wary = waryUnits
		}
		g.abort(neighbourFailed(), false)
	case g.raw.control("ROLLBACK TO unit") != nil || g.raw.control("RELEASE unit") != nil:
		g.abort(neighbourFailed(), false)
	}
}

// neighbourFailed is for the units that were rolled back with another.
func neighbourFailed() error {
	return fault.New(fault.ErrBusy, "", "write", "another unit of the same commit failed, or was cut off, and all of it was rolled back")
}

// abort rolls the whole group back and tells its units err.
func (g *group) abort(err error, broken bool) {
	if rollback := g.raw.control("ROLLBACK"); broken || breaksConn(rollback) {
		g.w.discard()
	}
	g.raw = nil
	g.w.settle(err, g.jobs...)
	g.jobs, g.firm = nil, false
}

// commit makes the group durable and answers its units.
func (g *group) commit() {
	if g.raw == nil {
		return
	}
	var answer error
	worked := time.Since(g.begun)
	crash.Point("sqlite.commit.before")
	if err := g.raw.control("COMMIT"); err != nil {
		answer = commitError(err)
		_ = g.raw.control("ROLLBACK") // of what SQLite has not ended itself
		if breaksConn(err) || fault.Unknown(answer) {
			g.w.discard()
		}
	}
	g.w.commits.Add(1)
	crash.Point("sqlite.commit.after")
	g.w.settle(answer, g.jobs...)
	g.jobs = nil
	if answer == nil {
		g.w.log.tend(g.raw, worked)
	}
	g.raw = nil
}
