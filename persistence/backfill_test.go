package persistence_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// openIn opens a layer in a directory that outlives it.
func openIn(t *testing.T, dir string) *persistence.Layer {
	t.Helper()
	layer, err := embedded.Open(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { layer.Close() })
	return layer
}

func work(t *testing.T, layer *persistence.Layer) (stop func()) {
	return persistencetest.Work(t, layer)
}

// stay is an object whose plan grows.
type stay struct {
	ID   string `persistence:"key"`
	User string
	At   time.Time
}

func stayOf(i int, user string) stay {
	return stay{ID: fmt.Sprintf("v%05d", i), User: user, At: dawn.Add(time.Duration(i) * time.Second)}
}

var (
	staysBefore = persistence.Plan[stay]{{Name: "object", Purpose: persistence.Amorphous}}
	staysAfter  = persistence.Plan[stay]{
		{Name: "object", Purpose: persistence.Amorphous},
		{Name: "activity", Purpose: persistence.Amorphous, Priority: 1, PartitionBy: "User", Newest: "At", Bucket: time.Hour,
			When: func(v stay) bool { return v.User != "hidden" }},
	}
)

// TestBackfill fills a new layout while objects change, move, come and go:
// afterwards it holds what the record holds.
func TestBackfill(t *testing.T) {
	const n = 1500
	for _, test := range []struct {
		name   string
		record persistence.Purpose
		stores func(dir string) persistence.Stores
	}{
		{"cells", persistence.Amorphous, embedded.Stores},
		{"rows", persistence.Transactional, embedded.Stores},
		{"blind", persistence.Transactional, blindStores},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, dir := t.Context(), t.TempDir()
			before := persistence.Plan[stay]{{Name: "object", Purpose: test.record}}
			layer := openStores(t, test.stores(dir))
			objects := make([]stay, n)
			for i := range objects {
				objects[i] = stayOf(i, []string{"ann", "bob", "hidden"}[i%3])
			}
			putEach(t, persistence.Declare(layer, "visit", before), objects...)
			layer.Close()

			layer = openStores(t, test.stores(dir))
			h := persistence.Declare(layer, "visit", persistence.Plan[stay]{before[0], staysAfter[1]})
			stop := work(t, layer)
			writes := make(chan error, 1)
			go func() { writes <- disturb(ctx, h, n) }()
			lines := 0
			done, err := h.Backfill(ctx, "activity", &persistence.BackfillOptions{Rate: 5000, Progress: func(persistence.Backfilled) { lines++ }})
			if err := errors.Join(err, <-writes); err != nil {
				t.Fatal(err)
			}
			stop()
			drain(t, layer)
			if !done.Done || done.Seen < n-100 || done.Skipped == 0 || lines < 2 || !strings.Contains(done.String(), "done") {
				t.Errorf("it says what it did: %v, told %d times", done, lines)
			}
			checkActivity(t, h)
			again, err := h.Backfill(ctx, "activity", nil)
			if err != nil || !again.Resumed || again.Seen != done.Seen {
				t.Errorf("what has completed is not done again: %v, %v", again, err)
			}
		})
	}
}

// disturb puts, moves and deletes objects while a backfill goes over them.
func disturb(ctx context.Context, h *persistence.Handle[stay], n int) error {
	for i := range 60 {
		at := i * 37 % n
		moved := stayOf(at, "cat")
		moved.At = moved.At.Add(48 * time.Hour)
		_, err := h.Put(ctx, moved)
		_, err2 := h.Delete(ctx, stayOf((at+11)%n, "").ID)
		_, err3 := h.Put(ctx, stayOf(n+i, "dan"))
		if err := errors.Join(err, err2, err3); err != nil {
			return err
		}
	}
	return nil
}

// checkActivity compares the layout with the record.
func checkActivity(t *testing.T, h *persistence.Handle[stay]) {
	t.Helper()
	want := map[string]stay{}
	for v, err := range h.Scan("").Objects(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if v.User != "hidden" {
			want[v.ID] = v
		}
	}
	found := 0
	for _, user := range []string{"ann", "bob", "cat", "dan", "hidden"} {
		for v, err := range h.Find(t.Context(), persistence.Query{Task: "activity", Where: map[string]any{"User": user}}) {
			if err != nil || v != want[v.ID] {
				t.Fatalf("the layout of %s holds %+v, the record %+v, %v", user, v, want[v.ID], err)
			}
			found++
		}
	}
	if found != len(want) || found == 0 {
		t.Errorf("the layout holds %d objects, the record implies %d", found, len(want))
	}
}

