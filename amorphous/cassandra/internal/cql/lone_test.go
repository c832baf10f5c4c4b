package cql

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A silent session answers nothing, and says how long each statement was waited for.
type silent struct {
	Session
	waited chan time.Duration
}

func (s *silent) Nodes() int { return 1 }

func (s *silent) Exec(ctx context.Context, _ Consistency, _ Statement) error {
	began := time.Now()
	<-ctx.Done()
	s.waited <- time.Since(began)
	return ctx.Err()
}

func (s *silent) Each(ctx context.Context, of Consistency, st Statement, _ int, _ func(func(...any) error) error) error {
	return s.Exec(ctx, of, st)
}

// A lone caller's write is given up when its caller leaves. The steps of a write to a
// placed table are not: what is between two of them is for crashes alone.
func TestALoneWriteIsItsCallers(t *testing.T) {
	for placed, want := range map[bool]time.Duration{false: time.Second, true: 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			s := &silent{waited: make(chan time.Duration, 1)}
			d, err := New(Handed(s), Options{Keyspace: "ks"})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			errs := d.Write(ctx, amorphous.Table{Name: "t", Placed: placed}, []amorphous.Row{{Partition: "p", ID: "i", Shape: 1, Body: []byte("b")}})
			if !errors.Is(errs[0], context.DeadlineExceeded) || !fault.Unknown(errs[0]) || time.Since(began) != time.Second {
				t.Errorf("placed %v: %v after %v; want both its context's and unknown, after a second", placed, errs[0], time.Since(began))
			}
			if waited := <-s.waited; waited != want {
				t.Errorf("placed %v: the statement was waited for for %v, want %v", placed, waited, want)
			}
		})
	}
}
