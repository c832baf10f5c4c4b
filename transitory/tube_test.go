package transitory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// work runs Work in a bubble until the test calls stop.
func work[T any](t *testing.T, tube *transitory.Tube[T], workers int, handle func(context.Context, T) error) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tube.Work(ctx, workers, handle) }()
	return func() error {
		cancel()
		return <-done
	}
}

func newTube[T any](t *testing.T, f *fake, opts *transitory.TubeOptions) *transitory.Tube[T] {
	t.Helper()
	tube, err := transitory.NewTube[T](transitory.New(f), "t", opts)
	if err != nil {
		t.Fatal(err)
	}
	return tube
}

type order struct {
	ID     string `persistence:"key"`
	Cents  int64
	Secret string `transitory:"-"`
}

// A keyed struct travels as its record, without the fields that its tags keep
// out of the queue; other values travel as JSON, and bytes as they are.
func TestTubeCodecs(t *testing.T) {
	f := newFake()
	if err := newTube[order](t, f, nil).Put(t.Context(), order{ID: "o1", Cents: 5, Secret: "x"}); err != nil {
		t.Fatal(err)
	}
	if err := newTube[map[string]int](t, f, nil).Put(t.Context(), map[string]int{"a": 1}); err != nil {
		t.Fatal(err)
	}
	if err := newTube[[]byte](t, f, nil).Put(t.Context(), []byte("\x00raw")); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{`{"id":"o1","cents":5}`, `{"a":1}`, "\x00raw"} {
		if got := string(f.jobs[i].Body); got != want {
			t.Errorf("body %d is %s, want %s", i, got, want)
		}
	}
	if err := newTube[order](t, f, nil).Put(t.Context(), order{}); fault.ClassOf(err) != fault.ErrInvalid {
		t.Errorf("an order without its key: %v", err)
	}
	if err := newTube[chan int](t, f, nil).Put(t.Context(), nil); fault.ClassOf(err) != fault.ErrInvalid {
		t.Errorf("a channel: %v", err)
	}
}

// NewTube: all faults of the name, the options and the type are ErrInvalid.
func TestNewTubeFaults(t *testing.T) {
	q := transitory.New(newFake())
	_, name := transitory.NewTube[order](q, "no tube", nil)
	_, opts := transitory.NewTube[order](q, "t", &transitory.TubeOptions{TTR: 1, Timeout: -1, Grace: -1})
	_, typ := transitory.NewTube[struct {
		ID string `persistence:"key" transitory:",ttl=x"`
		c  int
	}](q, "t", nil)
	for _, err := range []error{name, opts, typ} {
		if fault.ClassOf(err) != fault.ErrInvalid {
			t.Errorf("got %v", err)
		}
	}
	for _, word := range []string{"TTR", "Timeout", "Grace"} {
		if !strings.Contains(opts.Error(), word) {
			t.Errorf("%q does not name %s", opts, word)
		}
	}
}

// "PutAll adds values, each on its own; the errors are aligned with them."
func TestPutAll(t *testing.T) {
	f := newFake()
	tube := newTube[[]byte](t, f, &transitory.TubeOptions{Priority: 7})
	errs := tube.PutAll(t.Context(), [][]byte{[]byte("a"), make([]byte, 101), []byte("c")}, transitory.Delay(time.Minute))
	if errs[0] != nil || fault.ClassOf(errs[1]) != fault.ErrTooLarge || errs[2] != nil {
		t.Errorf("got %v", errs)
	}
	if len(f.jobs) != 2 || f.jobs[1].Delay != time.Minute || f.jobs[1].Priority != 7 {
		t.Errorf("the driver got %+v", f.jobs)
	}
	if err := tube.Put(t.Context(), nil, transitory.Priority(3)); err != nil || f.jobs[2].Priority != 3 {
		t.Errorf("a put with a priority of its own: %v, %+v", err, f.jobs[2])
	}
}

// "nil deletes the job, an error releases it with a back-off; a handler that
// panics has failed."
func TestWorkAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		var failures atomic.Int32
		tube := newTube[string](t, f, &transitory.TubeOptions{Failed: func(transitory.Job, error) { failures.Add(1) }})
		if err := tube.Put(t.Context(), "work"); err != nil {
			t.Fatal(err)
		}
		var runs []time.Duration
		began := time.Now()
		stop := work(t, tube, 3, func(_ context.Context, v string) error {
			runs = append(runs, time.Since(began))
			switch len(runs) {
			case 1, 2:
				return errors.New("not yet")
			case 3:
				panic("oops")
			}
			return nil
		})
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Errorf("Work returned %v", err)
		}
		if len(runs) != 4 || failures.Load() != 3 || f.len() != 0 {
			t.Fatalf("%d runs, %d failures, %d jobs left", len(runs), failures.Load(), f.len())
		}
		for i, most := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
			if wait := runs[i+1] - runs[i]; wait < most/2 || wait > most+20*time.Millisecond {
				t.Errorf("after failure %d the job waited %v, want %v to %v", i+1, wait, most/2, most)
			}
		}
	})
}

