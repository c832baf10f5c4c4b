package transitory_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// The driver sees no faulty job, and sees the sound ones whole, with the
// defaults filled in.
func TestQueueGivesTheDriverOnlySoundJobs_B18(t *testing.T) {
	f := newFake()
	q := transitory.New(f)
	errs := q.Put(t.Context(),
		transitory.Job{Tube: "-t"}, transitory.Job{Tube: "t", ID: "mine", Reserves: 9},
		transitory.Job{Tube: "t", Body: make([]byte, 101)}, transitory.Job{Tube: "t", TTR: -1})
	for i, class := range []error{fault.ErrInvalid, nil, fault.ErrTooLarge, fault.ErrInvalid} {
		if fault.ClassOf(errs[i]) != class {
			t.Errorf("job %d: %v, want class %v", i, errs[i], class)
		}
	}
	if len(f.jobs) != 1 || f.jobs[0].TTR != transitory.DefaultTTR || f.jobs[0].Body == nil || f.jobs[0].Reserves != 0 {
		t.Errorf("the driver got %+v", f.jobs)
	}
	for _, part := range []string{"101", "100", "fake"} {
		if !strings.Contains(errs[2].Error(), part) {
			t.Errorf("%q does not say %q", errs[2], part)
		}
	}
}

// A driver that answers for another number of jobs cannot be believed: every
// outcome is unknown.
func TestQueueDistrustsMisalignedAnswers(t *testing.T) {
	q := transitory.New(misaligned{newFake()})
	for _, err := range q.Delete(t.Context(), "a", "b", "c") {
		if !fault.Unknown(err) {
			t.Errorf("got %v", err)
		}
	}
}

type misaligned struct{ *fake }

func (misaligned) Delete(context.Context, []transitory.ID) []error { return make([]error, 2) }

// "Closing twice is fine": the driver is closed once, and every Close returns
// when that is done.
func TestQueueClosesItsDriverOnce(t *testing.T) {
	f := newFake()
	q := transitory.New(f)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_ = q.Close()
			if f.closed != 1 {
				t.Errorf("Close returned when the driver had been closed %d times", f.closed)
			}
		})
	}
	wg.Wait()
	if err := q.Put(t.Context(), transitory.Job{Tube: "t"})[0]; fault.ClassOf(err) != fault.ErrClosed {
		t.Errorf("put after Close: %v", err)
	}
	if r := q.Check(t.Context()); r.OK() || len(r.Problems) == 0 {
		t.Errorf("a closed queue reports %v", r)
	}
}

// "A scheme that nobody registered is fault.ErrInvalid with the import that
// mends it. Passwords in a URL appear in no error."
func TestURLErrors(t *testing.T) {
	for url, wants := range map[string][]string{
		"beanstalkd://user:secret@host": {"transitory/beanstalkd"},
		"beanstalk://user:secret@host":  {"known are beanstalkd, embedded"},
		"user:secret@host":              {"known are"},
		"secret":                        {"no scheme"},
		"":                              {"no scheme"},
		"://secret":                     {"no scheme"},
	} {
		_, err := transitory.Open(t.Context(), url)
		if fault.ClassOf(err) != fault.ErrInvalid {
			t.Errorf("%q: %v", url, err)
			continue
		}
		for _, want := range wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: the error %q does not say %q", url, err, want)
			}
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error %q tells the password", err)
		}
	}
}

// Register: "It panics when the scheme is taken."
func TestRegister(t *testing.T) {
	open := func(context.Context, string) (transitory.Driver, error) { return newFake(), nil }
	transitory.Register("test-register", open)
	q, err := transitory.Open(t.Context(), "test-register://anything")
	if err != nil || q.Features().Name != "fake" {
		t.Fatalf("open of a registered scheme: %v", err)
	}
	for what, register := range map[string]func(){
		"twice":       func() { transitory.Register("test-register", open) },
		"empty":       func() { transitory.Register("", open) },
		"no function": func() { transitory.Register("test-nil", nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: Register did not panic", what)
				}
			}()
			register()
		}()
	}
}

// An ended context reaches no driver.
func TestQueueAsksNoDriverAfterItsContext(t *testing.T) {
	f := newFake()
	q := transitory.New(f)
	ctx, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	if err := q.Put(ctx, transitory.Job{Tube: "t"})[0]; !errors.Is(err, context.DeadlineExceeded) || len(f.calls) != 0 {
		t.Errorf("%v; the driver saw %v", err, f.calls)
	}
}

// ValidTube accepts exactly the names that beanstalkd takes and that its Go
// client takes too: whatever it accepts is one word on the wire.
func FuzzValidTube(f *testing.F) {
	for _, s := range []string{"", "a", "-a", "a-", "a b", "a\r\n", strings.Repeat("a", 199), strings.Repeat("a", 200), "ä", "+/;.$_()-"} {
		f.Add(s)
	}
	const legal = `-+/;.$_()0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz`
	f.Fuzz(func(t *testing.T, name string) {
		want := len(name) >= 1 && len(name) <= 199 && name[0] != '-' && strings.Trim(name, legal) == ""
		for i := range len(name) {
			want = want && strings.IndexByte(legal, name[i]) >= 0
		}
		err := transitory.ValidTube(name)
		if (err == nil) != want {
			t.Errorf("ValidTube(%q) is %v", name, err)
		}
		if err != nil && (fault.ClassOf(err) != fault.ErrInvalid || strings.ContainsAny(err.Error(), "\r\n")) {
			t.Errorf("the error of %q is %q", name, err)
		}
	})
}
