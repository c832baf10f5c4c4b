package persistence_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// limitedDir names the directory for the child of TestNoDescriptorsAreLeft.
const limitedDir = "FOURFOLD_LIMITED_DIR"

// A process that has no file descriptors left keeps those that custody needs,
// which were opened first: Puts go on, or are refused and not applied, and all
// is done when there are some again.
func TestNoDescriptorsAreLeft_A17(t *testing.T) {
	if dir := os.Getenv(limitedDir); dir != "" {
		withoutDescriptors(t, dir)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestNoDescriptorsAreLeft_A17$", "-test.v")
	cmd.Env = append(os.Environ(), limitedDir+"="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "no descriptor was left") {
		t.Errorf("%v\n%s", err, out)
	}
}

func withoutDescriptors(t *testing.T, dir string) {
	layer, err := embedded.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	pings := persistence.Declare(layer, "ping", persistence.Plan[ping]{
		{Priority: 1, Name: "answer", Purpose: persistence.Transitory, Do: func(context.Context, ping) error { return nil }},
		{Priority: 2, Name: "object", Purpose: persistence.Amorphous},
	})
	put := func(i int) error { _, err := pings.Put(t.Context(), ping{ID: fmt.Sprint("p", i)}); return err }
	if err := put(0); err != nil {
		t.Fatal(err)
	}
	limit := syscall.Rlimit{Cur: 256, Max: 256}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	var taken []int
	for {
		fd, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			t.Logf("no descriptor was left: %v", err)
			break
		}
		taken = append(taken, fd)
	}
	accepted := []int{0}
	for i := 1; i <= 20; i++ {
		switch err := put(i); {
		case err == nil:
			accepted = append(accepted, i)
		case fault.OutcomeOf(err) != fault.NotApplied:
			t.Errorf("a Put without descriptors: %v, want done or not applied", err)
		}
	}
	t.Logf("%d of 20 Puts went on", len(accepted)-1)
	for _, fd := range taken {
		syscall.Close(fd)
	}
	if left := persistencetest.Drain(t, layer); len(left) > 0 {
		t.Errorf("left %+v", left)
	}
	for _, i := range accepted {
		if _, err := pings.Get(t.Context(), fmt.Sprint("p", i)); err != nil {
			t.Errorf("p%d: %v", i, err)
		}
	}
}

// What is pending lies in custody and not in memory: of 40 MB that wait, the
// process holds as many envelopes as MaxHeld says.
func TestWhatIsPendingLiesInCustody_A18(t *testing.T) {
	layer := openLayer(t, &persistence.Options{MaxHeld: 64, Workers: 8, RealTimeWorkers: 1})
	blocked, began := make(chan struct{}), make(chan struct{}, 8)
	pages := persistence.Declare(layer, "page", persistence.Plan[page]{
		{Priority: 1, Name: "read", Purpose: persistence.Transitory, Timeout: time.Hour, Do: func(context.Context, page) error {
			select {
			case began <- struct{}{}:
			default:
			}
			<-blocked
			return nil
		}},
	}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	text := strings.Repeat("x", 16<<10)
	for batch := range 10 {
		objs := make([]page, 256)
		for i := range objs {
			objs[i] = page{ID: fmt.Sprint(batch, "-", i), Text: text}
		}
		for _, r := range pages.PutAll(t.Context(), objs) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	stop := persistencetest.Work(t, layer)
	for range 8 {
		<-began
	}
	grown := heap() - before
	t.Logf("40 MB are pending, %d KB more are held in memory", grown>>10)
	if grown > 16<<20 {
		t.Errorf("of 40 MB that are pending %d MB lie in memory", grown>>20)
	}
	close(blocked)
	stop()
	if left := persistencetest.Drain(t, layer); len(left) > 0 {
		t.Errorf("left %+v", left)
	}
}

var stress = flag.Int("stress", 4, "how often each of the ten goroutines of TestOpenWorkCloseStress opens and closes a layer; 50 in the long tier")

// Layers are opened, used, worked and closed by ten goroutines at once, on one
// directory: nothing hangs, no Close takes longer than 5 s (30 s where others may
// have the machine), and nothing is left behind.
//
//	go test ./persistence -run OpenWorkCloseStress -args -stress=50
func TestOpenWorkCloseStress_A25(t *testing.T) {
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	var all sync.WaitGroup
	for g := range 10 {
		all.Go(func() {
			for n := range *stress {
				if err := liveShortly(t.Context(), dir, fmt.Sprint(g, "-", n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	goleak.VerifyNone(t, before)
	layer, err := embedded.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	pings := declareShort(layer)
	if left := persistencetest.Drain(t, layer); len(left) > 0 {
		t.Errorf("left %+v", left)
	}
	for g := range 10 {
		for n := range *stress {
			if _, err := pings.Get(t.Context(), fmt.Sprint(g, "-", n)); err != nil {
				t.Error(err)
			}
		}
	}
}

func declareShort(layer *persistence.Layer) *persistence.Handle[ping] {
	return persistence.Declare(layer, "ping", persistence.Plan[ping]{
		{Priority: 1, Name: "answer", Purpose: persistence.Transitory, RealTime: true, Do: func(context.Context, ping) error { return nil }},
		{Priority: 2, Name: "object", Purpose: persistence.Amorphous},
	})
}

// liveShortly opens a layer, puts one object, and closes it in the middle of
// its work.
func liveShortly(ctx context.Context, dir, id string) error {
	layer, err := embedded.Open(ctx, dir, nil)
	if err != nil {
		return err
	}
	pings := declareShort(layer)
	worked := make(chan error, 1)
	go func() { worked <- layer.Work(ctx) }()
	if _, err := pings.Put(ctx, ping{ID: id}); err != nil {
		return err
	}
	began := time.Now()
	if err := layer.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	allowed := 30 * time.Second
	if *stress >= 50 {
		allowed = 5 * time.Second
	}
	if took := time.Since(began); took > allowed {
		return fmt.Errorf("close took %v", took)
	}
	if err := <-worked; err != nil && fault.ClassOf(err) != fault.ErrClosed {
		return fmt.Errorf("work: %w", err)
	}
	return nil
}
