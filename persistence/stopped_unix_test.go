//go:build unix

package persistence_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/servertest"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
)

// stoppedURLs carries the servers' URLs to the process that is stopped.
const stoppedURLs = "FOURFOLD_STOPPED_URLS"

// A shift is a program that shares its custody with another one.
type shift struct {
	layer  *persistence.Layer
	counts *persistence.Handle[tally]
	slow   *persistence.Handle[sale]
	notes  *persistence.Handle[note]
}

// newShift opens a layer with a short lease. ran is called by each handler.
func newShift(t *testing.T, urls []string, ran func()) *shift {
	t.Helper()
	layer, err := persistence.Open(t.Context(), persistence.Stores{
		Transitory: transitory.URL(urls[0]), Transactional: transactional.URL(urls[1]),
	}, &persistence.Options{Namespace: urls[2], Lease: time.Second, Workers: 4, RealTimeWorkers: 1})
	if err != nil {
		t.Fatal(err)
	}
	s := &shift{layer: layer}
	handler := func(ctx context.Context, id string) error {
		ran()
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
		_, err := s.counts.Put(ctx, tally{User: id, N: 1})
		return err
	}
	s.counts = persistence.Declare(layer, "count", persistence.Plan[tally]{{Purpose: persistence.Transactional}})
	s.slow = persistence.Declare(layer, "sale", persistence.Plan[sale]{
		{Priority: 1, Name: "slow", Purpose: persistence.Transactional, MaxAttempts: 2, Do: func(ctx context.Context, v sale) error { return handler(ctx, v.ID) }},
		{Priority: 2, Name: "count", Purpose: persistence.Transactional, MaxAttempts: 2, Tx: func(ctx context.Context, tx *persistence.Tx, v sale) error {
			n, err := s.counts.In(tx).Get(ctx, v.User)
			if err != nil && fault.ClassOf(err) != fault.ErrNotFound {
				return err
			}
			_, err = s.counts.In(tx).Put(ctx, tally{User: v.User, N: n.N + 1})
			return err
		}},
	})
	s.notes = persistence.Declare(layer, "note", persistence.Plan[note]{
		{Priority: 1, Name: "slow", Purpose: persistence.Transitory, MaxAttempts: 2, Do: func(ctx context.Context, v note) error { return handler(ctx, v.ID) }},
	}, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	return s
}

// A process that is stopped for longer than its lease, or gets no time again
// and again, loses its claims to others. When it goes on nothing is done twice,
// nothing is lost, and no attempt was spent.
func TestAStoppedProcessLosesItsClaims_A19_A20_A22(t *testing.T) {
	if given := os.Getenv(stoppedURLs); given != "" {
		s := newShift(t, strings.Split(given, " "), func() { fmt.Println("ran") })
		fmt.Println("open")
		_ = s.layer.Work(t.Context()) // until it is killed
		return
	}
	shared := servertest.Start(t, servertest.Options{Purposes: []persistence.Purpose{persistence.Transitory, persistence.Transactional}})
	urls := []string{shared.URL(persistence.Transitory), shared.URL(persistence.Transactional), shared.Options().Namespace}
	s := newShift(t, urls, func() {})
	if err := s.layer.CreateSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.layer.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestAStoppedProcessLosesItsClaims_A19_A20_A22$")
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", stoppedURLs+"="+strings.Join(urls, " "))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	lines := bufio.NewScanner(out)
	await := func(word string, n int) {
		t.Helper()
		for n > 0 && lines.Scan() {
			if strings.TrimSpace(lines.Text()) == word {
				n--
			}
		}
		if n > 0 {
			t.Fatalf("the other process ended: %v", lines.Err())
		}
	}
	await("open", 1)
	const puts = 60
	var rs []*persistence.Receipt
	for i := range puts {
		r, err := s.slow.Put(t.Context(), sale{ID: fmt.Sprint("s", i), User: "all", At: time.Unix(1, 0)})
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
		if _, err := s.notes.Put(t.Context(), note{ID: fmt.Sprint("n", i), User: "all", At: time.Unix(1, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	await("ran", 8)
	signal := func(sig syscall.Signal) {
		t.Helper()
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	// Starved: stopped for more than a lease, three times, with what it held.
	for range 3 {
		signal(syscall.SIGSTOP)
		time.Sleep(1500 * time.Millisecond)
		signal(syscall.SIGCONT)
		await("ran", 2)
	}
	signal(syscall.SIGSTOP) // and then for as long as it takes somebody else to do all
	serve(t, s.layer)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, r := range rs {
		if err := r.Wait(ctx); err != nil {
			t.Fatalf("%v: %v", r, err)
		}
	}
	signal(syscall.SIGCONT)
	s.settled(t, ctx, puts)
}

// settled checks that everything was done once.
func (s *shift) settled(t *testing.T, ctx context.Context, puts int) {
	t.Helper()
	missing := func(id string) bool { _, err := s.counts.Get(ctx, id); return err != nil }
	for i := range puts {
		for _, id := range []string{fmt.Sprint("s", i), fmt.Sprint("n", i)} {
			eventually(t, time.Minute, "what the handler of "+id+" leaves is there, and not lost", func() bool { return !missing(id) })
		}
	}
	if n, err := s.counts.Get(ctx, "all"); err != nil || n.N != puts {
		t.Errorf("%d Tx tasks had their effect %d times: %v", puts, n.N, err)
	}
	letters, err := s.layer.DeadLetters().List(ctx, persistence.DeadFilter{})
	if err != nil || len(letters) > 0 {
		t.Errorf("%d dead letters, the first %+v, %v; want none: being stopped is no attempt", len(letters), letters[:min(1, len(letters))], err)
	}
}
