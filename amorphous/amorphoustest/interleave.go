package amorphoustest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/fourfold-dev/fourfold/amorphous"
)

// A schedule lets the calls of several writers reach their driver one at a
// time, in an order that it is told: at each step the choice among those that
// wait.
type schedule struct {
	mu      sync.Mutex
	changed *sync.Cond
	waiting []*turn
	busy    int // writers that neither wait nor have ended
}

type turn struct {
	writer int
	do     chan error
}

// errCut ends a writer: what it was about to do does not happen.
var errCut = errors.New("the writer was cut off")

// wait waits for the writer's turn.
func (s *schedule) wait(writer int) error {
	t := &turn{writer, make(chan error)}
	s.mu.Lock()
	s.waiting = append(s.waiting, t)
	s.busy--
	s.changed.Broadcast()
	s.mu.Unlock()
	return <-t.do
}

func (s *schedule) ended() {
	s.mu.Lock()
	s.busy--
	s.changed.Broadcast()
	s.mu.Unlock()
}

// run lets the writers go as choices say; it returns how many could be chosen
// from at each step. After a writer's number of lives it is cut off.
func (s *schedule) run(choices []int, lives map[int]int) (widths []int) {
	for {
		s.mu.Lock()
		for s.busy > 0 {
			s.changed.Wait()
		}
		if len(s.waiting) == 0 {
			s.mu.Unlock()
			return widths
		}
		slices.SortFunc(s.waiting, func(a, b *turn) int { return cmp.Compare(a.writer, b.writer) })
		choice := 0
		if len(widths) < len(choices) {
			choice = min(choices[len(widths)], len(s.waiting)-1)
		}
		next := s.waiting[choice]
		widths = append(widths, len(s.waiting))
		s.waiting = slices.Delete(s.waiting, choice, choice+1)
		s.busy++
		s.mu.Unlock()
		var err error
		if left, mortal := lives[next.writer]; mortal {
			if left == 0 {
				err = errCut
			}
			lives[next.writer] = max(left-1, 0)
		}
		next.do <- err
	}
}

// A gate is one writer's driver: every call waits for its turn.
type gate struct {
	amorphous.Driver
	amorphous.Featured
	schedule *schedule
	writer   int
}

