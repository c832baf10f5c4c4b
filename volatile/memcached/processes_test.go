package memcached

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
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
	workers     = 64
	lasts       = time.Second
	hitsEach    = 20
	limitBurst  = 100
	limitRate   = 500 // per second
	parts       = 200
	claimsLeast = 10
	topHits     = 3 // of the first key, by each worker; the second has two, the third one
)

// A tale is what one process did.
type tale struct {
	Passed, Refused int
	Begin, End      time.Time // of the limiter's part
	Holds           []hold
	Told, Waited    time.Time // when the last part of the countdown was begun to be told, and when it was over
	Left            int
	Present         []int // how many are there: when all have come, and when half have left
	Top             []volatile.Arrivals
}

// A hold is the time in which a claim was surely held.
type hold struct {
	Fence    uint64
	From, To time.Time
}

// Two processes of 64 goroutines each share a limiter, a meter, claims, a
// countdown, a presence and a barrier on one server: never over the limit by more
// than what flows back while they ask, every arrival counted, one holder at a time,
// nobody goes on before the last part is done, everybody there is seen.
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
	checkPassed(t, tales)
	checkHolds(t, tales)
	for i, told := range tales {
		for _, other := range tales {
			if told.Left != 0 || told.Waited.Before(other.Told) {
				t.Errorf("process %d: %d parts left, it went on %v before the last was told", i, told.Left, other.Told.Sub(told.Waited))
			}
		}
		if want := []int{2 * workers, workers}; !slices.Equal(told.Present, want) {
			t.Errorf("process %d: %v are there; want %v", i, told.Present, want)
		}
		for n, top := range told.Top {
			if want := float64(2 * workers * (topHits - n)); top.Key != fmt.Sprint("top ", n) || top.Count != want {
				t.Errorf("process %d: the top is %v; its number %d should have %v", i, told.Top, n, want)
			}
		}
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

// checkPassed holds the limiter to its limit.
func checkPassed(t *testing.T, tales []tale) {
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
}

// checkHolds holds claims to one holder at a time in both processes, whose clock
// is the same, and to fences that grow with every claim.
func checkHolds(t *testing.T, tales []tale) {
	holds := append(slices.Clone(tales[0].Holds), tales[1].Holds...)
	slices.SortFunc(holds, func(a, b hold) int { return a.From.Compare(b.From) })
	for i, next := range holds[1:] {
		if last := holds[i]; next.From.Before(last.To) || next.Fence <= last.Fence {
			t.Errorf("%+v after %+v: two held it, or its fence is no higher", next, last)
		}
	}
	t.Logf("%d and %d claims", len(tales[0].Holds), len(tales[1].Holds))
	if len(tales[0].Holds) < claimsLeast || len(tales[1].Holds) < claimsLeast {
		t.Errorf("%d and %d claims; want %d at least of each", len(tales[0].Holds), len(tales[1].Holds), claimsLeast)
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
	told.Holds = claimed(t, cache)
	meet("countdown")
	countDown(t, cache, &told)
	presence, err := volatile.NewPresence(cache, "guests", nil)
	must(t, err)
	meet("coming")
	come(t, presence, workers)
	meet("leaving")
	told.Present = append(told.Present, present(t, presence))
	meet("counted")
	leave(t, presence, workers/2)
	meet("gone")
	told.Present = append(told.Present, present(t, presence))
	told.Top = topped(t, cache)
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
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	together(func(int) {
		for ctx.Err() == nil {
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
			select {
			case <-ctx.Done():
			case <-time.After(min(wait, 5*time.Millisecond)):
			}
		}
	})
	return int(yes.Load()), int(no.Load())
}

func metered(t *testing.T, cache *volatile.Cache) {
	m, err := volatile.NewMeter(cache, "arrivals")
	must(t, err)
	together(func(worker int) {
		for range hitsEach {
			if err := m.Hit(t.Context(), "pier", 1); err != nil {
				t.Error(err)
			}
		}
		for n := range topHits {
			must(t, m.Hit(t.Context(), fmt.Sprint("top ", n), topHits-n))
		}
		for n := range 5 {
			must(t, m.Hit(t.Context(), fmt.Sprint("rare ", worker, n), 1))
		}
	})
}

// topped reads the keys that arrived most, once it has heard of what the other
// process has counted.
func topped(t *testing.T, cache *volatile.Cache) (top []volatile.Arrivals) {
	m, err := volatile.NewMeter(cache, "arrivals")
	must(t, err)
	eventually(t, 20*time.Second, "all three keys are known", func() bool {
		all, err := m.Top(t.Context(), time.Hour, 4)
		must(t, err)
		if len(all) < 4 || all[0].Key != "pier" {
			return false
		}
		top = all[1:]
		return top[2].Count == 2*workers
	})
	return top
}

// claimed claims a key again and again, from all workers and against the other
// process, until there are enough claims or so.
func claimed(t *testing.T, cache *volatile.Cache) (holds []hold) {
	claims, err := volatile.NewClaims(cache, "jobs", nil)
	must(t, err)
	var mu sync.Mutex
	enough := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(holds) >= claimsLeast
	}
	end := time.Now().Add(lasts / 2)
	together(func(int) {
		for time.Now().Before(end) || !enough() {
			claim, err := claims.Acquire(t.Context(), "nightly")
			if errors.Is(err, fault.ErrConflict) || errors.Is(err, fault.ErrBusy) {
				select {
				case <-t.Context().Done():
				case <-time.After(time.Millisecond):
				}
				continue
			}
			if err != nil {
				t.Error(err)
				return
			}
			h := hold{Fence: claim.Fence, From: time.Now()}
			_, _, err = cache.Get(t.Context(), "work")
			must(t, err)
			h.To = time.Now()
			mu.Lock()
			holds = append(holds, h)
			mu.Unlock()
			must(t, claim.Release(t.Context()))
		}
	})
	return holds
}

// countDown tells every other part of a countdown, and waits for all of it.
func countDown(t *testing.T, cache *volatile.Cache, told *tale) {
	c, err := volatile.NewCountdown(cache, "shards", nil)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	waited := make(chan error, 1)
	go func() {
		err := c.Wait(ctx, "job", 2*parts)
		told.Waited = time.Now()
		waited <- err
	}()
	var next atomic.Int64
	var mu sync.Mutex
	together(func(int) {
		for n := next.Add(1); n <= parts; n = next.Add(1) {
			mu.Lock()
			told.Told = time.Now()
			mu.Unlock()
			must(t, c.Done(ctx, "job", fmt.Sprint(os.Getenv("FOURFOLD_TEST_PARTY"), " ", n)))
		}
	})
	must(t, <-waited)
	told.Left, err = c.Left(ctx, "job", 2*parts)
	must(t, err)
}

// come lets n members of this process come, each by a worker.
func come(t *testing.T, p *volatile.Presence, n int) {
	together(func(worker int) {
		if worker < n {
			must(t, p.Enter(t.Context(), "pier", visitor(worker)))
		}
	})
}

// leave lets n of them go.
func leave(t *testing.T, p *volatile.Presence, n int) {
	together(func(worker int) {
		if worker < n {
			must(t, p.Leave(t.Context(), "pier", visitor(worker)))
		}
	})
}

func visitor(worker int) volatile.Member {
	return volatile.Member{ID: fmt.Sprint(os.Getenv("FOURFOLD_TEST_PARTY"), " ", worker)}
}

func present(t *testing.T, p *volatile.Presence) int {
	members, err := p.Members(t.Context(), "pier")
	must(t, err)
	return len(members)
}
