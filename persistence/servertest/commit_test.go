package servertest_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/servertest"
	"github.com/fourfold-dev/fourfold/transactional"
)

// A breaker stands before a SQL server. Of the requests that may change
// something (COMMIT, and executions of prepared statements) it loses every so
// many-th, or its answer, in turn, and the connection with it.
type breaker struct {
	target   string
	every    atomic.Int64 // 0: none
	requests atomic.Int64
	lost     atomic.Int64 // requests
	answers  atomic.Int64 // that were lost
	serving  sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
}

// before returns the address at which a breaker listens until the test ends.
func (b *breaker) before(t *testing.T, target string) (address string) {
	t.Helper()
	b.target = target
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.serving.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			b.serving.Go(func() { b.serve(client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		b.mu.Lock()
		for _, c := range b.conns {
			c.Close()
		}
		b.mu.Unlock()
		b.serving.Wait()
	})
	return l.Addr().String()
}

func (b *breaker) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", b.target)
	if err != nil {
		return
	}
	defer server.Close()
	b.mu.Lock()
	b.conns = append(b.conns, client, server)
	b.mu.Unlock()
	var mute atomic.Bool // the next answer is lost
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil || mute.Load() {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}()
	defer func() { server.Close(); <-answered }()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		const execute = 0x17 // behind a packet's head of four bytes
		if bytes.HasSuffix(buf[:n], []byte("\x03COMMIT")) || n > 4 && buf[4] == execute {
			every := b.every.Load()
			if turn := b.requests.Add(1); every > 0 && turn%every == 0 {
				if turn/every%2 == 0 {
					b.lost.Add(1)
					return
				}
				b.answers.Add(1)
				mute.Store(true)
			}
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

type visitor struct {
	ID      string `persistence:"key"`
	Visits  int64  `transactional:""`
	Rewards int64  `transactional:""`
}

// A transactional task has its effect exactly once on a real server, whatever
// COMMIT, or answer to one, is lost: of the acceptance, of the task, of its mark.
func TestALostCommitAwardsOnce(t *testing.T) {
	servers := servertest.Start(t, servertest.Options{Purposes: []persistence.Purpose{persistence.Transitory, persistence.Transactional}})
	var lossy breaker
	at, err := url.Parse(servers.URL(persistence.Transactional))
	if err != nil {
		t.Fatal(err)
	}
	at.Host = lossy.before(t, at.Host)
	stores := servers.Stores()
	stores.Transactional = transactional.URL(at.String())
	opts := servers.Options()
	opts.Lease = 2 * time.Second // what a lost answer leaves claimed is soon looked at again
	layer, err := persistence.Open(t.Context(), stores, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer layer.Close()
	visitors := persistence.Declare[visitor](layer, "visitor", nil)
	reward := func(ctx context.Context, tx *persistence.Tx, e errand) error {
		v, err := visitors.In(tx).Get(ctx, "ann")
		if err != nil {
			return err
		}
		v.Rewards++
		_, err = visitors.In(tx).Put(ctx, v)
		return err
	}
	visits := persistence.Declare(layer, "visit", persistence.Plan[errand]{{Priority: 3, Name: "reward", Purpose: persistence.Transactional, Tx: reward}})
	if err := layer.CreateSchema(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := visitors.Put(t.Context(), visitor{ID: "ann"}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	worked := make(chan error, 1)
	go func() { worked <- layer.Work(ctx) }()
	defer func() {
		stop()
		if err := <-worked; err != nil {
			t.Errorf("Work: %v", err)
		}
	}()
	lossy.every.Store(11)
	const n = 25
	for i := range n {
		acceptOnce(t, visits, fmt.Sprint("v", i))
	}
	lost := func() int64 { return lossy.lost.Load() + lossy.answers.Load() }
	eventually(t, 2*time.Minute, "every visit is rewarded", func() bool {
		v, err := visitors.Get(t.Context(), "ann")
		return err == nil && v.Rewards >= n
	})
	left, err := layer.Drain(t.Context())
	for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); {
		left, err = layer.Drain(t.Context())
	}
	if err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	lossy.every.Store(0) // the count below is a request too
	eventually(t, time.Minute, "the rewards are counted", func() bool {
		v, err := visitors.Get(t.Context(), "ann")
		if err == nil && v.Rewards != n {
			t.Fatalf("%d rewards for %d visits", v.Rewards, n)
		}
		return err == nil
	})
	if lossy.lost.Load() < 5 || lossy.answers.Load() < 5 {
		t.Errorf("%d requests and %d answers were lost: that shows little", lossy.lost.Load(), lossy.answers.Load())
	}
	t.Logf("%d of %d requests were lost, of which %d had been executed", lost(), lossy.requests.Load(), lossy.answers.Load())
}

// acceptOnce puts an errand until it is accepted. What is unknown is put again
// with the same token, which accepts it once.
func acceptOnce(t *testing.T, kind *persistence.Handle[errand], id string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		_, err := kind.Put(t.Context(), errand{ID: id}, persistence.Token(id))
		if err == nil || fault.Accepted(err) {
			return
		}
		if !fault.Unknown(err) && !fault.Retryable(err) || time.Now().After(end) {
			t.Fatalf("put: %v", err)
		}
	}
}
