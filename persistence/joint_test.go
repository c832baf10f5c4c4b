package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A tablesDriver takes rows of several tables in one call, as Cassandra's does.
type tablesDriver struct {
	blindDriver
	calls *cellCalls
}

// cellCalls notes the tables of each call, and how many rows of each.
type cellCalls struct {
	mu     sync.Mutex
	made   []string
	refuse string // the table whose rows are refused
}

// take returns what was noted since.
func (c *cellCalls) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.made
	c.made = nil
	return out
}

func (d tablesDriver) Write(ctx context.Context, t amorphous.Table, rows []amorphous.Row) []error {
	return d.WriteTables(ctx, []amorphous.TableRows{{Table: t, Rows: rows}})[0]
}

func (d tablesDriver) WriteTables(ctx context.Context, writes []amorphous.TableRows) [][]error {
	var names []string
	out := make([][]error, len(writes))
	for i, w := range writes {
		_, name, _ := strings.Cut(w.Table.Name, "__")
		names = append(names, fmt.Sprint(name, len(w.Rows)))
		out[i] = d.blindDriver.Write(ctx, w.Table, w.Rows)
		if d.calls.refuse != "" && name == d.calls.refuse {
			for n := range out[i] {
				out[i][n] = fault.New(fault.ErrRefused, "", "write", "not this table")
			}
		}
	}
	d.calls.mu.Lock()
	defer d.calls.mu.Unlock()
	d.calls.made = append(d.calls.made, strings.Join(names, "+"))
	return out
}

// A perch is somebody's place, with a version of its own.
type perch struct {
	ID      string `persistence:"key"`
	User    string
	Version int64 `persistence:"version"`
}

var perchPlan = persistence.Plan[perch]{
	{Name: "row", Purpose: persistence.Transactional},
	{Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User", MaxAttempts: 1},
	{Name: "copy", Purpose: persistence.Amorphous, MaxAttempts: 1},
}

// openPerches returns a layer whose store of cells takes several tables in a call, and
// has been written to.
func openPerches(t *testing.T) (*persistence.Layer, *persistence.Handle[perch], *cellCalls) {
	calls := &cellCalls{}
	stores := blindStores(t.TempDir())
	blind := stores.Amorphous
	stores.Amorphous = amorphous.SourceFunc(func(ctx context.Context) (amorphous.Driver, error) {
		driver, err := blind.OpenDriver(ctx)
		if err != nil {
			return nil, err
		}
		return tablesDriver{driver.(blindDriver), calls}, nil
	})
	layer := openStores(t, stores)
	h := persistence.Declare(layer, "perch", perchPlan)
	// The first finds out by which book the layout is kept.
	if _, err := h.Put(t.Context(), perch{ID: "first", User: "ann", Version: 1}); err != nil {
		t.Fatal(err)
	}
	calls.take()
	return layer, h, calls
}

// found lists the users at whose places a key lies.
func found(t *testing.T, h *persistence.Handle[perch], key string) (out []string) {
	t.Helper()
	for _, user := range []string{"ann", "bob"} {
		for v, err := range h.Find(t.Context(), persistence.Query{Task: "activity", Where: map[string]any{"User": user}}) {
			if err != nil {
				t.Fatal(err)
			}
			if v.ID == key {
				out = append(out, fmt.Sprint(user, v.Version))
			}
		}
	}
	return out
}

// What a lone Put writes to one store of cells is one call. An object that lay
// elsewhere goes table by table, for the register is told of it; one that came too
// late is not laid out.
func TestTheRowsOfAPutShareACall(t *testing.T) {
	_, h, calls := openPerches(t)
	for _, step := range []struct {
		what  string
		put   perch
		calls []string
		lies  string
	}{
		{"new", perch{ID: "s", User: "ann", Version: 5}, []string{"activity1+copy1"}, "[ann5]"},
		{"late", perch{ID: "s", User: "bob", Version: 3}, []string{"activity0+copy1"}, "[ann5]"},
		{"moved", perch{ID: "s", User: "bob", Version: 7}, []string{"activity2", "copy1"}, "[bob7]"},
		{"another", perch{ID: "z", User: "ann", Version: 1}, []string{"activity1+copy1"}, "[ann1]"},
	} {
		if _, err := h.Put(t.Context(), step.put); err != nil {
			t.Fatal(err)
		}
		made := calls.take()
		slices.Sort(made)
		if !slices.Equal(made, step.calls) {
			t.Errorf("%s: the calls are %q, want %q", step.what, made, step.calls)
		}
		if got := fmt.Sprint(found(t, h, step.put.ID)); got != step.lies {
			t.Errorf("%s: it lies at %s, want %s", step.what, got, step.lies)
		}
	}
}

// Of tasks that share a call each has its own end.
func TestATableThatIsRefusedFailsAlone(t *testing.T) {
	layer, h, calls := openPerches(t)
	calls.refuse = "copy"
	receipt, err := h.Put(t.Context(), perch{ID: "s", User: "ann", Version: 1})
	if !errors.Is(err, fault.ErrRefused) || !fault.Accepted(err) {
		t.Fatalf("err = %v, want that the object is accepted and a table refused it", err)
	}
	if got := calls.take(); !slices.Equal(got, []string{"activity1+copy1"}) {
		t.Fatalf("the calls are %q, want one", got)
	}
	if left := drain(t, layer); len(left) != 0 {
		t.Errorf("drain left %v", left)
	}
	activity, _ := receipt.State("activity")
	if copied, _ := receipt.State("copy"); activity != persistence.TaskDone || copied != persistence.TaskDead {
		t.Errorf("activity is %v and copy %v, want done and dead", activity, copied)
	}
	letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{})
	if err != nil || len(letters) != 1 || letters[0].Task != "copy" {
		t.Errorf("dead letters %v, %v; want one of the task copy", letters, err)
	}
}

// So do those of objects that are written together.
func TestTheRowsOfManyPutsShareCalls(t *testing.T) {
	_, h, calls := openPerches(t)
	const puts = 50
	var all sync.WaitGroup
	for i := range puts {
		all.Go(func() {
			if _, err := h.Put(t.Context(), perch{ID: fmt.Sprint(i), User: "ann", Version: 1}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, call := range calls.take() {
		activity, object, ok := strings.Cut(call, "+")
		if !ok || strings.TrimPrefix(activity, "activity") != strings.TrimPrefix(object, "copy") {
			t.Errorf("a call of %s, want as many rows of both tables", call)
		}
	}
	for i := range puts {
		if got := found(t, h, fmt.Sprint(i)); len(got) != 1 {
			t.Errorf("%d lies at %v", i, got)
		}
	}
}

// A Put of more calls than may end unseen comes to its end: its own goroutine, which
// does one of them, is the one that sees them.
func TestAPutOfManyCalls(t *testing.T) {
	layer, _, calls := openPerches(t)
	plan := append(persistence.Plan[visit]{{Name: "row", Purpose: persistence.Transactional}},
		persistence.Task[visit]{Name: "activity", Purpose: persistence.Amorphous, PartitionBy: "User"},
		persistence.Task[visit]{Name: "copy", Purpose: persistence.Amorphous})
	for i := range 8 {
		plan = append(plan, persistence.Task[visit]{Name: fmt.Sprint("log", i), Purpose: persistence.Amorphous,
			PartitionBy: "User", Newest: "At", Bucket: time.Hour})
	}
	h := persistence.Declare(layer, "many", plan)
	for i := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := h.Put(ctx, visit{ID: fmt.Sprint(i), User: "ann", At: dawn})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Contains(calls.take(), "activity1+copy1") {
		t.Error("the copies do not share a call")
	}
}