// "When ctx ends Work takes no more jobs, lets handlers finish for Grace, then
// ends their context."
func TestWorkStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		tube := newTube[int](t, f, &transitory.TubeOptions{Grace: 10 * time.Second})
		tube.PutAll(t.Context(), []int{5, 3600, 1, 1, 1})
		var ended []int
		stop := work(t, tube, 2, func(ctx context.Context, seconds int) error {
			select {
			case <-time.After(time.Duration(seconds) * time.Second):
			case <-ctx.Done():
				ended = append(ended, seconds)
				return context.Cause(ctx)
			}
			return nil
		})
		time.Sleep(time.Second)
		began := time.Now()
		if err := stop(); err != nil {
			t.Errorf("Work returned %v", err)
		}
		if passed := time.Since(began); passed != 10*time.Second {
			t.Errorf("Work returned after %v, want the grace of 10s", passed)
		}
		if !slices.Equal(ended, []int{3600}) || f.len() != 4 {
			t.Errorf("handlers %v were ended, %d jobs are left; want [3600] and 4", ended, f.len())
		}
		// What was cut off did not fail: somebody else may have it at once.
		if len(f.releases) != 1 || f.releases[0].Delay != 0 {
			t.Errorf("the job that was cut off was released as %+v", f.releases)
		}
	})
}

// "While a handler runs, its reservation is renewed", and it is no longer when
// the handler has run for Timeout.
func TestWorkRenewsReservations_B12(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		tube := newTube[string](t, f, &transitory.TubeOptions{TTR: 2 * time.Second, Timeout: time.Minute})
		if err := tube.Put(t.Context(), "long"); err != nil {
			t.Fatal(err)
		}
		var runs atomic.Int32
		stop := work(t, tube, 4, func(ctx context.Context, _ string) error {
			if runs.Add(1) > 1 {
				return nil
			}
			<-ctx.Done()
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				t.Errorf("the handler was ended by %v", context.Cause(ctx))
			}
			return ctx.Err()
		})
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if runs.Load() != 1 || f.touched() < 58 {
			t.Errorf("after 59 s the job ran %d times and was touched %d times", runs.Load(), f.touched())
		}
		time.Sleep(10 * time.Second)
		_ = stop()
		if runs.Load() != 2 || f.len() != 0 {
			t.Errorf("%d runs, %d jobs left", runs.Load(), f.len())
		}
	})
}

// A reservation that is lost ends the handler's context: somebody else may be
// running the job.
func TestWorkNoticesALostReservation_B11(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		tube := newTube[string](t, f, &transitory.TubeOptions{TTR: 10 * time.Second})
		if err := tube.Put(t.Context(), "lost"); err != nil {
			t.Fatal(err)
		}
		var cause error
		stop := work(t, tube, 1, func(ctx context.Context, _ string) error {
			f.mu.Lock()
			f.jobs = nil // the server was restarted without a log
			f.mu.Unlock()
			<-ctx.Done()
			cause = context.Cause(ctx)
			return cause
		})
		time.Sleep(6 * time.Second)
		_ = stop()
		if !errors.Is(cause, fault.ErrNotFound) {
			t.Errorf("the handler was ended by %v", cause)
		}
	})
}

// "Dead keeps a job that cannot succeed"; without it the job is released, and
// never lost.
func TestWorkBuriesWhatCannotSucceed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		var dead []string
		keep := errors.New("the cellar is locked")
		tube := newTube[int](t, f, &transitory.TubeOptions{Dead: func(_ context.Context, job transitory.Job, reason error) error {
			if keep != nil {
				defer func() { keep = nil }()
				return keep
			}
			dead = append(dead, fmt.Sprintf("%s %v", job.Body, fault.ClassOf(reason)))
			return nil
		}})
		raw := newTube[[]byte](t, f, nil)
		raw.PutAll(t.Context(), [][]byte{[]byte("not a number"), []byte("7")})
		stop := work(t, tube, 1, func(_ context.Context, v int) error {
			return fault.New(fault.ErrRefused, "transitory", "handle", "never")
		})
		time.Sleep(time.Minute)
		_ = stop()
		slices.Sort(dead)
		if f.len() != 0 || !slices.Equal(dead, []string{"7 refused by the store", "not a number corrupt"}) {
			t.Errorf("%d jobs left, dead: %q", f.len(), dead)
		}

		plain := newTube[int](t, f, nil)
		raw.PutAll(t.Context(), [][]byte{[]byte("not a number")})
		stop = work(t, plain, 1, func(context.Context, int) error { return nil })
		time.Sleep(time.Hour)
		_ = stop()
		if f.len() != 1 {
			t.Error("a job that cannot be decoded is lost")
		}
	})
}

// "A queue that cannot be reached is tried again"; an answer whose outcome is
// unknown is given again, and a closed queue ends Work.
func TestWorkOutlivesFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		tube := newTube[string](t, f, nil)
		if err := tube.Put(t.Context(), "work"); err != nil {
			t.Fatal(err)
		}
		f.fails("reserve", 20, fault.ErrUnavailable)
		done := make(chan time.Time, 1)
		stop := work(t, tube, 1, func(context.Context, string) error {
			f.fails("delete", 3, fault.ErrUnknown)
			done <- time.Now()
			return nil
		})
		<-done
		time.Sleep(time.Second)
		if f.len() != 0 {
			t.Error("the job was not deleted after answers that were lost")
		}
		f.fails("reserve", 1, fault.ErrClosed)
		tube.PutAll(t.Context(), []string{"more"})
		time.Sleep(time.Second)
		if err := stop(); !errors.Is(err, fault.ErrClosed) {
			t.Errorf("Work on a closed queue returned %v", err)
		}
	})
}
