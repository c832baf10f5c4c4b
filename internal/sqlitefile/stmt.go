package sqlitefile

import (
	"container/list"
	"context"
	"database/sql/driver"
	"errors"
)

// cachedStmts is how many prepared statements a connection keeps.
const cachedStmts = 256

// A stmt is a prepared statement of one connection.
type stmt struct {
	text  string
	stmt  driver.Stmt
	exec  driver.StmtExecContext
	query driver.StmtQueryContext
	place *list.Element // nil when it is not in the cache
	busy  bool          // it runs, or its rows are open
}

// A stmtCache keeps the statements that were used last.
type stmtCache struct {
	byText map[string]*stmt
	recent *list.List // of *stmt, the latest in front
}

func newStmtCache() stmtCache {
	return stmtCache{byText: map[string]*stmt{}, recent: list.New()}
}

// take returns a statement that nobody else uses; put gives it back. A text
// that runs already (a query whose callback runs the same query) gets a
// statement of its own.
func (c *stmtCache) take(conn driver.Conn, text string) (*stmt, error) {
	s := c.byText[text]
	if s != nil && !s.busy {
		s.busy = true
		c.recent.MoveToFront(s.place)
		return s, nil
	}
	prepared, err := conn.(driver.ConnPrepareContext).PrepareContext(context.Background(), text)
	if err != nil {
		return nil, err
	}
	fresh := &stmt{
		text: text, stmt: prepared, busy: true,
		exec: prepared.(driver.StmtExecContext), query: prepared.(driver.StmtQueryContext),
	}
	if s == nil {
		c.byText[text] = fresh
		fresh.place = c.recent.PushFront(fresh)
		return fresh, c.shrink()
	}
	return fresh, nil
}

func (c *stmtCache) put(s *stmt) {
	s.busy = false
	if s.place == nil {
		_ = s.stmt.Close() // repeats the error of the statement's last run
	}
}

// shrink drops what was not used for longest and does not run.
func (c *stmtCache) shrink() error {
	for e := c.recent.Back(); e != nil && c.recent.Len() > cachedStmts; {
		s := e.Value.(*stmt)
		e = e.Prev()
		if s.busy {
			continue
		}
		c.recent.Remove(s.place)
		delete(c.byText, s.text)
		_ = s.stmt.Close()
	}
	return nil
}

// knows reports whether a text was accepted before.
func (c *stmtCache) knows(text string) bool { return c.byText[text] != nil }

func (c *stmtCache) close() error {
	var errs []error
	for _, s := range c.byText {
		errs = append(errs, s.stmt.Close())
	}
	clear(c.byText)
	c.recent.Init()
	return errors.Join(errs...)
}
