package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/transitory"
)

// What the killed program keeps. Every id says what is to become of it:
// "r0.arrival.7" was made in the first start.
type (
	// arrival is the check-in fan-out in small, in transactional custody.
	arrival struct {
		ID   string `persistence:"key"`
		User string
		At   time.Time
	}
	// sighting is what handlers leave behind: one row per task and object.
	sighting struct {
		ID   string `persistence:"key"`
		By   string // the task
		Runs int
	}
	// ping is handled in transitory custody.
	ping struct {
		ID string `persistence:"key"`
	}
	// diary holds the ids of steps, in the order in which they ran.
	diary struct {
		Group string `persistence:"key"`
		IDs   []string
	}
	// step goes into the diary of its group, in the order of acceptance.
	step struct {
		ID    string `persistence:"key"`
		Group string
	}
	// card has all its tasks at priority 0, in transitory custody.
	card struct {
		ID   string `persistence:"key"`
		Text string
	}
	// member is kept by its tags alone, in three stores.
	member struct {
		ID   string `persistence:"key"`
		Mail string `transactional:"mail,unique"`
		Bio  string `amorphous:"bio"`
		Seen int    `volatile:"seen"`
	}
	// page is one amorphous write at priority 0, without an envelope.
	page struct {
		ID   string `persistence:"key"`
		Text string
	}
)

// town is the program that is killed.
type town struct {
	layer     *persistence.Layer
	arrivals  *persistence.Handle[arrival]
	sightings *persistence.Handle[sighting]
	tallies   *persistence.Handle[tally]
	pings     *persistence.Handle[ping]
	diaries   *persistence.Handle[diary]
	steps     *persistence.Handle[step]
	cards     *persistence.Handle[card]
	members   *persistence.Handle[member]
	pages     *persistence.Handle[page]

	healed atomic.Bool             // sick pings can be handled
	faults *persistencetest.Faults // nil: the stores do not fail
}

func (w *town) open(ctx context.Context, dir string) (*persistence.Layer, error) {
	stores := embedded.Stores(dir)
	if w.faults != nil {
		stores = w.faults.Wrap(stores)
	}
	layer, err := persistence.Open(ctx, stores, nil)
	if err != nil {
		return nil, err
	}
	w.declare(layer)
	return layer, nil
}

