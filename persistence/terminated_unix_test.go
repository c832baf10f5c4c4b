//go:build unix

package persistence_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// terminatedDir names the directory for the process that is asked to end.
const terminatedDir = "FOURFOLD_TERMINATED_DIR"

const terminatedGrace = time.Second

// pending are so many objects in each custody.
const pending = 150

// A lodger keeps pages in either custody. One of each has a handler that lets go
// only when it is told to.
type lodger struct {
	layer *persistence.Layer
	kinds []*persistence.Handle[page]
}

func openLodger(ctx context.Context, dir string, faults *persistencetest.Faults, hang func(context.Context) error) (*lodger, error) {
	layer, err := persistence.Open(ctx, faults.Wrap(embedded.Stores(dir)), &persistence.Options{Grace: terminatedGrace})
	if err != nil {
		return nil, err
	}
	l := &lodger{layer: layer}
	for _, c := range []persistence.Custody{persistence.TransactionalCustody, persistence.TransitoryCustody} {
		l.kinds = append(l.kinds, persistence.Declare(layer, "page"+c.String(), persistence.Plan[page]{
			{Priority: 1, Name: "object", Purpose: persistence.Amorphous},
			{Priority: 2, Name: "hang", Purpose: persistence.Transitory, When: func(p page) bool { return p.ID == "p0" },
				Do: func(ctx context.Context, _ page) error { return hang(ctx) }},
		}, persistence.KindOptions{Custody: c}))
	}
	return l, nil
}

// lodge is the program: it puts all, works while a store is down, and stops when
// it is asked to, as programs do.
func lodge(t *testing.T, dir string) {
	faults := persistencetest.NewFaults()
	l, err := openLodger(t.Context(), dir, faults, func(ctx context.Context) error {
		fmt.Println("hangs")
		<-ctx.Done()
		return ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	faults.Down(persistence.Amorphous)
	for _, h := range l.kinds {
		objs := make([]page, pending)
		for i := range objs {
			objs[i].ID = fmt.Sprint("p", i)
		}
		for _, r := range h.PutAll(t.Context(), objs) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	if err := l.layer.Work(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error("work:", err)
	}
	if err := l.layer.Close(); err != nil {
		t.Error("close:", err)
	}
	fmt.Println("closed")
}

// SIGTERM to a program with much pending, a store that is down and handlers that
// let go only when they must: it ends by itself, little after its grace period,
// and what is pending stays in custody.
func TestTerminatedWithMuchPending_A26(t *testing.T) {
	if dir := os.Getenv(terminatedDir); dir != "" {
		lodge(t, dir)
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestTerminatedWithMuchPending_A26$")
	cmd.Env = append(os.Environ(), terminatedDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	var began time.Time
	hangs, closed := 0, false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch lines.Text() {
		case "hangs":
			if hangs++; hangs == 2 {
				began = time.Now()
				if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			}
		case "closed":
			closed = true
		}
	}
	if err := cmd.Wait(); err != nil || !closed {
		t.Fatalf("the program did not end by itself: %v", err)
	}
	if took := time.Since(began); took > terminatedGrace+20*time.Second {
		t.Errorf("it took %v to end, with a grace of %v", took, terminatedGrace)
	}
	l, err := openLodger(t.Context(), dir, persistencetest.NewFaults(), func(context.Context) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer l.layer.Close()
	if left := drain(t, l.layer); len(left) > 0 {
		t.Errorf("left %+v", left)
	}
	for _, h := range l.kinds {
		for i := range pending {
			if _, err := h.Get(t.Context(), fmt.Sprint("p", i)); err != nil {
				t.Errorf("p%d: %v", i, err)
			}
		}
	}
}
