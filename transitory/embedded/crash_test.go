package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/transitory/embedded"
)

const childDir = "FOURFOLD_TRANSITORY_CRASH_DIR"

// TestCrashChild is not a test: it is the process that TestCrash_A2 kills. It puts
// and deletes until then, and writes what was acknowledged, one line each.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("the process that TestCrash_A2 starts and kills")
	}
	driver, err := embedded.Dir(dir, nil).OpenDriver(t.Context())
	if err != nil {
		fmt.Println("failed", err)
		return
	}
	q := transitory.New(driver)
	run := os.Getpid()
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(os.Stdout, format+"\n", args...) // one write, unbuffered: what is out survives the kill
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				body := fmt.Sprintf("%d.%d.%d", run, g, i)
				say("try %s", body)
				if err := q.Put(t.Context(), transitory.Job{Tube: "t", Priority: uint32(i % 3), TTR: time.Hour, Body: []byte(body)})[0]; err != nil {
					say("failed put %v", err)
					return
				}
				say("put %s", body)
				if i%3 == 0 {
					continue
				}
				jobs, err := q.Reserve(t.Context(), []string{"t"}, 1)
				if err != nil {
					say("failed reserve %v", err)
					return
				}
				say("deleting %s", jobs[0].Body)
				if err := q.Delete(t.Context(), jobs[0].ID)[0]; err != nil {
					say("failed delete %v", err)
					return
				}
				say("deleted %s", jobs[0].Body)
			}
		})
	}
	wg.Wait()
}

// ledger is what the child's acknowledgements say must be there.
type ledger struct{ tried, put, deleting, deleted map[string]bool }

func newLedger() *ledger {
	return &ledger{tried: map[string]bool{}, put: map[string]bool{}, deleting: map[string]bool{}, deleted: map[string]bool{}}
}

// read takes the child's lines until it has said enough, and returns how many
// there were.
func (l *ledger) read(t *testing.T, from io.Reader, enough int, then func()) int {
	lines := 0
	for scan := bufio.NewScanner(from); scan.Scan(); {
		verb, body, _ := strings.Cut(scan.Text(), " ")
		switch verb {
		case "try":
			l.tried[body] = true
		case "put":
			l.put[body] = true
		case "deleting":
			l.deleting[body] = true
		case "deleted":
			l.deleted[body] = true
		case "failed":
			t.Errorf("the child failed: %s", body)
		}
		if lines++; lines == enough {
			then()
		}
	}
	return lines
}

// "A job whose Put returned nil is there again" and a job whose Delete returned
// nil is gone, whenever the process is killed.
func TestCrash_A2(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	dir, l := t.TempDir(), newLedger()
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := l.read(t, out, 200+137*round, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		if said < 200 {
			t.Fatalf("round %d: the child said only %d lines", round, said)
		}
	}
	l.check(t, dir)
}

// check opens the queue and compares what is there with what must be.
func (l *ledger) check(t *testing.T, dir string) {
	driver, err := embedded.Dir(dir, nil).OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	q := transitory.New(driver)
	defer q.Close()
	there := map[string]bool{}
	stats, err := q.Stats(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	if stats[0].Reserved != 0 || stats[0].Delayed != 0 {
		t.Errorf("after a crash nothing is reserved: %+v", stats[0])
	}
	for len(there) < stats[0].Ready {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		jobs, err := q.Reserve(ctx, []string{"t"}, 100)
		cancel()
		if err != nil {
			t.Fatalf("%d of %d jobs came out: %v", len(there), stats[0].Ready, err)
		}
		for _, job := range jobs {
			if there[string(job.Body)] {
				t.Errorf("job %s came twice", job.Body)
			}
			there[string(job.Body)] = true
		}
	}
	for body := range l.put {
		if !there[body] && !l.deleting[body] {
			t.Errorf("job %s was acknowledged, and is lost", body)
		}
	}
	for body := range there {
		if l.deleted[body] {
			t.Errorf("job %s was deleted, and is back", body)
		}
		if !l.tried[body] {
			t.Errorf("job %s was never put", body)
		}
	}
	if len(l.put) < 100 || len(l.deleted) < 50 {
		t.Errorf("a crash test of %d puts and %d deletes proves little", len(l.put), len(l.deleted))
	}
	t.Logf("%d puts, %d deletes, %d left", len(l.put), len(l.deleted), len(there))
}