func TestBackfillOfAHandler(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		ctx, dir := t.Context(), t.TempDir()
		layer := openIn(t, dir)
		putEach(t, persistence.Declare(layer, "visit", staysBefore), stayOf(1, "ann"), stayOf(2, "bob"), stayOf(3, "cat"))
		layer.Close()
		layer = openIn(t, dir)
		var runs atomic.Int64
		h := persistence.Declare(layer, "visit", persistence.Plan[stay]{staysBefore[0], {Name: "greet", Purpose: persistence.Transitory, Priority: 1,
			Do: func(ctx context.Context, v stay) error { runs.Add(1); return nil }}}, opts)
		if _, err := h.Backfill(ctx, "greet", nil); !errors.Is(err, fault.ErrInvalid) || !strings.Contains(err.Error(), "BackfillOptions.Handler") {
			t.Errorf("a handler runs by explicit wish: %v", err)
		}
		first, err := h.Backfill(ctx, "greet", &persistence.BackfillOptions{Handler: true})
		if err != nil || first.Written != 3 {
			t.Fatalf("%v, %v", first, err)
		}
		putEach(t, h, stayOf(1, "new"))
		drain(t, layer)
		if _, err = h.Backfill(ctx, "greet", &persistence.BackfillOptions{Handler: true}); err != nil {
			t.Fatal(err)
		}
		drain(t, layer)
		if runs.Load() != 4 {
			t.Errorf("the handler ran %d times for 3 objects and a newer version", runs.Load())
		}
		again, err := h.Backfill(ctx, "greet", &persistence.BackfillOptions{Handler: true, Again: true, Before: 1})
		if err != nil || again.Skipped != 3 || again.Written != 0 {
			t.Errorf("Before leaves out what was put since: %v, %v", again, err)
		}
	})
}

func TestBackfillRefuses(t *testing.T) {
	layer := openLayer(t, nil)
	h := persistence.Declare(layer, "visit", persistence.Plan[stay]{
		{Name: "object", Purpose: persistence.Transactional}, {Name: "hot", Purpose: persistence.Volatile},
		{Name: "away", Purpose: persistence.Transitory, Priority: 1, External: true}, {Name: "job", Purpose: persistence.Transitory, Priority: 1},
	})
	bare := persistence.Declare(layer, "bare", persistence.Plan[stay]{staysAfter[1]})
	for task, want := range map[string]error{"object": fault.ErrInvalid, "hot": fault.ErrUnsupported, "away": fault.ErrUnsupported, "job": fault.ErrUnsupported, "nope": fault.ErrInvalid} {
		if _, err := h.Backfill(t.Context(), task, nil); fault.ClassOf(err) != want {
			t.Errorf("backfill of %s: %v", task, err)
		}
	}
	if _, err := bare.Backfill(t.Context(), "activity", nil); fault.ClassOf(err) != fault.ErrUnsupported {
		t.Errorf("a kind without a record: %v", err)
	}
	if _, err := h.Backfill(t.Context(), "hot", &persistence.BackfillOptions{Rate: -1}); err == nil {
		t.Error("a negative rate")
	}
}

const backfillDir = "FOURFOLD_BACKFILL_DIR"

// TestCrashOfABackfill kills a backfill again and again: it goes on where it
// was, and ends with what the record implies.
func TestCrashOfABackfill(t *testing.T) {
	if dir := os.Getenv(backfillDir); dir != "" {
		backfillChild(t, dir)
		return
	}
	const n = 4000
	dir := t.TempDir()
	layer := openIn(t, dir)
	h := persistence.Declare(layer, "visit", staysBefore)
	objects := make([]stay, n)
	for i := range objects {
		objects[i] = stayOf(i, []string{"ann", "bob"}[i%2])
	}
	putEach(t, h, objects...)
	layer.Close()
	kills := 0
	for killBackfill(t, dir, kills+1) {
		kills++
	}
	if kills < 3 {
		t.Fatalf("it was killed %d times: nothing is proved", kills)
	}
	layer = openIn(t, dir)
	h = persistence.Declare(layer, "visit", staysAfter)
	done, err := h.Backfill(t.Context(), "activity", nil)
	if err != nil || !done.Done || !done.Resumed || done.Seen != n {
		t.Errorf("%v, %v", done, err)
	}
	checkActivity(t, h)
}

// killBackfill starts a backfill and kills it after some lines of progress; it
// reports whether it had to.
func killBackfill(t *testing.T, dir string, lines int) (killed bool) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashOfABackfill$", "-test.v")
	cmd.Env = append(os.Environ(), backfillDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	told := ""
	for scan := bufio.NewScanner(out); scan.Scan(); {
		told += scan.Text() + "\n"
		if !strings.Contains(scan.Text(), "so far") {
			continue
		}
		if lines--; lines == 0 {
			killed = true
			cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); err != nil && !killed {
		t.Fatalf("%v\n%s", err, told)
	}
	return killed
}

func backfillChild(t *testing.T, dir string) {
	h := persistence.Declare(openIn(t, dir), "visit", staysAfter)
	done, err := h.Backfill(t.Context(), "activity", &persistence.BackfillOptions{Rate: 2000, Progress: func(b persistence.Backfilled) { fmt.Println(b) }})
	if err != nil || !done.Done {
		t.Fatal(done, err)
	}
}
