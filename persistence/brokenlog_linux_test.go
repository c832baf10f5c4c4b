package persistence_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/embedded"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
	"github.com/fourfold-dev/fourfold/transitory"
)

// A queue whose log broke says INSERTED as ever, and would lose what it says it
// to with its next restart. Once that is noticed, what is put in transitory
// custody is accepted elsewhere, and is done whatever becomes of the server.
func TestACustodyWhoseLogBroke_B6(t *testing.T) {
	logs := t.TempDir()
	server := servers.Test(t, servers.Beanstalkd{NoLog: true, Args: []string{"-b", logs}})
	stores := embedded.Stores(t.TempDir())
	stores.Transitory = transitory.URL(server.URL())
	layer, err := persistence.Open(t.Context(), stores, &persistence.Options{Lease: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	pages := persistence.Declare(layer, "page", persistence.Plan[page]{
		{Priority: 1, Name: "object", Purpose: persistence.Amorphous},
	}, persistence.KindOptions{Custody: persistence.TransitoryCustody})
	n := 0
	put := func() *persistence.Receipt {
		t.Helper()
		n++
		r, err := pages.Put(t.Context(), page{ID: fmt.Sprint("p", n)})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	rs := []*persistence.Receipt{put(), put(), put()}
	mended := servers.Inject(t, server.PID(), "-e", "trace=write", "-e", "inject=write:error=EIO:when=1", "-P", filepath.Join(logs, "binlog.1"))
	eventually(t, 30*time.Second, "an object is not put into the queue that logs nothing", func() bool {
		r := put()
		if r.Custody != persistence.TransactionalCustody {
			return false
		}
		rs = append(rs, r)
		return true
	})
	if mended() != 1 {
		t.Fatal("no write to the log failed: nothing is proved")
	}
	for range 20 {
		rs = append(rs, put())
	}
	server.Kill()
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	persistencetest.Work(t, layer)
	for _, r := range rs {
		wait(t, r, nil)
	}
	eventually(t, 30*time.Second, "a server that was started again is believed", func() bool {
		return put().Custody == persistence.TransitoryCustody
	})
}
