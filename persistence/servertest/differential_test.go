package servertest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/servertest"
)

type ledger struct {
	ID      string `persistence:"key"`
	Balance int64  `transactional:""`
	Note    string `transactional:""`
}

type leaf struct {
	ID   string `persistence:"key"`
	User string
	Text string
	At   time.Time
}

// A subject is one of those that are compared: a layer in process, or on
// servers.
type subject struct {
	layer    *persistence.Layer
	ledgers  *persistence.Handle[ledger]
	leaves   *persistence.Handle[leaf]
	profiles *persistence.Handle[profile]
	errands  *persistence.Handle[errand]
	ran      runs
}

func newSubject(t *testing.T, stores persistence.Stores, opts *persistence.Options) *subject {
	t.Helper()
	layer, err := persistence.Open(t.Context(), stores, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { layer.Close() })
	s := &subject{layer: layer}
	s.ledgers = persistence.Declare[ledger](layer, "ledger", nil)
	s.leaves = persistence.Declare(layer, "leaf", persistence.Plan[leaf]{
		{Name: "object", Purpose: persistence.Amorphous},
		{Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
	})
	s.profiles = persistence.Declare(layer, "profile", persistence.Plan[profile]{
		{Name: "row", Purpose: persistence.Transactional},
		{Name: "cache", Purpose: persistence.Volatile, TTL: time.Hour},
	})
	s.errands = persistence.Declare(layer, "errand", persistence.Plan[errand]{
		{Priority: 3, Name: "run", Purpose: persistence.Transitory, Do: s.ran.do},
	}, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	if err := layer.CreateSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// An outcome is what an operation came to: what was read, as text, and the class
// of the error.
type outcome struct {
	text  string
	class error
}

func of[T any](value T, err error) outcome {
	if err != nil {
		return outcome{class: fault.ClassOf(err)}
	}
	return outcome{text: fmt.Sprint(value)}
}

// A model is the contract in the plainest Go.
type model struct {
	ledgers  map[string]ledger
	leaves   map[string]leaf
	profiles map[string]profile
	errands  map[string]bool
}

// An operation runs on the model and on a subject, and must come to the same.
type operation struct {
	name    string
	model   func() outcome
	subject func(ctx context.Context, s *subject) outcome
}

var keysOfAll = []string{"a", "b", "A", "é", "a ", "x/y", strings.Repeat("k", 200)}

// badKeys are refused before any store sees them.
var badKeys = []string{"", "a\x00b", "\xff", strings.Repeat("k", 2000)}

func (m *model) draw(r *rand.Rand, step int) operation {
	key := keysOfAll[r.IntN(len(keysOfAll))]
	if r.IntN(12) == 0 {
		bad := badKeys[r.IntN(len(badKeys))]
		return operation{fmt.Sprintf("put with the key %.20q", bad), func() outcome { return outcome{class: fault.ErrInvalid} }, func(ctx context.Context, s *subject) outcome {
			_, err := s.leaves.Put(ctx, leaf{ID: bad, User: "u"})
			return of("", err)
		}}
	}
	switch r.IntN(11) {
	case 0:
		return m.create(ledger{ID: key, Balance: r.Int64(), Note: text(r)})
	case 1, 2:
		return m.add(key, int64(r.IntN(100)))
	case 3:
		return m.readLedger(key)
	case 4:
		return m.deleteLedger(key)
	case 5, 6:
		return m.putLeaf(leaf{ID: key, User: []string{"ann", "bob"}[r.IntN(2)], Text: text(r), At: time.Unix(int64(r.IntN(1000)), 123456000).UTC()})
	case 7:
		return m.activity([]string{"ann", "bob", "nobody"}[r.IntN(3)])
	case 8:
		return m.deleteLeaf(key)
	case 9:
		return m.profile(profile{ID: key, Name: text(r)}, r.IntN(3) == 0)
	}
	return m.errand(fmt.Sprint("e", step))
}

func text(r *rand.Rand) string {
	return []string{"", "plain", "é\u2028\U0001F600", "it's `quoted`\\", "tab\tline\nend ", strings.Repeat("long ", 2000)}[r.IntN(6)]
}

func (m *model) create(l ledger) operation {
	return operation{fmt.Sprintf("create ledger %.20q", l.ID), func() outcome {
		if _, there := m.ledgers[l.ID]; there {
			return outcome{class: fault.ErrExists}
		}
		m.ledgers[l.ID] = l
		return of("", nil)
	}, func(ctx context.Context, s *subject) outcome {
		_, err := s.ledgers.Create(ctx, l)
		return of("", err)
	}}
}

func (m *model) add(key string, n int64) operation {
	return operation{fmt.Sprintf("add %d to ledger %.20q", n, key), func() outcome {
		l, there := m.ledgers[key]
		if !there {
			return outcome{class: fault.ErrNotFound}
		}
		l.Balance += n
		m.ledgers[key] = l
		return of("", nil)
	}, func(ctx context.Context, s *subject) outcome {
		_, err := s.ledgers.Update(ctx, key, func(l *ledger) error { l.Balance += n; return nil })
		return of("", err)
	}}
}

func (m *model) readLedger(key string) operation {
	return operation{fmt.Sprintf("read ledger %.20q", key), func() outcome {
		l, there := m.ledgers[key]
		if !there {
			return outcome{class: fault.ErrNotFound}
		}
		return of(l, nil)
	}, func(ctx context.Context, s *subject) outcome { return of(s.ledgers.Get(ctx, key)) }}
}

func (m *model) deleteLedger(key string) operation {
	return operation{fmt.Sprintf("delete ledger %.20q", key), func() outcome {
		delete(m.ledgers, key)
		return of("", nil)
	}, func(ctx context.Context, s *subject) outcome {
		_, err := s.ledgers.Delete(ctx, key)
		return of("", err)
	}}
}

func (m *model) putLeaf(l leaf) operation {
	return operation{fmt.Sprintf("put leaf %.20q of %s at %v, and read it", l.ID, l.User, l.At), func() outcome {
		m.leaves[l.ID] = l
		return of(l, nil)
	}, func(ctx context.Context, s *subject) outcome {
		if _, err := s.leaves.Put(ctx, l); err != nil {
			return of("", err)
		}
		return of(s.leaves.Get(ctx, l.ID))
	}}
}

func (m *model) activity(user string) operation {
	newestFirst := func(a, b leaf) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	}
	list := func(leaves []leaf) outcome {
		// Those of one moment stand in no order.
		slices.SortFunc(leaves, newestFirst)
		return of(leaves, nil)
	}
	return operation{"the activity of " + user, func() outcome {
		var of []leaf
		for l := range maps.Values(m.leaves) {
			if l.User == user {
				of = append(of, l)
			}
		}
		return list(of)
	}, func(ctx context.Context, s *subject) outcome {
		var found []leaf
		var last time.Time
		for l, err := range s.leaves.Find(ctx, persistence.Query{Task: "activity", Where: map[string]any{"User": user}}) {
			if err != nil {
				return of("", err)
			}
			if len(found) > 0 && l.At.After(last) {
				return of("not newest first", nil)
			}
			found, last = append(found, l), l.At
		}
		return list(found)
	}}
}

func (m *model) deleteLeaf(key string) operation {
	return operation{fmt.Sprintf("delete leaf %.20q, and read it", key), func() outcome {
		delete(m.leaves, key)
		return outcome{class: fault.ErrNotFound}
	}, func(ctx context.Context, s *subject) outcome {
		if _, err := s.leaves.Delete(ctx, key); err != nil {
			return of("", err)
		}
		return of(s.leaves.Get(ctx, key))
	}}
}

func (m *model) profile(p profile, remove bool) operation {
	return operation{fmt.Sprintf("write profile %.20q (delete: %v), and read it through the cache", p.ID, remove), func() outcome {
		if remove {
			delete(m.profiles, p.ID)
			return outcome{class: fault.ErrNotFound}
		}
		m.profiles[p.ID] = p
		return of(p, nil)
	}, func(ctx context.Context, s *subject) outcome {
		var err error
		if remove {
			_, err = s.profiles.Delete(ctx, p.ID)
		} else {
			_, err = s.profiles.Put(ctx, p)
		}
		if err != nil {
			return of("", err)
		}
		return of(s.profiles.Get(ctx, p.ID))
	}}
}

func (m *model) errand(key string) operation {
	return operation{"put errand " + key, func() outcome {
		m.errands[key] = true
		return of("", nil)
	}, func(ctx context.Context, s *subject) outcome {
		_, err := s.errands.Put(ctx, errand{ID: key})
		return of("", err)
	}}
}

// Random operations on a layer in process, on one over the four servers, and on
// a model, come to the same: what is read, and the class of every error.
func TestEmbeddedAndServersAgree(t *testing.T) {
	servers := servertest.Start(t)
	subjects := map[string]*subject{
		"in process": newSubject(t, embedded.Stores(t.TempDir()), nil),
		"on servers": newSubject(t, servers.Stores(), servers.Options()),
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	m := &model{map[string]ledger{}, map[string]leaf{}, map[string]profile{}, map[string]bool{}}
	var history []string
	const steps = 120
	for step := range steps {
		op := m.draw(r, step)
		history = append(history, op.name)
		want := op.model()
		for name, s := range subjects {
			if got := op.subject(t.Context(), s); got.text != want.text || !errors.Is(got.class, want.class) {
				t.Fatalf("seed %d: %s %s comes to %.200q, class %v; the model says %.200q, class %v; after\n%s",
					seed, op.name, name, got.text, got.class, want.text, want.class, strings.Join(history, "\n"))
			}
		}
	}
	for name, s := range subjects {
		if left, err := s.layer.Drain(t.Context()); err != nil || len(left) > 0 {
			t.Errorf("%s: Drain leaves %v, %v", name, left, err)
		}
		if !maps.EqualFunc(s.ran.times, m.errands, func(times int, _ bool) bool { return times == 1 }) {
			t.Errorf("seed %d: %s errands ran %v, want each of %d once", seed, name, s.ran.times, len(m.errands))
		}
	}
}
