package embedded_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
)

// A countingDriver counts how often the database is touched.
type countingDriver struct {
	transactional.Driver
	touched atomic.Int64
}

func (d *countingDriver) Run(ctx context.Context, unit func(transactional.Conn) error) error {
	d.touched.Add(1)
	return d.Driver.Run(ctx, unit)
}

func (d *countingDriver) View(ctx context.Context, unit func(transactional.Conn) error) error {
	d.touched.Add(1)
	return d.Driver.View(ctx, unit)
}

func (d *countingDriver) Commits() (uint64, bool) { return d.Driver.(transactional.Counting).Commits() }

// A resting is an outbox at rest, which is looked into every second as a layer
// does, and a second opening of it.
type resting struct {
	*testing.T
	driver        *countingDriver
	store, second *transactional.Store
}

func atRest(t *testing.T, test func(r *resting)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &resting{T: t}
		open := func(wrap func(transactional.Driver) transactional.Driver) *transactional.Store {
			driver, err := embedded.Dir(dir, nil).OpenDriver(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			store, err := transactional.New(wrap(driver), nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { store.Close() })
			return store
		}
		r.store = open(func(d transactional.Driver) transactional.Driver {
			r.driver = &countingDriver{Driver: d}
			return r.driver
		})
		r.second = open(func(d transactional.Driver) transactional.Driver { return d })
		test(r)
	})
}

// look sweeps and claims, and returns what it claimed.
func (r *resting) look() []transactional.Record {
	r.Helper()
	if _, err := r.store.Sweep(r.Context()); err != nil {
		r.Fatal(err)
	}
	records, err := r.store.Claim(r.Context(), transactional.ClaimRequest{Lanes: []string{"a", "b"}, Max: 10, Owner: 1, Lease: 10 * time.Second})
	if err != nil {
		r.Fatal(err)
	}
	return records
}

// waits looks every second until it claims something, and returns how long
// that took and how many of the looks touched the database.
func (r *resting) waits(most time.Duration) (took time.Duration, touched int64) {
	r.Helper()
	began, before := time.Now(), r.driver.touched.Load()
	for time.Since(began) < most {
		if len(r.look()) > 0 {
			return time.Since(began), r.driver.touched.Load() - before
		}
		time.Sleep(time.Second)
	}
	return most, r.driver.touched.Load() - before
}

func (r *resting) add(s *transactional.Store, id int64, due time.Time) {
	r.Helper()
	_, err := s.Apply(r.Context(), &transactional.Unit{Add: []transactional.Record{{ID: crashID(id), Kind: "k", Lane: "a", Due: due}}})
	if err != nil {
		r.Fatal(err)
	}
}

// Looking every second into an outbox in which nothing happens touches its file
// twice in 30 seconds: once for claims and once for what is over.
func TestNothingIsReadAtRest(t *testing.T) {
	atRest(t, func(r *resting) {
		r.look()
		if _, touched := r.waits(10 * time.Minute); touched > 2*21 {
			r.Errorf("an outbox at rest was touched %d times in ten minutes", touched)
		}
	})
}

// What another opening of the same directory commits is found by the next look.
func TestASecondOpeningIsSeen(t *testing.T) {
	atRest(t, func(r *resting) {
		r.waits(5 * time.Second)
		r.add(r.second, 1, time.Time{})
		if took, _ := r.waits(time.Minute); took > 0 {
			r.Errorf("what is due at once was found after %v", took)
		}
	})
}

// Time alone makes a record due, and ends a claim: the looks find both when it
// is time, and not later.
func TestTimeAloneEndsARest(t *testing.T) {
	atRest(t, func(r *resting) {
		r.waits(5 * time.Second)
		r.add(r.store, 1, time.Now().Add(7*time.Second))
		if took, _ := r.waits(time.Minute); took != 7*time.Second {
			r.Errorf("what is due in 7 s was found after %v", took)
		}
		// Claimed now, and nobody renews it.
		took, touched := r.waits(time.Minute)
		if took != 10*time.Second {
			r.Errorf("a claim of 10 s ended after %v", took)
		}
		if touched > 12 {
			r.Errorf("until then the database was touched %d times", touched)
		}
	})
}

// What somebody wrote into the file by hand, unseen by this process's count, is
// found all the same.
func TestWhatWasWrittenByHandIsFound(t *testing.T) {
	atRest(t, func(r *resting) {
		r.waits(5 * time.Second)
		stale, _ := r.driver.Commits()
		r.add(r.second, 1, time.Time{})
		r.driver.Driver = &frozen{r.driver.Driver, stale}
		if took, _ := r.waits(2 * time.Minute); took < time.Second || took > 31*time.Second {
			r.Errorf("it was found after %v", took)
		}
	})
}

// A frozen counts no commits any more.
type frozen struct {
	transactional.Driver
	at uint64
}

func (f *frozen) Commits() (uint64, bool) { return f.at, true }
