package embedded_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/embedded"
)

const crashDir = "FOURFOLD_CRASH_DIR"

var crashTables = []*transactional.Table{
	{Name: "left", Columns: []transactional.Column{{Name: "n", Type: transactional.Int}}},
	{Name: "right", Columns: []transactional.Column{{Name: "n", Type: transactional.Int}}},
}

func crashID(n int64) (id transactional.RecordID) {
	binary.BigEndian.PutUint64(id[:8], uint64(n))
	return id
}

func crashUnit(n int64) *transactional.Unit {
	u := &transactional.Unit{Add: []transactional.Record{{ID: crashID(n), Kind: "k", Lane: "lane", Body: make([]byte, 200)}}}
	for _, table := range crashTables {
		for k := range 3 {
			u.Writes = append(u.Writes, transactional.Write{Table: table, Row: transactional.Row{
				ID: fmt.Sprintf("%d.%d", n, k), Stamp: transactional.Stamp{Version: 1}, Values: []any{n},
			}})
		}
	}
	return u
}

// TestCrashChild is the child of TestCrash_A2: it writes units until it is
// killed, and prints the number of each that was acknowledged.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("the process that TestCrash_A2 starts and kills")
	}
	store, err := transactional.Open(context.Background(), embedded.Dir(dir, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	first := int64(0)
	err = store.Walk(context.Background(), func(r transactional.Record) bool {
		first = int64(binary.BigEndian.Uint64(r.ID[:8]))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu  sync.Mutex
		out = bufio.NewWriter(os.Stdout)
	)
	for w := range int64(8) {
		go func() {
			for n := first + w + 1; ; n += 8 {
				_, err := store.Apply(context.Background(), crashUnit(n))
				mu.Lock()
				if err != nil {
					fmt.Fprintln(out, "error", err)
				} else {
					fmt.Fprintln(out, n)
				}
				out.Flush()
				mu.Unlock()
			}
		}()
	}
	select {}
}

// TestCrash_A2 kills a process while it writes, again and again: units that were
// acknowledged are whole, the others are whole or not there at all.
func TestCrash_A2(t *testing.T) {
	dir := t.TempDir()
	acked := map[int64]bool{}
	rounds := 12
	if testing.Short() {
		rounds = 4
	}
	for round := range rounds {
		crashOnce(t, dir, acked, 1+rand.IntN(400))
		checkCrash(t, dir, acked)
		if t.Failed() {
			t.Fatalf("after round %d", round)
		}
	}
	if len(acked) < rounds {
		t.Fatalf("only %d units were acknowledged: nothing is proved", len(acked))
	}
}

// crashOnce kills the child after it has acknowledged so many units.
func crashOnce(t *testing.T, dir string, acked map[int64]bool, after int) {
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	child.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(30*time.Second, func() { child.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		n, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil {
			t.Errorf("the child says %q", lines.Text())
			continue
		}
		acked[n] = true
		if after--; after == 0 {
			child.Process.Kill()
		}
	}
	child.Wait() // killed, as it should be
}

func checkCrash(t *testing.T, dir string, acked map[int64]bool) {
	store, err := transactional.Open(t.Context(), embedded.Dir(dir, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	parts := map[int64]int{}
	for _, table := range crashTables {
		for f := (transactional.Filter{Limit: 10000}); ; {
			rows, next, err := store.Scan(t.Context(), table, f)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				parts[row.Values[0].(int64)]++
			}
			if f.After = next; next == nil {
				break
			}
		}
	}
	err = store.Walk(t.Context(), func(r transactional.Record) bool {
		parts[int64(binary.BigEndian.Uint64(r.ID[:8]))]++
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	const whole = 7
	for n, got := range parts {
		if got != whole {
			t.Errorf("unit %d is there with %d of %d parts (acknowledged: %v)", n, got, whole, acked[n])
		}
	}
	for n := range acked {
		if parts[n] != whole {
			t.Errorf("unit %d was acknowledged and is there with %d of %d parts", n, parts[n], whole)
		}
	}
}
