package transactional_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
)

// A pooled is the embedded driver as one whose transactions may be joined: in
// them lies the database that the test says. While it is taken, no connection is
// free.
type pooled struct {
	transactional.Driver
	taken  bool
	number *int64 // in the joined transaction's database; nil: none
	name   string
}

func (p *pooled) Features() transactional.Features {
	f := p.Driver.Features()
	f.OwnsSchema, f.Dialect.Database = false, "'here'"
	return f
}

func (p *pooled) View(ctx context.Context, unit func(transactional.Conn) error) error {
	if p.taken {
		<-ctx.Done()
		return ctx.Err()
	}
	return p.Driver.View(ctx, unit)
}

func (p *pooled) Join(context.Context, *sql.Tx) (transactional.Conn, error) { return p, nil }

func (p *pooled) Exec(context.Context, string, ...any) (int64, error) { return 0, nil }

func (p *pooled) Query(_ context.Context, _ string, _ []any, row func(func(...any) error) error) error {
	if p.number == nil {
		return nil
	}
	return row(func(dest ...any) error {
		*dest[0].(*int64), *dest[1].(*string) = *p.number, p.name
		return nil
	})
}

// TestJoinKnowsItsDatabase: the store learns its identity beside what it reads,
// so that Join needs no connection of its own; before that, it does not wait for
// the caller's transactions for ever.
func TestJoinKnowsItsDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner, err := embedded.Dir(t.TempDir(), nil).OpenDriver(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p := &pooled{Driver: inner, taken: true, name: "here"}
		store, err := transactional.New(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		join := func(want error, why string) {
			t.Helper()
			began := time.Now()
			if _, err := store.Join(t.Context(), nil); fault.ClassOf(err) != want || time.Since(began) > 3*time.Second {
				t.Errorf("%s: %v after %v, want %v", why, err, time.Since(began), want)
			}
		}
		read := func() (level int64) {
			t.Helper()
			p.taken = false
			defer func() { p.taken = true }()
			if _, err := store.Clock(t.Context()); err != nil {
				t.Fatal(err)
			}
			level, err := store.Raise(t.Context(), "fourfold.identity", 0)
			if err != nil {
				t.Fatal(err)
			}
			return level
		}
		p.taken = false
		if err := store.CreateSchema(t.Context()); err != nil { // which reads, and finds no identity
			t.Fatal(err)
		}
		p.taken = true
		join(fault.ErrInvalid, "the identity is known, and the transaction's database has none")
		number := read()
		p.number = &number
		join(nil, "the transaction's database has the store's")
		p.name = "copy"
		join(fault.ErrInvalid, "a copy under another name")
		other := number + 1
		p.name, p.number = "here", &other
		join(fault.ErrInvalid, "another number")
		p.number = &number
		join(nil, "one that was elsewhere does not hold up the next")

		// The database is made anew: what is read tells.
		time.Sleep(2 * time.Second)
		if _, err := raise(t, p, other); err != nil {
			t.Fatal(err)
		}
		p.number = &other
		join(fault.ErrInvalid, "the store does not know yet that its database is a new one")
		read()
		join(nil, "and learns it")

		fresh, err := transactional.New(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = fresh.Join(t.Context(), nil)
		if !errors.Is(err, fault.ErrBusy) || time.Since(began) > 3*time.Second {
			t.Errorf("no connection is free, and nothing is known: %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := fresh.Join(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call ends with its context: %v", err)
		}
		p.taken = false
		if _, err := fresh.Join(t.Context(), nil); err != nil {
			t.Errorf("there is one again: %v", err)
		}
	})
}

// raise sets the identity behind the store's back.
func raise(t *testing.T, p *pooled, number int64) (int64, error) {
	other, err := transactional.New(p.Driver, nil)
	if err != nil {
		t.Fatal(err)
	}
	return other.Raise(t.Context(), "fourfold.identity", number)
}
