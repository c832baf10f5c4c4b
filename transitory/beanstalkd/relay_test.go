package beanstalkd_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/transitory/beanstalkd"
)

// A relay is a name behind which a server stands: connections through it can be
// broken, what is said can be held up, and another server can take the place.
type relay struct {
	listener net.Listener

	mu     sync.Mutex
	target string
	conns  []*net.TCPConn
	held   chan struct{} // what clients say waits until it is closed; nil: it does not
}

func newRelay(t *testing.T, target string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, target: target}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { r.serve(client.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		r.let()
		r.reset()
		all.Wait()
	})
	return r
}

// queue opens a queue through the relay.
func (r *relay) queue(t *testing.T, opts beanstalkd.Options) *transitory.Queue {
	t.Helper()
	return open(t, opts, &real{addr: r.listener.Addr().String()})
}

func (r *relay) serve(client *net.TCPConn) {
	defer client.Close()
	r.mu.Lock()
	target := r.target
	r.mu.Unlock()
	conn, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	r.mu.Lock()
	r.conns = append(r.conns, client, server)
	r.mu.Unlock()
	go func() {
		defer client.Close()
		_, _ = io.Copy(client, server)
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		r.mu.Lock()
		held := r.held
		r.mu.Unlock()
		if held != nil {
			<-held
		}
		if _, lost := server.Write(buf[:n]); err != nil || lost != nil {
			return
		}
	}
}

// reset ends every connection with an RST.
func (r *relay) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	r.conns = nil
}

// hold lets nothing more through to the server, until let.
func (r *relay) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = make(chan struct{})
}

func (r *relay) let() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held != nil {
		close(r.held)
		r.held = nil
	}
}

// lead makes another server stand behind the name.
func (r *relay) lead(target string) {
	r.mu.Lock()
	r.target = target
	r.mu.Unlock()
	r.reset()
}

// A connection that breaks gives back what was reserved over it at once, and not
// when the time of the jobs is over: somebody else gets them, and what the first
// one says of them reaches nobody.
func TestABrokenConnectionGivesJobsBack_B13(t *testing.T) {
	server := start(t)
	way := newRelay(t, server.addr)
	broken, other := way.queue(t, beanstalkd.Options{}), open(t, beanstalkd.Options{}, server)
	if err := broken.Put(t.Context(), transitory.Job{Tube: "t", TTR: time.Hour})[0]; err != nil {
		t.Fatal(err)
	}
	old, err := broken.Reserve(within(t, 10*time.Second), []string{"t"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	way.reset()
	again, err := other.Reserve(within(t, 30*time.Second), []string{"t"}, 1)
	if err != nil || len(again) != 1 || again[0].Reserves != 2 {
		t.Fatalf("a job that was reserved over a broken connection: %+v, %v; want it, for the second time", again, err)
	}
	for op, err := range map[string]error{
		"delete":  broken.Delete(t.Context(), old[0].ID)[0],
		"touch":   broken.Touch(t.Context(), old[0].ID)[0],
		"release": broken.Release(t.Context(), transitory.Release{ID: old[0].ID})[0],
	} {
		if fault.ClassOf(err) != fault.ErrNotFound {
			t.Errorf("%s of a job whose connection broke: %v, want not found", op, err)
		}
	}
	if err := other.Delete(t.Context(), again[0].ID)[0]; err != nil {
		t.Errorf("delete by its new owner: %v", err)
	}
	eventually(t, 30*time.Second, "puts never begin again", func() bool { return broken.Put(t.Context(), transitory.Job{Tube: "t"})[0] == nil })
}

// A put whose request is held up for longer than its time limit is unknown, and
// lands when the way is free again: it is there once, and was put nowhere else.
func TestAPutLandsLate_B16(t *testing.T) {
	server := start(t)
	way := newRelay(t, server.addr)
	q := way.queue(t, beanstalkd.Options{Timeout: 200 * time.Millisecond, DialTimeout: 200 * time.Millisecond})
	if err := q.Put(t.Context(), transitory.Job{Tube: "before"})[0]; err != nil {
		t.Fatal(err)
	}
	way.hold()
	if err := q.Put(t.Context(), transitory.Job{Tube: "late"})[0]; !fault.Unknown(err) {
		t.Errorf("a put that was held up: %v, want unknown", err)
	}
	if err := q.Put(t.Context(), transitory.Job{Tube: "refused"})[0]; fault.OutcomeOf(err) != fault.NotApplied {
		t.Errorf("the put after it: %v, want not applied: the server cannot be reached", err)
	}
	way.let()
	direct := open(t, beanstalkd.Options{}, server)
	jobs, err := direct.Reserve(within(t, 30*time.Second), []string{"late"}, 1)
	if err != nil || len(jobs) != 1 {
		t.Fatalf("the put did not land: %v, %v", jobs, err)
	}
	eventually(t, 30*time.Second, "puts never begin again", func() bool { return q.Put(t.Context(), transitory.Job{Tube: "after"})[0] == nil })
	stats, err := direct.Stats(t.Context(), "late", "refused")
	if err != nil || stats[0].Ready+stats[0].Reserved != 1 || stats[1].Ready != 0 {
		t.Errorf("%+v, %v; want the late job once, and none of what was refused", stats, err)
	}
}

// Another server takes the place of one behind its name, and is stale: it counts
// its jobs from 1 as the first one did. What was reserved at the first reaches no
// job of the second.
func TestAStaleServerBehindTheName_B25(t *testing.T) {
	first, stale := start(t), start(t)
	way := newRelay(t, first.addr)
	q := way.queue(t, beanstalkd.Options{})
	direct := open(t, beanstalkd.Options{}, stale)
	for name, queue := range map[string]*transitory.Queue{"first": q, "stale": direct} {
		if err := queue.Put(t.Context(), transitory.Job{Tube: "t", TTR: time.Hour, Body: []byte(name)})[0]; err != nil {
			t.Fatal(err)
		}
	}
	jobs, err := q.Reserve(within(t, 10*time.Second), []string{"t"}, 1)
	if err != nil || string(jobs[0].Body) != "first" {
		t.Fatal(jobs, err)
	}
	way.lead(stale.addr)
	eventually(t, 30*time.Second, "the name never leads to the other server", func() bool { return q.Put(t.Context(), transitory.Job{Tube: "u"})[0] == nil })
	for _, op := range []func() error{
		func() error { return q.Delete(t.Context(), jobs[0].ID)[0] },
		func() error { return q.Release(t.Context(), transitory.Release{ID: jobs[0].ID, Delay: time.Hour})[0] },
	} {
		if err := op(); fault.ClassOf(err) != fault.ErrNotFound {
			t.Errorf("a job of the first server, told to the second: %v, want not found", err)
		}
	}
	got, err := q.Reserve(within(t, 10*time.Second), []string{"t"}, 1)
	if err != nil || string(got[0].Body) != "stale" {
		t.Errorf("the second server's own job: %v, %v", got, err)
	}
}
