package persistence_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
)

// yesterday and tomorrow are one kind as two programs know it during a deploy.
type yesterday struct {
	ID   string `persistence:"key"`
	Name string
}

type tomorrow struct {
	ID   string `persistence:"key"`
	Name string
	Nick string
}

// TestTwoProgramsWorkOneQueue_A27: an old program and a new one put, work and read
// the same kind; what only the new one knows survives the old one, whoever
// executes the writes.
func TestTwoProgramsWorkOneQueue_A27(t *testing.T) {
	for _, purpose := range []persistence.Purpose{persistence.Amorphous, persistence.Transactional} {
		for _, cached := range []bool{false, true} {
			name := purpose.String()
			if cached {
				name += ", cached"
			}
			t.Run(name, func(t *testing.T) { deploy(t, purpose, cached) })
		}
	}
}

func deploy(t *testing.T, purpose persistence.Purpose, cached bool) {
	dir := t.TempDir()
	ctx := t.Context()
	asOld := func(do func(l *persistence.Layer, h *persistence.Handle[yesterday])) {
		l, err := embedded.Open(ctx, dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		do(l, persistence.Declare(l, "person", planOf[yesterday](purpose, cached)))
	}
	asNew := func(do func(l *persistence.Layer, h *persistence.Handle[tomorrow])) {
		l, err := embedded.Open(ctx, dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		do(l, persistence.Declare(l, "person", planOf[tomorrow](purpose, cached)))
	}
	asNew(func(l *persistence.Layer, h *persistence.Handle[tomorrow]) {
		put(t, h, tomorrow{ID: "p", Name: "Ann", Nick: "a"})
		drain(t, l)
	})
	asOld(func(l *persistence.Layer, h *persistence.Handle[yesterday]) {
		p, err := h.Get(ctx, "p")
		if err != nil || p.Name != "Ann" {
			t.Fatalf("the old program reads %+v, %v", p, err)
		}
		p.Name = "Anna"
		put(t, h, p) // executed by the new program
	})
	asNew(func(l *persistence.Layer, h *persistence.Handle[tomorrow]) {
		drain(t, l)
		if p, err := h.Get(ctx, "p"); err != nil || p.Name != "Anna" || p.Nick != "a" {
			t.Errorf("after the old program's put the new one reads %+v, %v; want Anna, and the nick that only it knows", p, err)
		}
		put(t, h, tomorrow{ID: "p", Name: "Annie", Nick: "b"}) // executed by the old program
	})
	asOld(func(l *persistence.Layer, h *persistence.Handle[yesterday]) {
		drain(t, l) // writes a body as it is, and leaves columns that it does not know to others
	})
	asNew(func(l *persistence.Layer, h *persistence.Handle[tomorrow]) {
		serve(t, l)
		p, err := h.Get(ctx, "p")
		for until := time.Now().Add(20 * time.Second); err == nil && p.Name != "Annie" && time.Now().Before(until); p, err = h.Get(ctx, "p") {
			runtime.Gosched()
		}
		if err != nil || p.Name != "Annie" || p.Nick != "b" {
			t.Errorf("after the old program's write the new one reads %+v, %v; want Annie, b", p, err)
		}
	})
}

func planOf[T any](purpose persistence.Purpose, cached bool) persistence.Plan[T] {
	plan := persistence.Plan[T]{{Priority: 1, Name: "record", Purpose: purpose}}
	if cached {
		plan = append(plan, persistence.Task[T]{Priority: 2, Name: "cache", Purpose: persistence.Volatile})
	}
	return plan
}

func put[T any](t *testing.T, h *persistence.Handle[T], object T) {
	t.Helper()
	if _, err := h.Put(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}
