package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// MariaDB prepares a compound statement outside of stored programs, with
// placeholders in what it consists of. MySQL has no such thing, and there a unit
// goes statement by statement.
const (
	compoundBegin = "BEGIN NOT ATOMIC START TRANSACTION; "
	compoundEnd   = "COMMIT; END"
	// An upsert of one row counts it once when it was inserted, twice when it was
	// replaced, and not at all when it was left alone. An error ends the compound
	// before COMMIT.
	unlessWon = "IF ROW_COUNT() = 0 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'apart'; END IF; "
)

// compoundOf is one statement for all of a sequence.
func compoundOf(statements []transactional.Statement) (text string, args []any) {
	size, n := len(compoundBegin)+len(compoundEnd), 0
	for i := range statements {
		size, n = size+len(statements[i].Text)+len(unlessWon)+2, n+len(statements[i].Args)
	}
	var b strings.Builder
	b.Grow(size)
	args = make([]any, 0, n)
	b.WriteString(compoundBegin)
	for i := range statements {
		s := &statements[i]
		b.WriteString(s.Text)
		b.WriteString("; ")
		if s.Wins {
			b.WriteString(unlessWon)
		}
		args = append(args, s.Args...)
	}
	b.WriteString(compoundEnd)
	return b.String(), args
}

// RunSequence implements transactional.Sequencer.
func (d *database) RunSequence(ctx context.Context, ready func() error, statements []transactional.Statement) (done bool, err error) {
	if !d.ours {
		return false, nil // what is set on a caller's connections is not known
	}
	sc, err := d.take(ctx)
	if err != nil {
		return false, err
	}
	able := false
	err = sc.Raw(func(dc any) error { able = dc.(*session).maria; return nil })
	if err == nil && able {
		err = ready()
	}
	if err != nil || !able {
		sc.Close()
		return false, err
	}
	text, args := compoundOf(statements)
	sent := false
	err = sc.Raw(func(dc any) (err error) {
		sent, err = dc.(*session).execOnce(ctx, text, args)
		return err
	})
	switch {
	case err == nil:
		sc.Close()
		return true, nil
	case !sent:
		discard(sc)
		return false, nil
	}
	return false, d.broken(sc, err)
}

// broken ends a sequence that failed. It is nil when nothing is applied, and
// sending the statements one by one may end otherwise or tells more.
func (d *database) broken(sc *sql.Conn, err error) error {
	var server *mysql.MySQLError
	if !errors.As(err, &server) {
		discard(sc)
		return classify(err, committing)
	}
	// Where a transaction is still open, it was not COMMIT that was refused.
	at := committing
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var open string
	if ask(ctx, sc, "SELECT @@in_transaction", &open) == nil && open == "1" {
		at = executing
	}
	err = classify(err, at)
	d.rollback(sc, readOnly(server.Number) || classes[server.Number] == fault.ErrUnavailable)
	if at == committing || errors.Is(err, fault.ErrBusy) || errors.Is(err, fault.ErrUnavailable) {
		return err
	}
	return nil
}

// execOnce executes a statement with arguments as a caller gives them, and never
// once more: START TRANSACTION would commit what the first time has left open. sent
// is whether the server may have begun.
func (s *session) execOnce(ctx context.Context, query string, args []any) (sent bool, err error) {
	stmt, err := s.prepare(ctx, query)
	if err != nil {
		return false, err
	}
	err = s.withArgs(args, func(named []driver.NamedValue) error {
		_, err := stmt.(driver.StmtExecContext).ExecContext(ctx, named)
		return err
	})
	var server *mysql.MySQLError
	if errors.As(err, &server) && slices.Contains(stale, server.Number) {
		s.forget(s.byText[query])
	}
	return !errors.Is(err, driver.ErrBadConn) && !errors.Is(err, mysql.ErrPktTooLarge), err
}
