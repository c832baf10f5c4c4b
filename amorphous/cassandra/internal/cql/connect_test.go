package cql

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A dialer answers attempts as it is told.
type dialer struct {
	attempts int
	err      error
	hang     time.Duration
	closed   int
	session  *closing
}

type closing struct {
	*emulator
	d *dialer
}

func (c *closing) Close() { c.d.closed++ }

func (d *dialer) connect(ctx context.Context) (Session, error) {
	d.attempts++
	if d.hang > 0 {
		time.Sleep(d.hang) // a client that does not obey its context; virtual time
	}
	if d.err != nil {
		return nil, d.err
	}
	d.session = &closing{&emulator{}, d}
	return d.session, nil
}

func TestConnectLazily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialer{err: errors.New("no host answered")}
		c := &Connector{Connect: d.connect}
		if d.attempts != 0 {
			t.Error("nothing connects before somebody needs it")
		}
		calls := 0
		for start := time.Now(); time.Since(start) < time.Minute; calls++ {
			if _, err := c.get(t.Context()); fault.ClassOf(err) != fault.ErrUnavailable {
				t.Fatalf("a server that is away: %v", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if d.attempts < 25 || d.attempts > 40 {
			t.Errorf("attempts back off to one in two seconds: %d in a minute, of %d calls", d.attempts, calls)
		}
		d.err = nil
		start := time.Now()
		for {
			if _, err := c.get(t.Context()); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if waited := time.Since(start); waited > maxBackoff+time.Second {
			t.Errorf("a server that returns is used within seconds, by itself: %v", waited)
		}
		c.Close()
		if d.closed != 1 {
			t.Errorf("what we opened we close: %d", d.closed)
		}
	})
}

func TestConnectHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialer{hang: time.Hour}
		c := &Connector{Connect: d.connect, Deadline: 10 * time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := c.get(ctx); !errors.Is(err, context.DeadlineExceeded) || fault.Unknown(err) {
			t.Errorf("a caller leaves with its context, and nothing was sent: %v", err)
		}
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("the caller left after %v", waited)
		}
		if _, err := c.get(t.Context()); fault.ClassOf(err) != fault.ErrUnavailable || !strings.Contains(err.Error(), "10s") {
			t.Errorf("an attempt that hangs is given up: %v", err)
		}
		c.Close()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if d.closed != d.attempts {
			t.Errorf("sessions that came too late are closed: %d of %d", d.closed, d.attempts)
		}
	})
}

// A stuck session takes an hour to close.
type stuck struct{ *emulator }

func (stuck) Close() { time.Sleep(time.Hour) }

// TestCloseHangs: a session that does not close is left behind after a while.
func TestCloseHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, err := New(&Connector{Connect: func(context.Context) (Session, error) { return stuck{&emulator{}}, nil }}, Options{Keyspace: "ks"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.conn.get(t.Context()); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for range 2 { // the second finds it closed
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("Close returned after %v, want 5s", took)
		}
		time.Sleep(2 * time.Hour) // until the session has closed
	})
}

func TestConnectMisconfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialer{err: &answer{codeCredentials, "Provided username ann and/or password are incorrect"}}
		c := &Connector{Connect: d.connect}
		if _, err := c.get(t.Context()); fault.ClassOf(err) != fault.ErrMisconfigured {
			t.Errorf("a wrong password is for an operator to mend: %v", err)
		}
	})
}

// TestSessionReplaced: a session that has had no host for long is replaced.
func TestSessionReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialer{}
		c := &Connector{Connect: d.connect}
		first, err := c.get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		noHosts := NotSent(errors.New("no hosts available in the pool"))
		for range 5 {
			c.observe(first, noHosts)
			time.Sleep(time.Second)
		}
		c.observe(first, nil)
		for range 9 {
			c.observe(first, noHosts)
			time.Sleep(time.Second)
		}
		if again, _ := c.get(t.Context()); again != first {
			t.Error("a session that had a host in between is kept")
		}
		time.Sleep(5 * time.Second)
		c.observe(first, noHosts)
		second, err := c.get(t.Context())
		if err != nil || second == first {
			t.Errorf("a session without hosts for ten seconds is replaced: %v", err)
		}
		synctest.Wait()
		if d.closed != 1 {
			t.Errorf("the old session is closed: %d", d.closed)
		}
		c.Close()
		if _, err := c.get(t.Context()); fault.ClassOf(err) != fault.ErrClosed {
			t.Errorf("after Close: %v", err)
		}
	})
}

