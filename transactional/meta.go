package transactional

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Raise sets a named number to at least value and returns what it is now: the
// clock's high-water mark lives here. Reading is Raise with zero. A number
// that nobody raised is zero; none is ever negative.
func (s *Store) Raise(ctx context.Context, name string, value int64) (int64, error) {
	err := s.open(ctx)
	if err == nil {
		err = validKey("name", name)
	}
	if err == nil && value < 0 {
		err = fault.New(fault.ErrInvalid, purpose, "raise", "the value is negative")
	}
	if err != nil {
		return 0, s.locate(fault.Wrap(fault.ErrInvalid, purpose, "raise", err), "raise", nil, name)
	}
	var level int64
	read := func(c Conn) error {
		level = 0
		return c.Query(ctx, s.ours.level, []any{name}, func(scan func(...any) error) error { return scan(&level) })
	}
	if value == 0 {
		err = s.view(ctx, read)
	} else {
		err = s.run(ctx, func(ctx context.Context, c Conn) error {
			if _, err := c.Exec(ctx, s.ours.raiseInsert, name, value); err != nil {
				return err
			}
			if _, err := c.Exec(ctx, s.ours.raise, value, name, value); err != nil {
				return err
			}
			return read(c)
		})
	}
	if err != nil {
		return 0, s.explain(ctx, err, "raise", nil)
	}
	return level, nil
}

// Clock returns the UTC time that leases and due times are measured by, in
// microseconds: the server's where other processes share the database, else
// this process's. It never goes back: once a Store has seen the server's clock
// do so, the Stores of all processes go on from where it was.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	if err := s.open(ctx); err != nil {
		return time.Time{}, s.locate(err, "clock", nil, "")
	}
	var us int64
	err := s.view(ctx, func(c Conn) (err error) {
		us, err = s.clock.ask(ctx, s, c)
		return err
	})
	if err == nil {
		err = s.keepBack(ctx)
	}
	if err != nil {
		return time.Time{}, s.explain(ctx, err, "clock", nil)
	}
	return fromMicros(us), nil
}

// Now is Clock as far as it is known without asking: continued since it was
// last asked for, at most a second ago in a program that claims. It is this
// process's clock where the server's was never asked for.
func (s *Store) Now() time.Time { return s.clock.continued() }
