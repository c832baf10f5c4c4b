package persistence_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/transitory"
)

// ran notes which objects a handler saw.
type ran struct {
	mu  sync.Mutex
	ids map[string]int
}

func (r *ran) do(_ context.Context, p ping) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = map[string]int{}
	}
	r.ids[p.ID]++
	return nil
}

func (r *ran) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprint(r.ids)
}

func pingPlan(do func(context.Context, ping) error) persistence.Plan[ping] {
	return persistence.Plan[ping]{{Priority: 1, Name: "run", Purpose: persistence.Transitory, Do: do}}
}

var queued = persistence.KindOptions{Custody: persistence.TransitoryCustody}

// takeOut returns the body of the one job in a tube, and removes the job.
func takeOut(t *testing.T, layer *persistence.Layer, tube string) []byte {
	t.Helper()
	jobs, err := layer.Transitory().Reserve(t.Context(), []string{tube}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := layer.Transitory().Delete(t.Context(), jobs[0].ID)[0]; err != nil {
		t.Fatal(err)
	}
	return jobs[0].Body
}

func putJob(t *testing.T, layer *persistence.Layer, tube string, body []byte) {
	t.Helper()
	if err := layer.Transitory().Put(t.Context(), transitory.Job{Tube: tube, Body: body, TTR: 10 * time.Second})[0]; err != nil {
		t.Fatal(err)
	}
}

// reseal gives an envelope that was tampered with a checksum that fits.
func reseal(data []byte) []byte {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Checksum(data[8:], table), table, data[:4])
	binary.BigEndian.PutUint32(data[4:], sum)
	return data
}

// "Forged or corrupt envelopes are quarantined and never run", and what is
// beside them runs.
func TestForgedJobsAreSetAsideAndNeverRun_A9_B9(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		layer := persistencetest.Open(t, persistencetest.Options{Dir: dir, Unfinished: true})
		var r ran
		pings := persistence.Declare(layer, "ping", pingPlan(r.do), queued)
		if _, err := pings.Put(t.Context(), ping{ID: "victim"}); err != nil {
			t.Fatal(err)
		}
		genuine := takeOut(t, layer, "ff/ping/bg")
		flipped := bytes.Clone(genuine)
		flipped[len(flipped)/2] ^= 4
		forged := map[string][]byte{
			"empty": nil, "garbage": []byte("DROP TABLE ping"), "torn": genuine[:len(genuine)-3], "flipped": flipped,
			"zeros": make([]byte, 100), "only a head": genuine[:8],
		}
		for _, body := range forged {
			putJob(t, layer, "ff/ping/bg", body)
			putJob(t, layer, "ff/ping/rt", body)
		}
		r1, err := pings.Put(t.Context(), ping{ID: "genuine"})
		if err != nil {
			t.Fatal(err)
		}
		persistencetest.Work(t, layer)
		wait(t, r1, nil)
		time.Sleep(time.Minute)
		if got := r.String(); got != "map[genuine:1]" {
			t.Errorf("ran %s, want the genuine one alone", got)
		}
		set := map[string]int{}
		for range 2 * len(forged) {
			set[string(takeOut(t, layer, "ff/quarantine"))]++
		}
		for name, body := range forged {
			if set[string(body)] != 2 {
				t.Errorf("%s: %d of 2 lie in quarantine as they were", name, set[string(body)])
			}
		}
	})
}

// An intact envelope whose object cannot be decoded is a dead letter, not a
// loop and not a panic.
func TestAnEnvelopeWithABodyOfNothing(t *testing.T) {
	both(t, func(t *testing.T, opts persistence.KindOptions) {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			layer := persistencetest.Open(t, persistencetest.Options{Dir: dir, Unfinished: true})
			var r ran
			pings := persistence.Declare(layer, "ping", pingPlan(r.do), opts)
			if _, err := pings.Put(t.Context(), ping{ID: "broken"}); err != nil {
				t.Fatal(err)
			}
			breakBody := func(data []byte) []byte {
				env, err := envelope.Decode(data)
				if err != nil {
					t.Fatal(err)
				}
				env.Body = []byte(`{"id": [`)
				return env.Append(nil)
			}
			if opts.Custody == persistence.TransitoryCustody {
				putJob(t, layer, "ff/ping/bg", breakBody(takeOut(t, layer, "ff/ping/bg")))
			} else {
				changeRow(t, layer, breakBody)
			}
			persistencetest.Work(t, layer)
			time.Sleep(time.Minute)
			letters, err := layer.DeadLetters().List(t.Context(), persistence.DeadFilter{})
			if err != nil || len(letters) != 1 || letters[0].Key != "broken" || r.String() != "map[]" {
				t.Errorf("dead letters %+v, %v; ran %s; want one letter and no run", letters, err, &r)
			}
		})
	})
}

