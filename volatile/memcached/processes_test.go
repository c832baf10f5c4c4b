package memcached

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

// childAddress tells a child process of TestTwoProcesses where the server is.
const childAddress = "FOURFOLD_TEST_MEMCACHED"

// What the processes do together.
const (
	workers    = 64
	lasts      = 2 * time.Second
	hitsEach   = 20
	limitBurst = 100
	limitRate  = 500 // per second
)

// A tale is what one process did.
type tale struct {
	Passed, Refused int
	Fences          []uint64
	Begin, End      time.Time // of the limiter's part
}

// Two processes of 64 goroutines each share a limiter, a meter, claims and a
// barrier on one server: never over the limit by more than what flows back
// while they ask, every arrival counted, every fence given once.
func TestTwoProcesses(t *testing.T) {
	s := startServer(t)
	tales := make([]tale, 2)
	var wg sync.WaitGroup
	for i := range tales {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestTwoProcessesChild$", "-test.count=1")
			cmd.Env = append(os.Environ(), childAddress+"="+s.addr, fmt.Sprint("FOURFOLD_TEST_PARTY=", i))
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			if err == nil {
				err = json.Unmarshal(out[:max(0, indexLine(out))], &tales[i])
			}
			if err != nil {
				t.Errorf("process %d: %v\n%s", i, err, out)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	begin, end := tales[0].Begin, tales[0].End
	if tales[1].Begin.Before(begin) {
		begin = tales[1].Begin
	}
	if tales[1].End.After(end) {
		end = tales[1].End
	}
	passed := tales[0].Passed + tales[1].Passed
	most := limitBurst + int(limitRate*end.Sub(begin).Seconds())
	t.Logf("%d and %d passed, %d and %d were refused, in %v; at most %d might", tales[0].Passed, tales[1].Passed,
		tales[0].Refused, tales[1].Refused, end.Sub(begin).Round(time.Millisecond), most)
	if passed > most || passed < most*8/10 {
		t.Errorf("%d passed; want %d to %d", passed, most*8/10, most)
	}
	seen := map[uint64]bool{}
	for _, fence := range append(tales[0].Fences, tales[1].Fences...) {
		if seen[fence] {
			t.Errorf("fence %d was given twice", fence)
		}
		seen[fence] = true
	}
	if len(seen) != 2*10 {
		t.Errorf("%d claims; want 20", len(seen))
	}
	cache := childCache(t, s.addr)
	m, err := volatile.NewMeter(cache, "arrivals")
	must(t, err)
	rates, err := m.Rates(t.Context(), "pier")
	must(t, err)
	if want := float64(2 * workers * hitsEach); rates.Hour != want {
		t.Errorf("%v arrivals were counted; want %v", rates.Hour, want)
	}
}

func indexLine(out []byte) int {
	for i, c := range out {
		if c == '\n' {
			return i
		}
	}
	return len(out)
}

func childCache(t testing.TB, addr string) *volatile.Cache {
	t.Helper()
	d, err := New([]string{addr}, &Options{Timeout: patient}).OpenDriver(context.Background())
	must(t, err)
	c, err := volatile.New(d, nil)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// TestTwoProcessesChild is one of the two.
func TestTwoProcessesChild(t *testing.T) {
	addr := os.Getenv(childAddress)
	if addr == "" {
		t.Skip("the process that TestTwoProcesses starts")
	}
	cache := childCache(t, addr)
	barrier, err := volatile.NewBarrier(cache, "phases", nil)
	must(t, err)
	meet := func(phase string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		must(t, barrier.Wait(ctx, phase, os.Getenv("FOURFOLD_TEST_PARTY"), 2))
	}
	var told tale
	meet("limiter")
	told.Begin = time.Now()
	told.Passed, told.Refused = limited(t, cache)
	told.End = time.Now()
	meet("meter")
	metered(t, cache)
	meet("claims")
	told.Fences = claimed(t, cache)
	out, err := json.Marshal(told)
	must(t, err)
	fmt.Printf("%s\n", out)
}

// together runs workers side by side.
func together(work func(worker int)) {
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() { work(worker) })
	}
	wg.Wait()
}

func limited(t *testing.T, cache *volatile.Cache) (passed, refused int) {
	l, err := volatile.NewLimiter(cache, "calls", volatile.Limit{Events: limitRate, Burst: limitBurst}, &volatile.LimiterOptions{Closed: true})
	must(t, err)
	var yes, no atomic.Int64
	end := time.Now().Add(lasts)
	together(func(int) {
		for time.Now().Before(end) {
			wait, err := l.Allow(t.Context(), "ann", 1)
			if err != nil {
				t.Error(err)
				return
			}
			if wait == 0 {
				yes.Add(1)
				continue
			}
			no.Add(1)
			<-time.After(min(wait, 5*time.Millisecond))
		}
	})
	return int(yes.Load()), int(no.Load())
}

func metered(t *testing.T, cache *volatile.Cache) {
	m, err := volatile.NewMeter(cache, "arrivals")
	must(t, err)
	together(func(int) {
		for range hitsEach {
			if err := m.Hit(t.Context(), "pier", 1); err != nil {
				t.Error(err)
			}
		}
	})
}

// claimed claims a key ten times, against the other process, and checks that
// nobody else of this one holds it.
func claimed(t *testing.T, cache *volatile.Cache) (fences []uint64) {
	claims, err := volatile.NewClaims(cache, "jobs", nil)
	must(t, err)
	for len(fences) < 10 {
		claim, err := claims.Acquire(t.Context(), "nightly")
		if errors.Is(err, fault.ErrConflict) {
			<-time.After(time.Millisecond)
			continue
		}
		must(t, err)
		if len(fences) > 0 && claim.Fence <= fences[len(fences)-1] {
			t.Errorf("fence %d after %d", claim.Fence, fences[len(fences)-1])
		}
		fences = append(fences, claim.Fence)
		must(t, claim.Release(t.Context()))
	}
	return fences
}
