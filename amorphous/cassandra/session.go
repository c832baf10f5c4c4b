package cassandra

import (
	"context"
	"errors"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/fourfold-dev/fourfold/amorphous/cassandra/internal/cql"
)

// session adapts the client to cql.Session. No retry policy and no speculative
// execution works beneath us, whatever the session was configured with: who
// repeats is decided where the work is known.
type session struct {
	*gocql.Session
	lines *cql.Lines // nil where the session was handed over
}

// Close closes a session of ours.
func (s session) Close() {
	s.lines.End()
	s.Session.Close()
}

// Nodes is how many nodes the client knows of.
func (s session) Nodes() int { return len(s.Session.GetHosts()) }

func (s session) query(c cql.Consistency, st cql.Statement) *gocql.Query {
	return s.Session.Query(st.Text, st.Args...).Consistency(gocql.Consistency(c)).Idempotent(true).
		RetryPolicy(nil).SetSpeculativeExecutionPolicy(gocql.NonSpeculativeExecution{})
}

func (s session) Exec(ctx context.Context, c cql.Consistency, st cql.Statement) error {
	return translate(s.query(c, st).ExecContext(ctx))
}

func (s session) Batch(ctx context.Context, c cql.Consistency, statements []cql.Statement) error {
	batch := s.Session.Batch(gocql.UnloggedBatch).Consistency(gocql.Consistency(c)).
		RetryPolicy(nil).SpeculativeExecutionPolicy(gocql.NonSpeculativeExecution{})
	batch.Entries = make([]gocql.BatchEntry, len(statements))
	for i, st := range statements {
		batch.Entries[i] = gocql.BatchEntry{Stmt: st.Text, Args: st.Args, Idempotent: true}
	}
	return translate(batch.ExecContext(ctx))
}

func (s session) Each(ctx context.Context, c cql.Consistency, st cql.Statement, pageSize int, row func(scan func(dest ...any) error) error) error {
	scanner := s.query(c, st).PageSize(pageSize).Prefetch(0).IterContext(ctx).Scanner()
	for scanner.Next() {
		if err := row(scanner.Scan); err != nil {
			_ = scanner.Err() // frees the page; what stopped us is err
			return err
		}
	}
	return translate(scanner.Err())
}

// translate marks what the client knows and its error does not say by itself.
func translate(err error) error {
	var timeout *gocql.RequestErrWriteTimeout
	switch {
	case err == nil:
		return nil
	case errors.As(err, &timeout):
		return cql.TimedOut(err, timeout.WriteType)
	case errors.Is(err, gocql.ErrNoConnections), errors.Is(err, gocql.ErrNoStreams), errors.Is(err, gocql.ErrSessionClosed),
		errors.Is(err, gocql.ErrTooManyStmts), errors.Is(err, gocql.ErrNoKeyspace), errors.Is(err, gocql.ErrUnavailable),
		errors.Is(err, gocql.ErrFrameTooBig):
		return cql.NotSent(err)
	}
	return err
}
