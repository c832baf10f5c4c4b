// Package gocqlv1 puts the amorphous store on a session of the client
// github.com/gocql/gocql, for programs that already have one. Its last release
// is v1.7.0, of 2024; the client goes on as
// github.com/apache/cassandra-gocql-driver/v2, which package cassandra uses.
//
//	store, err := amorphous.Open(ctx, gocqlv1.FromSession(session, "keyspace", nil), nil)
//
// The session's ClusterConfig leaves ProtoVersion at 0, which negotiates, or says
// 4: v1.7.0 has version 5 as it once was drafted, without its framing, which no
// released server takes, and Cassandra 5 still takes version 4. A session does
// not tell its version, so nothing here can refuse one.
//
// All that package cassandra says of tables, promises and limits holds here.
package gocqlv1

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gocql/gocql"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra/internal/cql"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Options of a session that is handed over; zero values are the defaults.
type Options struct {
	// Consistency of writes and reads: "one", "local_one", "quorum",
	// "local_quorum", "each_quorum", "all", "two" or "three". Default
	// "local_quorum" for both.
	WriteConsistency, ReadConsistency string
	// Timeout bounds one statement. Default 10 s.
	Timeout time.Duration
	// InFlight bounds the statements under way at once. Default 256.
	InFlight int
	// Hedge is how long a write, or a read of few rows, waits for its answer
	// before it is sent once more, to whichever node the client picks. Default
	// 250 ms; negative: never.
	Hedge time.Duration
}

// FromSession is the Source of a store on a session that the program closes.
// The session's retry and speculation policies do not apply to the store's
// statements (this client would repeat any statement, idempotent or not), and
// its keyspace does not matter. Its ProtoVersion must be 0 or 4, never 5.
func FromSession(s *gocql.Session, keyspace string, opts *Options) amorphous.Source {
	return amorphous.SourceFunc(func(context.Context) (amorphous.Driver, error) {
		if s == nil {
			return nil, fault.New(fault.ErrInvalid, "", "", "there is no session")
		}
		var o Options
		if opts != nil {
			o = *opts
		}
		inner := cql.Options{Keyspace: keyspace, Address: keyspace, Timeout: o.Timeout, InFlight: o.InFlight, Hedge: cql.HedgeOf(o.Hedge)}
		ok1, ok2 := true, true
		if o.WriteConsistency != "" {
			inner.Write, ok1 = cql.ParseConsistency(strings.ToLower(o.WriteConsistency))
		}
		if o.ReadConsistency != "" {
			inner.Read, ok2 = cql.ParseConsistency(strings.ToLower(o.ReadConsistency))
		}
		if !ok1 || !ok2 {
			return nil, fault.New(fault.ErrInvalid, "", "", "the consistency is one, local_one, two, three, quorum, local_quorum, each_quorum or all")
		}
		return cql.New(cql.Handed(session{s}), inner)
	})
}

// session adapts the client to cql.Session.
type session struct{ s *gocql.Session }

// query makes a query that nothing repeats. It is not released to the client's
// pool: a query that timed out may still be in use there.
func (s session) query(ctx context.Context, c cql.Consistency, st cql.Statement) *gocql.Query {
	return s.s.Query(st.Text, st.Args...).WithContext(ctx).Consistency(gocql.Consistency(c)).Idempotent(true).
		RetryPolicy(nil).SetSpeculativeExecutionPolicy(gocql.NonSpeculativeExecution{})
}

func (s session) Exec(ctx context.Context, c cql.Consistency, st cql.Statement) error {
	return translate(s.query(ctx, c, st).Exec())
}

func (s session) Batch(ctx context.Context, c cql.Consistency, statements []cql.Statement) error {
	batch := s.s.NewBatch(gocql.UnloggedBatch).WithContext(ctx).
		RetryPolicy(nil).SpeculativeExecutionPolicy(gocql.NonSpeculativeExecution{})
	batch.SetConsistency(gocql.Consistency(c))
	batch.Entries = make([]gocql.BatchEntry, len(statements))
	for i, st := range statements {
		batch.Entries[i] = gocql.BatchEntry{Stmt: st.Text, Args: st.Args, Idempotent: true}
	}
	return translate(s.s.ExecuteBatch(batch))
}

func (s session) Each(ctx context.Context, c cql.Consistency, st cql.Statement, pageSize int, row func(scan func(dest ...any) error) error) error {
	scanner := s.query(ctx, c, st).PageSize(pageSize).Prefetch(0).Iter().Scanner()
	for scanner.Next() {
		if err := row(scanner.Scan); err != nil {
			_ = scanner.Err() // frees the page; what stopped us is err
			return err
		}
	}
	return translate(scanner.Err())
}

// Close does nothing: whoever opened the session closes it.
func (s session) Close() {}

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
