package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// hog fills what a disk has left.
func hog(t *testing.T, dir string) (free func()) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "hog"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Error(err)
		}
	}
}

// The disk of Cassandra's commit log is full. It maps the log into its memory, and
// the first page for which there is no room ends its process, whatever its
// commit_failure_policy says. That is an outage: what is put is accepted, its
// other tasks are done, what waits spends no attempt, and all of it is written
// when the node is started again with room. What it acknowledged is there.
func TestDegradationOfAFullCommitLog(t *testing.T) {
	if *degradation == 0 {
		t.Skip("the campaign that -args -degradation=1s asks for: Cassandra on a full disk, NOT TESTED here")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("NOT TESTED: a small file system cannot be mounted (%v), so no disk of a server is full", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	server := servers.Test(t, servers.Cassandra{YAML: "commitlog_directory: " + dir + "\ncommitlog_segment_size: 1MiB\n"})
	stores := embedded.Stores(t.TempDir())
	stores.Amorphous = amorphous.URL(server.URL())
	layer, err := persistence.Open(t.Context(), stores, &persistence.Options{Lease: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	pages := persistence.Declare(layer, "page", persistence.Plan[page]{
		{Priority: 1, Name: "object", Purpose: persistence.Amorphous, MaxAttempts: 1},
		{Priority: 2, Name: "tell", Purpose: persistence.Transitory, Do: func(context.Context, page) error { return nil }},
	}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
	if err := layer.CreateSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	persistencetest.Work(t, layer)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var rs []*persistence.Receipt
	put := func(n int) {
		t.Helper()
		for range n {
			r, err := pages.Put(ctx, page{fmt.Sprint("p", len(rs)), string(make([]byte, 2000))})
			if err != nil {
				t.Fatal(err)
			}
			rs = append(rs, r)
		}
	}
	done := func(tasks ...string) {
		t.Helper()
		for _, r := range rs {
			if err := r.Wait(ctx, tasks...); err != nil {
				t.Fatalf("%v: %v", r, err)
			}
		}
	}
	put(50)
	done()
	free := hog(t, dir)
	full := len(rs)
	for err = nil; !fault.Outage(err); _, err = pages.Get(ctx, "p0") {
		put(20)
		if ctx.Err() != nil {
			t.Fatalf("%d objects fit on a full disk, and p0 is read: %v", len(rs)-full, err)
		}
	}
	put(100)
	done("tell")
	if state, _ := rs[len(rs)-1].State("object"); state != persistence.TaskPending {
		t.Errorf("a write to a node that has ended is %v", state)
	}
	free()
	server.Kill()
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	done()
	for _, r := range rs {
		if _, err := pages.Get(ctx, r.Key); err != nil {
			t.Errorf("%s was written: %v", r.Key, err)
		}
	}
	if letters, err := layer.DeadLetters().List(ctx, persistence.DeadFilter{}); err != nil || len(letters) > 0 {
		t.Errorf("dead letters %+v, %v; want none: an outage spends no attempt", letters, err)
	}
}