func (g *gate) Write(ctx context.Context, table amorphous.Table, rows []amorphous.Row) []error {
	if err := g.schedule.wait(g.writer); err != nil {
		errs := make([]error, len(rows))
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	return g.Driver.Write(ctx, table, rows)
}

func (g *gate) Read(ctx context.Context, table amorphous.Table, at []amorphous.Address) ([]amorphous.Row, error) {
	if err := g.schedule.wait(g.writer); err != nil {
		return nil, err
	}
	return g.Driver.Read(ctx, table, at)
}

func (g *gate) Scan(ctx context.Context, table amorphous.Table, r amorphous.Range) (amorphous.Page, error) {
	if err := g.schedule.wait(g.writer); err != nil {
		return amorphous.Page{}, err
	}
	return g.Driver.Scan(ctx, table, r)
}

// A registering gate is that of a driver which registers and writes at once.
type registeringGate struct {
	*gate
	registrar amorphous.Registrar
}

func (g registeringGate) Register(ctx context.Context, register, table amorphous.Table, all []amorphous.Introduction) ([][]amorphous.Row, []error) {
	if err := g.schedule.wait(g.writer); err != nil {
		errs := make([]error, len(all))
		for i := range errs {
			errs[i] = err
		}
		return make([][]amorphous.Row, len(all)), errs
	}
	return g.registrar.Register(ctx, register, table, all)
}

// An interleaving is an origin with versions before, and two writers of others.
type interleaving struct {
	name    string
	before  []letter
	writers [2]letter
}

var interleavings = []interleaving{
	{"two versions", nil, [2]letter{letterTo(1, "a", "b"), letterTo(2, "b", "c")}},
	{"on a third", []letter{letterTo(1, "a", "z")}, [2]letter{letterTo(2, "a", "b"), letterTo(3, "b", "z")}},
	{"back to the old", []letter{letterTo(1, "a")}, [2]letter{letterTo(2, "b"), letterTo(3, "a")}},
	{"write and delete", []letter{letterTo(1, "a")}, [2]letter{letterTo(2, "a", "b"), letterTo(3)}},
	{"delete and write", []letter{letterTo(1, "a", "b")}, [2]letter{letterTo(2), letterTo(3, "b")}},
	{"two late ones", []letter{letterTo(1, "a"), letterTo(9, "z")}, [2]letter{letterTo(2, "b"), letterTo(3, "c")}},
	{"a repeat beside the next", []letter{letterTo(1, "a", "b")}, [2]letter{letterTo(1, "a", "b"), letterTo(2, "c")}},
	{"twice the same", nil, [2]letter{letterTo(1, "a", "b"), letterTo(1, "a", "b")}},
}

// testInterleavings runs two writers of one origin through every order in which
// their calls can reach the driver, and through cuts of the first one after
// each of its calls, when its repeat comes after the other one's end. Whatever
// happens, exactly the newest version's rows must be left.
func testInterleavings(t *testing.T, h Harness) {
	source := h.Source
	driver, err := source.OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	store, err := amorphous.New(driver, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	w := &weaver{t: t, driver: driver, quiet: derivedIn(t, store, freshName(), 0, 0)}
	w.name = w.quiet.Tables()[0].Name
	orders := [][]int{nil, {0, 1, 0, 1, 0, 1}, {1}, {1, 1}, {1, 1, 1, 1, 1, 1, 1, 1}}
	if h.Brief {
		orders = orders[:2]
	}
	for _, c := range interleavings {
		w.every(c, orders, h.Brief)
	}
	if _, w.registers = driver.(amorphous.Registrar); !w.registers {
		return
	}
	for _, c := range interleavings {
		w.every(c, orders, h.Brief)
	}
}

// every runs an interleaving in every order, and with cuts in some.
func (w *weaver) every(c interleaving, orders [][]int, brief bool) {
	runs := 0
	for rest := [][]int{{}}; len(rest) > 0 && !w.t.Failed() && !(brief && runs >= 10); {
		first := max(0, len(rest)-atOnce)
		batch := slices.Clone(rest[first:])
		rest, runs = rest[:first], runs+len(batch)
		for i, widths := range w.together(c, batch, -1) {
			rest = append(rest, others(batch[i], widths)...)
		}
	}
	// A writer that is cut off: a few orders for each cut.
	for cut := range 6 {
		w.together(c, orders, cut)
	}
	w.t.Logf("%s: %d interleavings", c.name, runs)
}

// atOnce is how many interleavings run side by side: they have nothing to do with
// each other, and a store commits what comes together at once.
const atOnce = 16

// together runs interleavings side by side.
func (w *weaver) together(c interleaving, orders [][]int, cut int) (widths [][]int) {
	widths = make([][]int, len(orders))
	var running sync.WaitGroup
	for i, choices := range orders {
		w.runs++
		key := fmt.Sprintf("i%d", w.runs)
		running.Go(func() { widths[i] = w.run(c, key, choices, cut) })
	}
	running.Wait()
	return widths
}

// A weaver runs interleavings, each on an origin of its own.
type weaver struct {
	t      *testing.T
	driver amorphous.Driver
	quiet  *amorphous.Derived[copied]
	name   string
	runs   int

	registers bool // by the driver's own ability, if it has it
}

// gate is a writer's driver, with its ability to register or without it.
func (w *weaver) gate(s *schedule, writer int) amorphous.Driver {
	g := &gate{w.driver, w.driver.(amorphous.Featured), s, writer}
	if registrar, ok := w.driver.(amorphous.Registrar); ok && w.registers {
		return registeringGate{g, registrar}
	}
	return g
}

func (w *weaver) run(c interleaving, key string, choices []int, cut int) (widths []int) {
	ctx, t := w.t.Context(), w.t
	letters := append(slices.Clone(c.before), c.writers[:]...)
	for i := range letters {
		letters[i].readers = slices.Clone(letters[i].readers)
		for j := range letters[i].readers {
			letters[i].readers[j] += key // partitions of their own
		}
	}
	writers := letters[len(c.before):]
	for _, l := range letters[:len(c.before)] {
		put(t, ctx, w.quiet, key, l)
	}
	s := &schedule{busy: len(writers)}
	s.changed = sync.NewCond(&s.mu)
	errs := make([]error, len(writers))
	for i, l := range writers {
		store, err := amorphous.New(w.gate(s, i), nil)
		if err != nil {
			t.Fatal(err)
		}
		d, err := amorphous.NewDerived[copied](store, w.name, &amorphous.Layout{PartitionBy: "For", Newest: "At"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			errs[i] = d.Put(ctx, l.origin(key), l.rows(key))
			s.ended()
		}()
	}
	lives := map[int]int{}
	if cut >= 0 {
		lives[0] = cut
	}
	widths = s.run(choices, lives)
	for i, err := range errs {
		if errors.Is(err, errCut) {
			put(t, ctx, w.quiet, key, writers[i])
		} else if err != nil && !errors.Is(err, amorphous.ErrSuperseded) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	left(t, ctx, fmt.Sprintf("%s, in the order %v, cut after %d calls", c.name, choices, cut), w.quiet, key, letters...)
	return widths
}

// others returns the schedules that part from one behind its own choices, where
// the first of those who waited went on: so every order is run once.
func others(choices, widths []int) (orders [][]int) {
	for step := len(choices); step < len(widths); step++ {
		for choice := 1; choice < widths[step]; choice++ {
			order := make([]int, step+1)
			copy(order, choices)
			order[step] = choice
			orders = append(orders, order)
		}
	}
	return orders
}
