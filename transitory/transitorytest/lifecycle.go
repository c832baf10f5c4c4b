package transitorytest

import (
	"context"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

var lifecycle = []check{
	{name: "CloseFreesEverything", alone: true, run: closeFreesEverything,
		promise: "Close frees everything: goroutines and file descriptors"},
	{name: "CloseTwice", run: closeTwice,
		promise: "Closing twice is fine, also from several goroutines at once"},
	{name: "UseAfterClose", run: useAfterClose,
		promise: "fault.ErrClosed after Close, from every method"},
	{name: "CloseEndsReserve", run: closeEndsReserve,
		promise: "Close ends a Reserve that waits, with fault.ErrClosed"},
	{name: "CloseGivesBack", run: closeGivesBack,
		promise: "Close: reserved jobs become ready again"},
	{name: "OpenCloseStress", run: openCloseStress,
		promise: "opening and closing at once, with work between, neither hangs nor fails nor loses a job"},
	{name: "Features", run: featuresAreComplete,
		promise: "a driver tells its promises, and its health agrees with them"},
}

func closeFreesEverything(e *env) {
	if err := e.q.Close(); err != nil {
		e.Fatal(err)
	}
	goroutines, files := runtime.NumGoroutine(), openFiles()
	for range 3 {
		e.q = e.open(e.h.Open)
		ctx, cancel := context.WithTimeout(e.ctx, 20*time.Millisecond)
		_, _ = e.q.Reserve(ctx, []string{"empty"}, 1)
		cancel()
		e.put(transitory.Job{Tube: "t"}, transitory.Job{Tube: "t", Delay: time.Hour})
		e.reserve(1, "t")
		if err := e.q.Close(); err != nil {
			e.Fatal(err)
		}
	}
	e.eventually("goroutines or files of a closed driver are left", func() bool {
		return runtime.NumGoroutine() <= goroutines && openFiles() <= files
	})
}

// openFiles counts descriptors, where the system tells; else it is 0.
func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

func closeTwice(e *env) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := e.q.Close(); err != nil {
				e.Errorf("close: %v", err)
			}
		})
	}
	wg.Wait()
}

func useAfterClose(e *env) {
	driver, err := e.h.Open(e.ctx)
	if err != nil {
		e.Fatal(err)
	}
	for range 2 {
		if err := driver.Close(); err != nil {
			e.Fatalf("close of the driver: %v", err)
		}
	}
	_ = e.q.Close()
	for name, d := range map[string]transitory.Driver{"queue": queueDriver{e.q}, "driver": driver} {
		job := transitory.Job{Tube: "t", TTR: time.Second, Body: []byte{}}
		_, reserve := d.Reserve(e.ctx, []string{"t"}, 1)
		_, stats := d.Stats(e.ctx, []string{"t"})
		for op, err := range map[string]error{
			"put":     d.Put(e.ctx, []transitory.Job{job})[0],
			"reserve": reserve,
			"delete":  d.Delete(e.ctx, []transitory.ID{"x"})[0],
			"release": d.Release(e.ctx, []transitory.Release{{ID: "x"}})[0],
			"touch":   d.Touch(e.ctx, []transitory.ID{"x"})[0],
			"stats":   stats,
		} {
			e.class(op+" after Close of the "+name, err, fault.ErrClosed)
		}
	}
	if r := e.q.Check(e.ctx); r.OK() || r.Class != fault.ErrClosed {
		e.Errorf("a closed queue reports that it is not well, and why: %v", r)
	}
}

// queueDriver lets a Queue be called as a Driver.
type queueDriver struct{ *transitory.Queue }

func (q queueDriver) Put(ctx context.Context, jobs []transitory.Job) []error {
	return q.Queue.Put(ctx, jobs...)
}

func (q queueDriver) Delete(ctx context.Context, ids []transitory.ID) []error {
	return q.Queue.Delete(ctx, ids...)
}

func (q queueDriver) Release(ctx context.Context, releases []transitory.Release) []error {
	return q.Queue.Release(ctx, releases...)
}

func (q queueDriver) Touch(ctx context.Context, ids []transitory.ID) []error {
	return q.Queue.Touch(ctx, ids...)
}

func (q queueDriver) Stats(ctx context.Context, tubes []string) ([]transitory.TubeStats, error) {
	return q.Queue.Stats(ctx, tubes...)
}

func closeEndsReserve(e *env) {
	ended := make(chan error, 1)
	go func() {
		_, err := e.q.Reserve(e.ctx, []string{"empty"}, 1)
		ended <- err
	}()
	<-time.After(50 * time.Millisecond) // most likely it waits by now; it must end either way
	_ = e.q.Close()
	select {
	case err := <-ended:
		e.class("a reserve that waited", err, fault.ErrClosed)
	case <-time.After(patience):
		e.Fatal("the reserve still waits")
	}
}

func closeGivesBack(e *env) {
	e.put(transitory.Job{Tube: "t", TTR: time.Hour, Body: []byte("work")})
	e.reserve(1, "t")
	e.reopen()
	e.eventually("the job is not ready again", func() bool { return e.stats("t").Ready == 1 })
	if got := bodies(e.reserve(1, "t")); got != "work" {
		e.Fatalf("got %q back", got)
	}
}

func openCloseStress(e *env) {
	rounds := e.size(20, 4, 50)
	var wg sync.WaitGroup
	for g := range 10 {
		wg.Go(func() {
			for range rounds {
				driver, err := e.h.Open(e.ctx)
				if err != nil {
					e.Errorf("goroutine %d: open: %v", g, err)
					return
				}
				q := transitory.New(driver)
				if err := q.Put(e.ctx, transitory.Job{Tube: "stress"})[0]; err != nil {
					e.Errorf("goroutine %d: put: %v", g, err)
				}
				if err := q.Close(); err != nil {
					e.Errorf("goroutine %d: close: %v", g, err)
				}
			}
		})
	}
	wg.Wait()
	if got := e.stats("stress").Ready; got != 10*rounds {
		e.Errorf("%d jobs are there; %d were put", got, 10*rounds)
	}
}

func featuresAreComplete(e *env) {
	f := e.q.Features()
	if f.Name == "" || f.Durability == "" || f.MaxBody < 65535 || f.Resolution <= 0 || f.Resolution > time.Second {
		e.Errorf("features are incomplete: %+v", f)
	}
	r := e.q.Check(e.ctx)
	if !r.Reachable || r.Purpose != "transitory" || r.Driver != f.Name || r.Version == "" || r.Address == "" {
		e.Errorf("the report is incomplete: %+v", r)
	}
	if r.Durability != f.Durability || r.MaxObject != f.MaxBody {
		e.Errorf("the report %+v and the features %+v differ", r, f)
	}
}
