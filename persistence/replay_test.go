package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A day is what a program does in one: it is started, and has all that was put
// done.
type day struct {
	*testing.T
	*game
	far  *persistence.Handle[visit] // transitory custody
	runs atomic.Int64               // of its handler
}

// startDay opens the layer in a directory.
func startDay(t *testing.T, dir string) *day {
	t.Helper()
	layer, err := embedded.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &day{T: t, game: declareGame(layer)}
	d.far = persistence.Declare(layer, "far", persistence.Plan[visit]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, Do: func(context.Context, visit) error { d.runs.Add(1); return nil }},
		{Priority: 2, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
		{Priority: 3, Name: "object", Purpose: persistence.Amorphous},
	}, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	return d
}

func visitOf(i int) visit {
	return visit{ID: fmt.Sprint("v", i), User: "ann", At: time.Unix(int64(i), 0).UTC()}
}

// run has the day's Puts, with their tokens, and the jobs of its queue done, and
// returns what all stores have then: objects, rows of the user, counts.
func (d *day) run(jobs [][]byte) (state []string) {
	d.Helper()
	for i := range 20 {
		if _, err := d.visits.Put(d.Context(), visitOf(i), persistence.Token(fmt.Sprint("token", i))); err != nil {
			d.Fatal(err)
		}
	}
	for _, body := range jobs {
		putJob(d.T, d.layer, farTube, body)
	}
	if left := drain(d.T, d.layer); len(left) > 0 {
		d.Fatalf("left %v", left)
	}
	for _, h := range []*persistence.Handle[visit]{d.visits, d.far} {
		for i := range 20 {
			v, err := h.Get(d.Context(), visitOf(i).ID)
			state = append(state, fmt.Sprint(v, err))
		}
		for v, err := range h.Find(d.Context(), persistence.Query{Task: "activity", Where: map[string]any{"User": "ann"}}) {
			state = append(state, fmt.Sprint("activity ", v, err))
		}
	}
	n, err := d.tallies.Get(d.Context(), "ann")
	letters, listed := d.layer.DeadLetters().List(d.Context(), persistence.DeadFilter{})
	return append(state, fmt.Sprint("counted ", n.N, err, ", dead ", letters, listed))
}

// farTube is where jobs of the kind "far" wait.
const farTube = "ff/far/bg"

// An operator runs a whole day again that has run: the jobs of the queue, from a
// copy of them, and the Puts themselves, with their tokens, in a program that
// remembers nothing. Its handlers run again, and what the stores have is what they
// had.
func TestADayIsRunAgain_F8(t *testing.T) {
	dir := t.TempDir()
	var jobs [][]byte
	var first []string
	for n := range 2 {
		d := startDay(t, dir)
		if n == 0 {
			for i := range 20 {
				if _, err := d.far.Put(t.Context(), visitOf(i)); err != nil {
					t.Fatal(err)
				}
				jobs = append(jobs, takeOut(t, d.layer, farTube))
			}
		}
		state := d.run(jobs)
		if n == 0 {
			first = state
		}
		if !slices.Equal(state, first) {
			t.Errorf("run %d leaves\n%q, the first one left\n%q", n+1, state, first)
		}
		if ran := d.runs.Load(); ran != 20 {
			t.Errorf("run %d called %d handlers: that was none", n+1, ran)
		}
		if err := d.layer.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(first) != 2*40+1 || !strings.HasPrefix(first[80], "counted 20") {
		t.Errorf("the day left %d facts: %q", len(first), first)
	}
}

// While objects are overwritten, and their cache is lost, is away and is filled
// again, nobody reads an older version than one whose Put had returned before, not
// a mixture, and not that it is not there.
func TestReadersWhileTheCacheIsLost_F9(t *testing.T) {
	inDrill(t, func(d *drill) {
		const keys = 3
		var floors [keys]atomic.Int64
		var reads, filled atomic.Int64
		stop := make(chan struct{})
		var all sync.WaitGroup
		put := func(k, n int) {
			id := fmt.Sprint("v", k)
			v := visit{ID: id, User: fmt.Sprint("u", n), Venue: fmt.Sprint("u", n), At: time.Unix(int64(n), 0).UTC()}
			if _, err := d.cached.Put(d.Context(), v); err == nil {
				floors[k].Store(int64(n))
			} else if !fault.Accepted(err) {
				d.Error(err)
			}
		}
		for k := range keys {
			put(k, 1)
		}
		for r := range 4 * keys {
			all.Go(func() {
				k := r % keys
				id := fmt.Sprint("v", k)
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Duration(1+r) * time.Millisecond):
					}
					low := floors[k].Load()
					v, err := d.cached.Get(d.Context(), id)
					if err != nil || v.At.Unix() < low || v.User != v.Venue || v.User != fmt.Sprint("u", v.At.Unix()) {
						d.Errorf("version %d of %s had been put, and %+v is read: %v", low, id, v, err)
						return
					}
					reads.Add(1)
				}
			})
		}
		all.Go(func() { d.loseCache(stop, keys, &filled) })
		for n := 2; n < 40; n++ {
			for k := range keys {
				put(k, n)
			}
			time.Sleep(10 * time.Millisecond)
		}
		close(stop)
		all.Wait()
		d.faults.Heal()
		if _, struck := d.faults.Calls(persistence.Volatile); struck == 0 || reads.Load() < 100 || filled.Load() < 10 {
			d.Errorf("%d faults struck, %d reads, %d entries were filled: nothing is proved", struck, reads.Load(), filled.Load())
		}
		d.serve()
		time.Sleep(time.Minute)
		d.clean()
	})
}

// loseCache lets the cache lose the entries of so many objects, one after the
// other, and be away now and then. It counts those that were there.
func (d *drill) loseCache(stop <-chan struct{}, keys int, filled *atomic.Int64) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(7 * time.Millisecond):
		}
		entry := fmt.Sprint("cached:v", n%keys)
		if _, there, _ := d.layer.Volatile().Get(d.Context(), entry); there {
			filled.Add(1)
		}
		if err := d.layer.Volatile().Delete(d.Context(), entry); err != nil && !errors.Is(err, fault.ErrUnavailable) && !fault.Unknown(err) {
			d.Error(err)
		}
		switch n % 20 {
		case 5:
			d.faults.Down(persistence.Volatile)
		case 8:
			d.faults.Up(persistence.Volatile)
		case 12:
			d.faults.Dropped(persistence.Volatile, 3)
		}
	}
}