// TestHandedStays: a session that was handed over is its owner's.
func TestHandedStays(t *testing.T) {
	d := &dialer{}
	session := &closing{&emulator{}, d}
	c := Handed(session)
	c.observe(session, NotSent(errors.New("no hosts")))
	c.Close()
	if d.closed != 0 {
		t.Error("a session that was handed over is not closed by us")
	}
}

// TestClassesByCode holds the codes that a fake of version 4 cannot say.
func TestClassesByCode(t *testing.T) {
	for code, want := range map[int]error{
		codeCASUnknown: fault.ErrUnknown, codeCDCFailure: fault.ErrUnknown, codeUnprepared: fault.ErrBusy,
		codeExists: fault.ErrExists, codeProtocol: fault.ErrMisconfigured, codeCredentials: fault.ErrMisconfigured, 0x4711: fault.ErrUnknown,
	} {
		if err := classify(&answer{code, "x"}, true); fault.ClassOf(err) != want {
			t.Errorf("code %#x: %v, want %v", code, err, want)
		}
	}
	if err := classify(NotSent(errors.New("no hosts")), true); fault.ClassOf(err) != fault.ErrUnavailable {
		t.Errorf("a write that was not sent: %v", err)
	}
	if err := classify(context.Canceled, true); !fault.Unknown(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("a write that was abandoned: %v", err)
	}
	if err := classify(context.Canceled, false); err != context.Canceled {
		t.Errorf("a read that was abandoned: %v", err)
	}
}

// TestPack_E6: batches hold what their bounds allow, and every mutation once.
func TestPack_E6(t *testing.T) {
	var mutations []mutation
	add := func(partition string, n, bytes int) {
		for range n {
			mutations = append(mutations, mutation{partition: partition, bytes: bytes})
		}
	}
	add("many", 250, 300)
	add("large", 3, 1<<20)
	for i := range 40 {
		add(string(rune('A'+i)), 1, 300)
	}
	add("two", 2, 300)
	seen := 0
	for _, b := range pack(mutations) {
		partitions, bytes := map[string]bool{}, 0
		for _, m := range b {
			partitions[m.partition] = true
			bytes += m.bytes
			seen++
		}
		switch {
		case len(partitions) > 1 && (bytes > mixedBytes || len(b) > mixedRows):
			t.Errorf("a batch across %d partitions has %d bytes and %d rows", len(partitions), bytes, len(b))
		case len(b) > 1 && (bytes > partitionBytes || len(b) > partitionRows):
			t.Errorf("a batch of one partition has %d bytes and %d rows", bytes, len(b))
		}
	}
	if seen != len(mutations) {
		t.Errorf("%d of %d mutations are in a batch", seen, len(mutations))
	}
}

// TestLostAnswers_E1_E3: whatever answer is lost, a repeat of the same write leaves
// the state of one, and the outcome was not told as a failure.
func TestLostAnswers_E1_E3(t *testing.T) {
	for _, placed := range []bool{false, true} {
		for lost := range 6 {
			e := &emulator{}
			d := newEmulated(e)
			table := amorphous.Table{Name: "t", Placed: placed}
			if err := d.CreateSchema(t.Context(), []amorphous.Table{table}); err != nil {
				t.Fatal(err)
			}
			var n atomic.Int64
			e.before = func(context.Context, Statement) error {
				if n.Add(1) == int64(lost)+1 {
					return errLost
				}
				return nil
			}
			r := amorphous.Row{Partition: "p", ID: "i", Shape: 1, Stamp: amorphous.Stamp{Version: 1}, Body: []byte(`{}`)}
			err := d.Write(t.Context(), table, []amorphous.Row{r})[0]
			if err != nil && !fault.Unknown(err) {
				t.Errorf("a lost answer: %v", err)
			}
			e.before = nil
			if err := d.Write(t.Context(), table, []amorphous.Row{r})[0]; err != nil {
				t.Errorf("the repeat: %v", err)
			}
			got, err := d.Read(t.Context(), table, []amorphous.Address{{Partition: "p", ID: "i"}})
			if err != nil || len(got) != 1 {
				t.Errorf("after the repeat: %v, %v", got, err)
			}
			d.Close()
		}
	}
}
