package transactional

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// identityName is the row of meta that holds a random number, drawn once per
// database.
const identityName = "fourfold.identity"

// identityPatience is how long Join waits for a connection of its own, where the
// store has had none before.
const identityPatience = 2 * time.Second

// identityPause lies between two attempts to learn the identity by the way.
const identityPause = time.Second

// An identity tells the store's database from all others, a copy under another
// name included. It lies in the data, so that every server of a cluster knows it:
// which of them a load balancer chose says nothing.
type identity struct {
	number   int64
	database string
}

// An acquaintance is what a store that can join knows of its own identity. It is
// learned beside the first view, when there is a connection at hand: a caller
// whose transactions hold every connection of the pool waits for Join, and Join
// must not wait for them.
type acquaintance struct {
	known atomic.Pointer[identity]
	doubt atomic.Bool  // a transaction was elsewhere, or the database is a new one
	next  atomic.Int64 // when to try again, in nanoseconds since 1970
}

// notice learns the identity on the connection of a view that succeeded, and
// reports whether the database has none yet.
func (s *Store) notice(ctx context.Context, c Conn) (lacking bool) {
	if _, joins := s.driver.(Joiner); !joins || s.self.known.Load() != nil && !s.self.doubt.Load() {
		return false
	}
	now, next := time.Now().UnixNano(), s.self.next.Load()
	if now < next || !s.self.next.CompareAndSwap(next, now+int64(identityPause)) {
		return false
	}
	id, err := s.identify(ctx, c, "")
	s.remember(id)
	return err == nil && id == nil
}

func (s *Store) remember(id *identity) {
	if id != nil {
		s.self.known.Store(id)
		s.self.doubt.Store(false)
	}
}

// identify reads the identity of the database that a connection is in; nil when
// it has none.
func (s *Store) identify(ctx context.Context, c Conn, lock string) (*identity, error) {
	var id *identity
	query := "SELECT value, " + s.dialect.Database + " FROM " + s.ours.table["meta"] + " WHERE name = '" + identityName + "'" + lock
	err := c.Query(ctx, query, nil, func(scan func(...any) error) error {
		id = &identity{}
		return scan(&id.number, &id.database)
	})
	return id, err
}

// learn reads the identity by a connection of the store's own, and draws one
// where the database has none.
func (s *Store) learn(ctx context.Context) error {
	short, cancel := context.WithTimeout(ctx, identityPatience)
	defer cancel()
	var id *identity
	read := func(c Conn) (err error) {
		id, err = s.identify(short, c, "")
		return err
	}
	err := s.driver.View(short, read)
	if err == nil && id == nil {
		err = s.run(short, func(ctx context.Context, c Conn) error {
			number := rand.Int64N(math.MaxInt64) + 1
			if _, err := c.Exec(ctx, s.ours.raiseInsert, identityName, number); err != nil {
				return err
			}
			return read(c) // somebody else's, who was quicker
		})
	}
	switch {
	case err == nil:
		s.remember(id)
	case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.ErrBusy, purpose, "join",
			"the store has not seen its own database yet, and found no connection for that within "+identityPatience.String()+
				": roll back, and call Check once before the first Join")
	}
	return err
}

// same proves that a caller's transaction is in the store's own database. It
// reads what is committed, by a lock that nobody waits for: the caller's
// snapshot may be older than the identity, and begins where the caller reads
// first, not here.
func (s *Store) same(ctx context.Context, c Conn) error {
	if s.self.known.Load() == nil {
		if err := s.learn(ctx); err != nil {
			return s.explain(ctx, err, "join", nil)
		}
	}
	theirs, err := s.identify(ctx, c, s.dialect.LockShared)
	ours := s.self.known.Load()
	switch {
	case err != nil && !errors.Is(err, fault.ErrMisconfigured):
		return err
	case err == nil && theirs != nil && *theirs == *ours:
		return nil
	}
	s.self.doubt.Store(true)
	text := "the transaction is in another database than the store"
	if err != nil {
		text += ": " + err.Error()
	}
	return fault.New(fault.ErrInvalid, purpose, "join", text)
}
