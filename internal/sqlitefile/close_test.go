package sqlitefile

import (
	"context"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A noConn is a connection without a field named db.
type noConn struct{ driver.Conn }

func TestCloseWaitsForWrites(t *testing.T) {
	f := openTest(t, Options{})
	release, blocked := make(chan struct{}), make(chan struct{})
	written := make(chan error, 1)
	go func() {
		written <- f.Write(t.Context(), func(c Conn) error {
			close(blocked)
			<-release
			_, err := c.Exec(t.Context(), "INSERT INTO t VALUES (1, 1)")
			return err
		})
	}()
	<-blocked
	closed := make(chan error, 1)
	go func() { closed <- f.Close() }()
	<-f.closing
	select {
	case err := <-closed:
		t.Errorf("Close returned (%v) while a unit was under way", err)
	default:
	}
	close(release)
	if err := errors.Join(<-written, <-closed); err != nil {
		t.Error(err)
	}
	if err := write(t.Context(), f, "SELECT 1"); !errors.Is(err, fault.ErrClosed) {
		t.Errorf("err = %v, want closed", err)
	}
}

func TestCloseInterruptsReads(t *testing.T) {
	f := openTest(t, Options{})
	runs, sleeps := make(chan struct{}), make(chan struct{})
	wake := make(chan struct{})
	results := make(chan error, 2)
	go func() {
		results <- f.Read(t.Context(), func(c Conn) error {
			close(runs)
			return c.Query(t.Context(), endless+"SELECT count(*) FROM n", nil, func(func(...any) error) error { return nil })
		})
	}()
	go func() {
		results <- f.Read(t.Context(), func(c Conn) error {
			close(sleeps)
			<-wake
			_, err := c.Exec(t.Context(), "SELECT 1")
			return err
		})
	}()
	<-runs
	<-sleeps
	if err := f.Close(); err != nil { // although one function still sleeps
		t.Error(err)
	}
	close(wake)
	for range 2 {
		if err := <-results; !errors.Is(err, fault.ErrClosed) {
			t.Errorf("err = %v, want closed", err)
		}
	}
}

func TestOpenWaitsForAClosing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	f, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.slot.token <- struct{}{} // as while another opening or closing is under way
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, dir, Options{}); err != context.DeadlineExceeded {
		t.Errorf("err = %v, want ctx's own", err)
	}
	<-f.slot.token
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if len(openSlots.byDir) != 0 {
		t.Errorf("slots are left: %v", openSlots.byDir)
	}
}
