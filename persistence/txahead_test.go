package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// An entry is of a group of two.
type entry struct {
	ID    string `persistence:"key"`
	Group int
}

// A starter has Tx tasks that count in the row of their object's key, and in that
// of its group.
type starter struct {
	teller
	entries *persistence.Handle[entry]

	before func(ctx context.Context, tx *persistence.Tx, id string) error // what the function does first
}

// errInstead says that it was all.
var errInstead = errors.New("instead")

func startWith(t *testing.T, rows transactional.Source) *starter {
	t.Helper()
	stores := embedded.Stores(t.TempDir())
	stores.Transactional = rows
	w := &starter{teller: teller{T: t}}
	w.layer = openStores(t, stores)
	w.tallies = persistence.Declare(w.layer, "tally", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
	w.entries = persistence.Declare(w.layer, "entry", persistence.Plan[entry]{
		{Priority: 1, Name: "start", Purpose: persistence.Transactional, Tx: w.start, MaxAttempts: 50},
	})
	if err := w.layer.CreateSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *starter) start(ctx context.Context, tx *persistence.Tx, e entry) error {
	if w.before != nil {
		if err := w.before(ctx, tx, e.ID); err == errInstead {
			return nil
		} else if err != nil {
			return err
		}
	}
	if err := w.tell(ctx, tx, e.ID); err != nil {
		return err
	}
	return w.tell(ctx, tx, strconv.Itoa(e.Group))
}

// run has tasks done that share transactions.
func (w *starter) run(from, to int) {
	w.Helper()
	var entries []entry
	for i := from; i < to; i++ {
		entries = append(entries, entry{fmt.Sprint("e", i), i / 2})
	}
	for _, r := range w.entries.PutAll(w.Context(), entries) {
		if r.Err != nil {
			w.Fatal(r.Err)
		}
		wait(w.T, r.Receipt, nil)
	}
}

// counts holds the tally of a user to one of some numbers.
func (w *starter) counts(user string, want ...int) {
	w.Helper()
	if n, err := w.tallies.Get(w.Context(), user); err != nil || !slices.Contains(want, n.N) {
		w.Errorf("%s counts %d, %v, want %d", user, n.N, err, want)
	}
}

// Tasks that get the rows of their key and of a field have their rows read together;
// those that do so no longer cost a few reads more, and then none.
func TestTxTasksHaveReadTogetherWhatTheyBeginWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const tasks = 64
		var reads atomic.Int64
		w := startWith(t, &wall{Source: embedded.Stores(t.TempDir()).Transactional, real: true, asked: func(query string) {
			if strings.Contains(query, "tally") {
				reads.Add(1)
			}
		}})
		other := func(ctx context.Context, tx *persistence.Tx, id string) error {
			if _, err := w.tallies.In(tx).Get(ctx, "of "+id); !errors.Is(err, fault.ErrNotFound) {
				t.Errorf("%s: %v", id, err)
			}
			return errInstead
		}
		serve(t, w.layer)
		w.run(tasks, tasks+1) // from which it is known how they begin
		reads.Store(0)
		w.run(0, tasks)
		if n := reads.Load(); n > tasks/4 {
			t.Errorf("%d reads for %d tasks", n, tasks)
		}
		w.before = other
		w.run(0, tasks)
		reads.Store(0)
		w.run(0, tasks)
		if n := reads.Load(); n != tasks {
			t.Errorf("%d tasks that read another row made %d reads", tasks, n)
		}
		for i := range tasks {
			w.counts(fmt.Sprint("e", i), 1)
			w.counts(fmt.Sprint(i/2), 2)
		}
	})
}

// What was read ahead is what Get would read: with what those before have put, also
// when it was written for SQL, whether the rows are there or not.
func TestWhatIsReadAheadIsWhatGetReads(t *testing.T) {
	const tasks, much = 60, 1000
	for name, rows := range map[string]func(t *testing.T) transactional.Source{
		"in process": func(t *testing.T) transactional.Source {
			return &wall{Source: embedded.Stores(t.TempDir()).Transactional, real: true}
		},
		"on MariaDB": func(t *testing.T) transactional.Source {
			return transactional.URL(servers.Test(t, servers.MariaDB{}).URL())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := startWith(t, rows(t))
			for i := 1; i < tasks; i += 2 { // these rows are there
				if _, err := w.tallies.Put(t.Context(), tally{User: fmt.Sprint("e", i), N: 1}); err != nil {
					t.Fatal(err)
				}
			}
			serve(t, w.layer)
			w.run(tasks, tasks+1) // from which it is known how they begin
			w.before = func(ctx context.Context, tx *persistence.Tx, id string) error {
				var i int
				if _, err := fmt.Sscanf(id, "e%d", &i); err != nil || i%2 > 0 {
					return err
				}
				_, err := w.tallies.In(tx).Put(ctx, tally{User: fmt.Sprint("e", i+1), N: much}) // the next one's, unread
				if err == nil && i%4 > 0 {
					err = tx.Query(ctx, "SELECT 1", nil, func(func(...any) error) error { return nil })
				}
				return err
			}
			w.run(0, tasks)
			for i := 0; i < tasks; i += 2 {
				w.counts(fmt.Sprint("e", i), 1)
				w.counts(fmt.Sprint("e", i+1), much, much+1)
				w.counts(fmt.Sprint(i/2), 2)
			}
		})
	}
}

// Nobody locks a row that is not there. One that another transaction inserted after
// it was read ahead as absent is not written over, and a function that has read of
// it finds it, whoever wrote that.
func TestARowThatComesAfterItWasReadAheadIsSeen(t *testing.T) {
	const tasks = 60
	w := startWith(t, transactional.URL(servers.Test(t, servers.MariaDB{}).URL()))
	serve(t, w.layer)
	w.run(tasks, tasks+1) // from which it is known how they begin
	var came sync.Map
	bring := func(ctx context.Context, tx *persistence.Tx, next string) error {
		if _, did := came.LoadOrStore(next, true); !did {
			err := w.layer.Tx(context.WithoutCancel(t.Context()), func(ctx context.Context, side *persistence.Tx) error {
				return errors.Join(w.tell(ctx, side, next), w.tell(ctx, side, "word of "+next))
			})
			if err != nil {
				return err
			}
		}
		word, err := w.tallies.In(tx).Get(ctx, "word of "+next)
		if err == nil {
			_, err = w.tallies.In(tx).Put(ctx, tally{User: "news of " + next, N: word.N})
		}
		return err
	}
	w.before = func(ctx context.Context, tx *persistence.Tx, id string) error {
		var i int
		if _, err := fmt.Sscanf(id, "e%d", &i); err != nil {
			return err
		}
		if i%2 == 0 {
			return bring(ctx, tx, fmt.Sprint("e", i+1))
		}
		from := []string{"word of ", "news of "}[i/2%2]
		if _, err := w.tallies.In(tx).Get(ctx, from+id); err != nil {
			return nil // it came first
		}
		if _, err := w.tallies.In(tx).Get(ctx, id); err != nil {
			t.Errorf("%s was read of, %s, and not found: %v", id, from, err)
		}
		return nil
	}
	w.run(0, tasks)
	for i := range tasks {
		w.counts(fmt.Sprint("e", i), 1+i%2)
		w.counts(fmt.Sprint(i/2), 2)
	}
}
