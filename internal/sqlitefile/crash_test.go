package sqlitefile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// crashDirVariable names the directory for a child process of TestCrash_A2_A6_A15.
const crashDirVariable = "SQLITEFILE_CRASH_DIR"

// crashChild writes units for ever and prints the number of each that was
// acknowledged. A unit is two rows, so that a half one can be seen.
func crashChild(dir string) {
	ctx := context.Background()
	f, err := Open(ctx, dir, Options{})
	if err == nil {
		err = write(ctx, f, "CREATE TABLE IF NOT EXISTS t (k TEXT PRIMARY KEY, half INT)")
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for c := range 8 {
		go func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), c, n)
				if n%5 == 3 {
					id = "failing-" + id
				}
				err := f.Write(ctx, func(conn Conn) error {
					for half := range 2 {
						if _, err := conn.Exec(ctx, "INSERT INTO t VALUES (?, ?)", fmt.Sprint(id, "-", half), half); err != nil {
							return err
						}
					}
					if n%5 == 3 {
						return errors.New("a unit that fails leaves nothing")
					}
					return nil
				})
				if err == nil {
					os.Stdout.WriteString("ack " + id + "\n")
				}
			}
		}()
	}
	select {}
}

func TestCrash_A2_A6_A15(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: that an acknowledged unit survives a kill")
	}
	dir := filepath.Join(t.TempDir(), "data")
	acked := map[string]bool{}
	for round := range 4 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), crashDirVariable+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		killAfter := 20 + rand.IntN(300)
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			id, ok := strings.CutPrefix(lines.Text(), "ack ")
			if !ok {
				t.Fatalf("round %d: %s", round, lines.Text())
			}
			acked[id] = true
			if n == killAfter {
				if _, err := Open(t.Context(), dir, Options{}); err == nil || !strings.Contains(err.Error(), fmt.Sprint("process ", cmd.Process.Pid)) {
					t.Errorf("a second process: %v, want an error that names process %d", err, cmd.Process.Pid)
				}
				time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
			}
		}
		_ = cmd.Wait()
	}
	checkSurvivors(t, dir, acked)
}

func checkSurvivors(t *testing.T, dir string, acked map[string]bool) {
	f, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	halves := map[string]int{}
	err = f.Read(t.Context(), func(c Conn) error {
		return c.Query(t.Context(), "SELECT k FROM t", nil, func(scan func(...any) error) error {
			var k string
			if err := scan(&k); err != nil {
				return err
			}
			halves[k[:strings.LastIndexByte(k, '-')]]++
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for id := range acked {
		if halves[id] != 2 {
			t.Errorf("unit %s was acknowledged, and %d of its 2 rows are there", id, halves[id])
		}
	}
	for id, n := range halves {
		if n != 2 || strings.HasPrefix(id, "failing-") {
			t.Errorf("%d of 2 rows of unit %s are there", n, id)
		}
	}
	t.Logf("%d acknowledged, %d found", len(acked), len(halves))
}