// changeRow changes the body of the one envelope in the outbox.
func changeRow(t *testing.T, layer *persistence.Layer, change func([]byte) []byte) {
	t.Helper()
	err := layer.Tx(t.Context(), func(ctx context.Context, tx *persistence.Tx) error {
		var body []byte
		err := tx.Query(ctx, "SELECT body FROM ff_outbox", nil, func(scan func(...any) error) error { return scan(&body) })
		if err == nil {
			_, err = tx.Exec(ctx, "UPDATE ff_outbox SET body = ?", change(body))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A row of the outbox that was damaged, or whose envelope is another one's, is
// never run, and stays where it is.
func TestForgedRowsAreNeverRun_A9(t *testing.T) {
	forgeries := map[string]func([]byte) []byte{
		"flipped": func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"torn":    func(b []byte) []byte { return b[:len(b)/2] },
		"empty":   func([]byte) []byte { return []byte{} },
		"of another object": func(b []byte) []byte {
			return reseal(bytes.Replace(b, []byte("\x06victim"), []byte("\x06target"), 1))
		},
	}
	for name, forge := range forgeries {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				layer := persistencetest.Open(t, persistencetest.Options{Dir: dir, Unfinished: true})
				var r ran
				pings := persistence.Declare(layer, "ping", pingPlan(r.do), persistence.KindOptions{Custody: persistence.TransactionalCustody})
				if _, err := pings.Put(t.Context(), ping{ID: "victim"}); err != nil {
					t.Fatal(err)
				}
				changeRow(t, layer, forge)
				persistencetest.Work(t, layer)
				r1, err := pings.Put(t.Context(), ping{ID: "genuine"})
				if err != nil {
					t.Fatal(err)
				}
				wait(t, r1, nil)
				time.Sleep(20 * time.Minute) // longer than any lease
				if got := r.String(); got != "map[genuine:1]" {
					t.Errorf("ran %s, want the genuine one alone", got)
				}
				left, err := layer.Drain(t.Context())
				if err != nil || len(left) != 1 {
					t.Errorf("drain left %+v, %v; want the forged one", left, err)
				}
			})
		})
	}
}

// "A kind that this program does not know is parked, spends no attempt, and
// drains when somebody serves it", also when its envelope comes by a wrong tube.
func TestAJobOfAnUnknownKindWaitsForWhoeverServesIt(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var r ran
		open := func(kinds ...string) *persistence.Layer {
			layer := persistencetest.Open(t, persistencetest.Options{Dir: dir, Unfinished: true})
			for _, k := range kinds {
				persistence.Declare(layer, k, pingPlan(r.do), queued)
			}
			return layer
		}
		layer := open("other")
		others := layer // declared above; its own handle is not needed
		body := (&envelope.Envelope{ID: envelope.ID{1}, Kind: "later", Key: "x", Version: 1, Accepted: time.Now().UTC(),
			Body: []byte(`{"id":"x"}`), Tasks: []envelope.Task{{Name: "run"}}}).Append(nil)
		putJob(t, others, "ff/other/bg", body)
		stop := persistencetest.Work(t, layer)
		time.Sleep(time.Minute)
		stop()
		if got := r.String(); got != "map[]" {
			t.Fatalf("ran %s", got)
		}
		layer.Close()

		layer = open("other", "later")
		persistencetest.Work(t, layer)
		time.Sleep(time.Minute)
		if got := r.String(); !strings.Contains(got, "x:1") {
			t.Errorf("ran %s, want what waited for its kind", got)
		}
	})
}

// A job in a format of the future belongs to a newer program, and stays in its
// tube for it.
func TestAJobOfANewerFormatWaitsForItsProgram(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		layer := persistencetest.Open(t, persistencetest.Options{Dir: dir, Unfinished: true})
		var r ran
		pings := persistence.Declare(layer, "ping", pingPlan(r.do), queued)
		if _, err := pings.Put(t.Context(), ping{ID: "future"}); err != nil {
			t.Fatal(err)
		}
		newer := takeOut(t, layer, "ff/ping/bg")
		newer[2] = envelope.Format + 1
		reseal(newer)
		putJob(t, layer, "ff/ping/bg", newer)
		r1, err := pings.Put(t.Context(), ping{ID: "present"})
		if err != nil {
			t.Fatal(err)
		}
		stop := persistencetest.Work(t, layer)
		wait(t, r1, nil)
		time.Sleep(10 * time.Minute)
		stop()
		if got := r.String(); got != "map[present:1]" {
			t.Errorf("ran %s, want what this program can read", got)
		}
		if got := takeOut(t, layer, "ff/ping/bg"); !bytes.Equal(got, newer) {
			t.Errorf("the newer program finds %x", got)
		}
	})
}

// A lateQueue answers a Reserve that found something only when the wait for it is
// over, as one on a machine that stands still.
type lateQueue struct {
	transitory.Driver
	transitory.Featured
}

func (q lateQueue) Reserve(ctx context.Context, tubes []string, most int) ([]transitory.Job, error) {
	jobs, err := q.Driver.Reserve(ctx, tubes, most)
	if err == nil && len(jobs) > 0 {
		<-ctx.Done()
	}
	return jobs, err
}

// What was reserved in the last moment of a wait is dealt with at once, and not
// when its time to run is over.
func TestAReserveThatComesLate(t *testing.T) {
	stores := embedded.Stores(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		inner := stores.Transitory
		stores.Transitory = transitory.SourceFunc(func(ctx context.Context) (transitory.Driver, error) {
			d, err := inner.OpenDriver(ctx)
			if err != nil {
				return nil, err
			}
			return lateQueue{d, d.(transitory.Featured)}, nil
		})
		layer, err := persistence.Open(t.Context(), stores, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer layer.Close()
		var r ran
		pings := persistence.Declare(layer, "ping", pingPlan(r.do), queued)
		if err := layer.Transitory().Put(t.Context(), transitory.Job{Tube: "ff/ping/bg", TTR: time.Hour, Body: []byte("no envelope")})[0]; err != nil {
			t.Fatal(err)
		}
		if _, err := pings.Put(t.Context(), ping{ID: "p"}); err != nil {
			t.Fatal(err)
		}
		stop := persistencetest.Work(t, layer)
		time.Sleep(5 * time.Second)
		stop()
		stats, err := layer.Transitory().Stats(t.Context(), "ff/quarantine")
		if err != nil || stats[0].Ready != 1 || r.String() != "map[p:1]" {
			t.Errorf("ran %s, in quarantine %+v, %v", &r, stats, err)
		}
	})
}