func (w *town) declare(layer *persistence.Layer) {
	w.layer = layer
	w.tallies = persistence.Declare(layer, "tally", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
	w.diaries = persistence.Declare(layer, "diary", persistence.Plan[diary]{{Purpose: persistence.Transactional}})
	w.sightings = persistence.Declare(layer, "sighting", persistence.Plan[sighting]{
		{Priority: 0, Purpose: persistence.Amorphous, Name: "by", PartitionBy: "By"},
		{Priority: 0, Purpose: persistence.Amorphous},
	})
	w.arrivals = persistence.Declare(layer, "arrival", persistence.Plan[arrival]{
		{Priority: 1, Name: "tell", Purpose: persistence.Transitory, RealTime: true, Do: sees(w, "tell", func(a arrival) string { return a.ID })},
		{Priority: 2, Name: "near", Purpose: persistence.Volatile, RealTime: true},
		{Priority: 3, Name: "count", Purpose: persistence.Transactional, Tx: w.count},
		{Priority: 4, Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", Newest: "At"},
		{Priority: 5, Name: "object", Purpose: persistence.Amorphous},
	})
	w.pings = persistence.Declare(layer, "ping", persistence.Plan[ping]{
		{Priority: 1, Name: "answer", Purpose: persistence.Transitory, Do: w.answer},
		{Priority: 2, Name: "echo", Purpose: persistence.Transitory, RealTime: false, Do: sees(w, "echo", func(p ping) string { return p.ID })},
		{Priority: 3, Name: "object", Purpose: persistence.Amorphous},
	}, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	w.steps = persistence.Declare(layer, "step", persistence.Plan[step]{
		{Priority: 1, Name: "write", Purpose: persistence.Transactional, OrderingKey: "Group", Tx: w.write},
	})
	w.cards = persistence.Declare(layer, "card", persistence.Plan[card]{
		{Priority: 0, Purpose: persistence.Amorphous},
		{Priority: 0, Purpose: persistence.Volatile},
	}, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	w.members = persistence.Declare[member](layer, "member", nil)
	w.pages = persistence.Declare(layer, "page", persistence.Plan[page]{{Purpose: persistence.Amorphous}})
}

// sees leaves one sighting per object and task, however often it runs.
func sees[T any](w *town, task string, id func(T) string) func(context.Context, T) error {
	return func(ctx context.Context, object T) error {
		_, err := w.sightings.Put(ctx, sighting{ID: task + " " + id(object), By: task})
		return err
	}
}

// answer snoozes once, dies of what is dead, and of what is sick until healed.
func (w *town) answer(ctx context.Context, p ping) error {
	switch {
	case strings.Contains(p.ID, ".dead."):
		return persistence.Permanent(errors.New("it is dead"))
	case strings.Contains(p.ID, ".sick.") && !w.healed.Load():
		return persistence.Permanent(errors.New("it is sick"))
	case strings.Contains(p.ID, ".slow.") && time.Since(persistence.Current(ctx).Accepted) < 5*time.Millisecond:
		return persistence.Snooze(5 * time.Millisecond)
	}
	return sees(w, "answer", func(p ping) string { return p.ID })(ctx, p)
}

func (w *town) count(ctx context.Context, tx *persistence.Tx, a arrival) error {
	n, err := w.tallies.In(tx).Get(ctx, a.User)
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return err
	}
	n.User = a.User
	n.N++
	_, err = w.tallies.In(tx).Put(ctx, n)
	return err
}

func (w *town) write(ctx context.Context, tx *persistence.Tx, s step) error {
	d, err := w.diaries.In(tx).Get(ctx, s.Group)
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		return err
	}
	d.Group, d.IDs = s.Group, append(d.IDs, s.ID)
	_, err = w.diaries.In(tx).Put(ctx, d)
	return err
}

const townUsers = 3

func user(i int) string { return "u" + strconv.Itoa(i%townUsers) }

// load does a little of everything, several things at a time.
func (w *town) load(ctx context.Context, layer *persistence.Layer, r *persistencetest.Recorder) error {
	w.healed.Store(r.Round > 0)
	id := func(round int, what string, i int) string { return fmt.Sprintf("r%d.%s.%d", round, what, i) }
	put := func(what string, i int, put func(id string) error) error {
		id := id(r.Round, what, i)
		err := r.Try(id, func() error { return put(id) })
		if fault.Accepted(err) {
			return nil
		}
		return err
	}
	parts := []func() error{
		func() error { return w.loadArrivals(ctx, r, id) },
		func() error {
			for i := range 6 {
				kind := []string{"ping", "ping.slow", "ping.dead"}[i%3]
				if err := put(kind, i, func(id string) error { _, err := w.pings.Put(ctx, ping{ID: id}); return err }); err != nil {
					return err
				}
			}
			return w.loadSick(ctx, r, id)
		},
		func() error {
			for i := range 6 {
				s := step{Group: user(i % 2)}
				if err := put("step", i, func(id string) error { s.ID = id; _, err := w.steps.Put(ctx, s); return err }); err != nil {
					return err
				}
			}
			return nil
		},
		func() error {
			for i := range 4 {
				if err := put("card", i, func(id string) error { _, err := w.cards.Put(ctx, card{id, "a card"}); return err }); err != nil {
					return err
				}
				if err := put("page", i, func(id string) error { _, err := w.pages.Put(ctx, page{id, "a page"}); return err }); err != nil {
					return err
				}
			}
			return nil
		},
		func() error { return w.loadMembers(ctx, r, put) },
		func() error { return w.forge(ctx, r.Round) },
	}
	errs := make(chan error, len(parts))
	for _, part := range parts {
		go func() { errs <- part() }()
	}
	for range parts {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

// loadArrivals puts arrivals, half of them with a token: those of the start
// before are put again, and a transaction puts two at a time.
func (w *town) loadArrivals(ctx context.Context, r *persistencetest.Recorder, name func(round int, what string, i int) string) error {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for round := max(r.Round-1, 0); round <= r.Round; round++ {
		for i := range 8 {
			if round < r.Round && i%2 == 0 {
				continue // without a token a second Put would count twice
			}
			id := name(round, "arrival", i)
			a := arrival{ID: id, User: user(i), At: at.Add(time.Duration(i) * time.Minute)}
			var opts []persistence.PutOption
			if i%2 == 1 {
				opts = append(opts, persistence.Token(id))
			}
			err := r.Try(id, func() error { _, err := w.arrivals.Put(ctx, a, opts...); return err })
			if err != nil {
				return err
			}
		}
	}
	for i := range 2 {
		id := name(r.Round, "pair", i)
		err := r.Try(id, func() error {
			return w.layer.Tx(ctx, func(ctx context.Context, tx *persistence.Tx) error {
				for _, side := range []string{".left", ".right"} {
					if _, err := w.arrivals.In(tx).Put(ctx, arrival{ID: id + side, User: user(i), At: at}); err != nil {
						return err
					}
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
	}
	gone := name(r.Round, "gone", 0)
	return r.Try(gone, func() error {
		if _, err := w.arrivals.Put(ctx, arrival{ID: gone, User: "nobody", At: at}); err != nil {
			return err
		}
		_, err := w.arrivals.Delete(ctx, gone)
		return err
	})
}

// loadSick puts what dies, waits for its death, and replays it healed.
func (w *town) loadSick(ctx context.Context, r *persistencetest.Recorder, name func(round int, what string, i int) string) error {
	id := name(r.Round, "ping.sick", 0)
	var receipt *persistence.Receipt
	err := r.Try(id, func() (err error) { receipt, err = w.pings.Put(ctx, ping{ID: id}); return err })
	if err != nil && !fault.Accepted(err) {
		return err
	}
	if err := receipt.Wait(ctx, "answer"); err == nil {
		return nil // it was never sick
	}
	w.healed.Store(true)
	letters, err := w.layer.DeadLetters().List(ctx, persistence.DeadFilter{Kind: "ping", Key: id})
	if err != nil || len(letters) == 0 {
		return fmt.Errorf("no dead letter for %s: %v", id, err)
	}
	_, err = w.layer.DeadLetters().Replay(ctx, 0, letters[0].ID)
	return err
}

// loadMembers puts members, and one whose mail is taken.
func (w *town) loadMembers(ctx context.Context, r *persistencetest.Recorder, put func(string, int, func(string) error) error) error {
	for i := range 3 {
		err := put("member", i, func(id string) error {
			_, err := w.members.Put(ctx, member{ID: id, Mail: id + "@example.org", Bio: "a bio", Seen: 1})
			return err
		})
		if err != nil {
			return err
		}
	}
	taken := fmt.Sprintf("r%d.member.0@example.org", r.Round)
	err := put("member", 99, func(id string) error {
		_, err := w.members.Put(ctx, member{ID: id, Mail: taken, Bio: "a double"})
		return err
	})
	if !errors.Is(err, fault.ErrExists) {
		return fmt.Errorf("a second member with one mail: %v, want ErrExists", err)
	}
	return nil
}

// forge puts a job into a tube of ours that no layer made.
func (w *town) forge(ctx context.Context, round int) error {
	return w.layer.Transitory().Put(ctx, transitory.Job{Tube: "ff/ping/bg", Body: fmt.Appendf(nil, "forged %d", round)})[0]
}

// findings collects what is wrong.
type findings []string

func (f *findings) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// check compares the stores with what was acknowledged: nothing lost, nothing
// half, nothing doubled, no ghosts, all stores agree.
func (w *town) check(ctx context.Context, layer *persistence.Layer, h *persistencetest.History) error {
	var bad findings
	seen, err := w.seen(ctx)
	if err != nil {
		return err
	}
	active, err := w.active(ctx)
	if err != nil {
		return err
	}
	for _, id := range slices.Concat(h.Acked, h.Refused, h.Open) {
		acked, refused := slices.Contains(h.Acked, id), slices.Contains(h.Refused, id)
		switch what := strings.Split(id, ".")[1]; what {
		case "arrival":
			w.checkArrival(ctx, &bad, id, acked, seen, active)
		case "pair":
			left := w.checkArrival(ctx, &bad, id+".left", acked, seen, active)
			if right := w.checkArrival(ctx, &bad, id+".right", acked, seen, active); left != right {
				bad.add("%s: one of the two that were put in one transaction is there", id)
			}
		case "gone":
			if _, err := w.arrivals.Get(ctx, id); acked && !errors.Is(err, fault.ErrNotFound) || acked && active[id] > 0 {
				bad.add("%s was deleted and is there: %v, %d times in its activity", id, err, active[id])
			}
		case "ping":
			w.checkPing(ctx, &bad, id, acked, seen)
		case "card":
			exists(&bad, id, acked, func() error { _, err := w.cards.Get(ctx, id); return err })
		case "page":
			exists(&bad, id, acked, func() error { _, err := w.pages.Get(ctx, id); return err })
		case "member":
			m, err := w.members.Get(ctx, id)
			if refused && !errors.Is(err, fault.ErrNotFound) {
				bad.add("%s was refused and is there: %+v, %v", id, m, err)
			}
			exists(&bad, id, acked, func() error { return err })
			if err == nil && (m.Mail != id+"@example.org" || m.Bio != "a bio") {
				bad.add("%s is half there: %+v", id, m)
			}
		}
	}
	w.checkTallies(ctx, &bad, active, h)
	w.checkDiaries(ctx, &bad, h)
	w.checkGhosts(&bad, h, active, seen)
	w.checkCustody(ctx, &bad)
	if len(bad) > 0 {
		return errors.New(strings.Join(bad, "\n"))
	}
	return nil
}

// exists checks that what was acknowledged is there, and reports whether it is.
func exists(bad *findings, id string, acked bool, get func() error) bool {
	err := get()
	switch {
	case err == nil:
		return true
	case !errors.Is(err, fault.ErrNotFound):
		bad.add("%s cannot be read: %v", id, err)
	case acked:
		bad.add("%s was acknowledged and is lost", id)
	}
	return false
}

// seen lists what handlers left behind, "task id".
func (w *town) seen(ctx context.Context) (map[string]bool, error) {
	out := map[string]bool{}
	for _, task := range []string{"tell", "answer", "echo"} {
		for s, err := range w.sightings.Find(ctx, persistence.Query{Task: "by", Where: map[string]any{"By": task}}) {
			if err != nil {
				return nil, err
			}
			out[s.ID] = true
		}
	}
	return out, nil
}

// active counts the derived rows by id.
func (w *town) active(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	for _, u := range []string{user(0), user(1), user(2), "nobody"} {
		for a, err := range w.arrivals.Find(ctx, persistence.Query{Task: "activity", Where: map[string]any{"User": u}}) {
			if err != nil {
				return nil, err
			}
			out[a.ID]++
		}
	}
	return out, nil
}

func (w *town) checkArrival(ctx context.Context, bad *findings, id string, acked bool, seen map[string]bool, active map[string]int) bool {
	there := exists(bad, id, acked, func() error { _, err := w.arrivals.Get(ctx, id); return err })
	if there != (active[id] == 1) || there != seen["tell "+id] {
		bad.add("%s: the stores do not agree: object %v, %d times in its activity, told %v", id, there, active[id], seen["tell "+id])
	}
	return there
}

func (w *town) checkPing(ctx context.Context, bad *findings, id string, acked bool, seen map[string]bool) {
	there := exists(bad, id, acked, func() error { _, err := w.pings.Get(ctx, id); return err })
	if there != seen["echo "+id] {
		bad.add("%s: the stores do not agree: object %v, echo %v", id, there, seen["echo "+id])
	}
	letters, err := w.layer.DeadLetters().List(ctx, persistence.DeadFilter{Kind: "ping", Key: id})
	answered, dead := seen["answer "+id], len(letters)
	switch {
	case err != nil:
		bad.add("%s: dead letters: %v", id, err)
	case strings.Contains(id, ".dead."):
		if there != (dead == 1) || answered {
			bad.add("%s died: %d dead letters, want one; answered %v", id, dead, answered)
		}
	case strings.Contains(id, ".sick."):
		if there && !answered && dead == 0 {
			bad.add("%s was neither answered nor is it a dead letter", id)
		}
	case there != answered || dead > 0:
		bad.add("%s: object %v, answered %v, %d dead letters", id, there, answered, dead)
	}
}

// checkTallies: each transaction had its effect exactly once.
func (w *town) checkTallies(ctx context.Context, bad *findings, active map[string]int, h *persistencetest.History) {
	want := map[string]int{}
	for id := range active {
		a, err := w.arrivals.Get(ctx, id)
		if err != nil {
			bad.add("%s is in an activity and cannot be read: %v", id, err)
			continue
		}
		want[a.User]++
	}
	for i := range townUsers {
		got, err := w.tallies.Get(ctx, user(i))
		if err != nil && !errors.Is(err, fault.ErrNotFound) || got.N != want[user(i)] {
			bad.add("user %s was counted %d times, and has %d arrivals (%v)", user(i), got.N, want[user(i)], err)
		}
	}
}

// checkDiaries: steps of a group ran once, in the order of acceptance.
func (w *town) checkDiaries(ctx context.Context, bad *findings, h *persistencetest.History) {
	for g := range 2 {
		d, err := w.diaries.Get(ctx, user(g))
		if err != nil && !errors.Is(err, fault.ErrNotFound) {
			bad.add("diary %s: %v", user(g), err)
		}
		if ordered := slices.Clone(d.IDs); !slices.IsSorted(ordered) || len(slices.Compact(ordered)) != len(d.IDs) {
			bad.add("the diary of %s is out of order or doubled: %v", user(g), d.IDs)
		}
		for _, id := range h.Acked {
			parts := strings.Split(id, ".")
			if i, _ := strconv.Atoi(parts[len(parts)-1]); parts[1] == "step" && i%2 == g && !slices.Contains(d.IDs, id) {
				bad.add("%s was acknowledged and is not in the diary of %s: %v", id, user(g), d.IDs)
			}
		}
	}
}

// checkGhosts: nothing is there that nobody put.
func (w *town) checkGhosts(bad *findings, h *persistencetest.History, active map[string]int, seen map[string]bool) {
	there := []string{}
	for id := range active {
		there = append(there, id)
	}
	for id := range seen {
		_, id, _ = strings.Cut(id, " ")
		there = append(there, id)
	}
	for _, id := range there {
		id = strings.TrimSuffix(strings.TrimSuffix(id, ".left"), ".right")
		if !h.Tried(id) {
			bad.add("%s is there, and nobody put it", id)
		}
	}
}

// checkCustody: what is done leaves nothing behind, and what is forged is set
// aside.
func (w *town) checkCustody(ctx context.Context, bad *findings) {
	stats, err := w.layer.Stats(ctx)
	if err != nil {
		bad.add("stats: %v", err)
	}
	for _, s := range stats.Tasks {
		if s.Pending != 0 {
			bad.add("%s/%s: %d pending after the drain", s.Kind, s.Task, s.Pending)
		}
	}
	if stats.Held != 0 {
		bad.add("%d envelopes are held after the drain", stats.Held)
	}
	tubes, err := w.layer.Transitory().Stats(ctx, "ff/ping/rt", "ff/ping/bg", "ff/card/bg", "ff/quarantine")
	if err != nil {
		bad.add("tubes: %v", err)
		return
	}
	for _, t := range tubes[:3] {
		if t.Ready+t.Delayed+t.Reserved > 0 {
			bad.add("tube %s is not empty: %+v", t.Tube, t)
		}
	}
}

// A killed program continues from its file: nothing that was acknowledged is
// lost, nothing is half there, no transaction has its effect twice, nothing is
// there that nobody put, and the stores agree (P1, P2, P4, P5).
func TestCrash_A1_A3_A4_A5_A7_F7(t *testing.T) {
	w := &town{}
	persistencetest.Crash(t, persistencetest.Scenario{Open: w.open, Load: w.load, Check: w.check})
}

// loadOutage does everything twice: while the queue and the amorphous store are
// down, and when they are back.
func (w *town) loadOutage(ctx context.Context, layer *persistence.Layer, r *persistencetest.Recorder) error {
	w.faults.Down(persistence.Transitory, persistence.Amorphous)
	for i := range 4 {
		for _, what := range []string{"ping", "page", "arrival"} {
			id := fmt.Sprintf("r%d.%s.%d", r.Round, what, 100+i)
			err := r.Try(id, func() (err error) {
				switch what {
				case "ping":
					_, err = w.pings.Put(ctx, ping{ID: id})
				case "page":
					_, err = w.pages.Put(ctx, page{id, "a page"})
				default:
					_, err = w.arrivals.Put(ctx, arrival{ID: id, User: user(i)})
				}
				return err
			})
			if err != nil && !fault.Accepted(err) {
				return err
			}
		}
	}
	w.faults.Up()
	return w.load(ctx, layer, r)
}

// What was accepted while stores were down survives a kill as well: in the
// outbox, where it spilled to or was put after all.
func TestCrashDuringAnOutage_F12(t *testing.T) {
	w := &town{faults: persistencetest.NewFaults()}
	persistencetest.Crash(t, persistencetest.Scenario{Open: w.open, Load: w.loadOutage, Check: w.check, Runs: 12})
}

// poisonDir names the directory for the child of TestCrashOfAPoisonTask_B24, and
// poisonCustody the custody of its kind.
const (
	poisonDir     = "FOURFOLD_POISON_DIR"
	poisonCustody = "FOURFOLD_POISON_CUSTODY"
)

// poisoned is a program that one of its tasks ends each time that it runs.
func poisoned(t *testing.T, dir string, custody persistence.Custody) {
	layer, err := embedded.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	pings := persistence.Declare(layer, "ping", persistence.Plan[ping]{
		{Priority: 1, Name: "answer", Purpose: persistence.Transitory, MaxAttempts: 3, Do: func(_ context.Context, p ping) error {
			if p.ID == "poison" {
				os.Exit(3)
			}
			return nil
		}},
		{Priority: 2, Name: "object", Purpose: persistence.Amorphous},
	}, persistence.KindOptions{Custody: custody})
	if _, err := os.Stat(filepath.Join(dir, "put")); err != nil {
		for _, id := range []string{"before", "poison", "after"} {
			if _, err := pings.Put(t.Context(), ping{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "put"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if left := persistencetest.Drain(t, layer); len(left) > 0 {
		t.Fatalf("left %+v", left)
	}
	letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{})
	if err != nil || len(letters) != 1 || letters[0].Key != "poison" || letters[0].Task != "answer" {
		t.Errorf("dead letters %+v, %v; want the poison task alone", letters, err)
	}
	for _, id := range []string{"before", "poison", "after"} {
		if _, err := pings.Get(t.Context(), id); err != nil {
			t.Errorf("the other task of %s: %v", id, err)
		}
	}
}

// "A poison task cannot loop the worker": one that takes the process down each
// time becomes a dead letter, and holds up neither its siblings nor others.
func TestCrashOfAPoisonTask_B24(t *testing.T) {
	if dir := os.Getenv(poisonDir); dir != "" {
		custody, _ := strconv.Atoi(os.Getenv(poisonCustody))
		poisoned(t, dir, persistence.Custody(custody))
		return
	}
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		dir := t.TempDir()
		for start := 1; ; start++ {
			cmd := exec.Command(os.Args[0], "-test.run=^TestCrashOfAPoisonTask_B24$")
			cmd.Env = append(os.Environ(), poisonDir+"="+dir, poisonCustody+"="+strconv.Itoa(int(opts.Custody)))
			out, err := cmd.CombinedOutput()
			switch {
			case err == nil && start > 1:
				return
			case err == nil:
				t.Fatalf("the poison did not end the process: nothing is proved\n%s", out)
			case cmd.ProcessState.ExitCode() != 3:
				t.Fatalf("start %d: %v\n%s", start, err, out)
			case start == 10:
				t.Fatalf("the poison task ended %d processes, with MaxAttempts 3\n%s", start, out)
			}
		}
	})
}
