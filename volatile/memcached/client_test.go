package memcached

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

// A dialHook is a caller's way to dial, which counts what is open.
type dialHook struct {
	dialled, open atomic.Int64
	addresses     sync.Map
}

func (h *dialHook) dial(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	h.dialled.Add(1)
	h.open.Add(1)
	h.addresses.Store(address, network)
	return &counted{Conn: nc, closed: sync.OnceFunc(func() { h.open.Add(-1) })}, nil
}

// A counted connection says when it is closed, and what it is made over.
type counted struct {
	net.Conn
	closed func()
}

func (c *counted) NetConn() net.Conn { return c.Conn }

func (c *counted) Close() error {
	c.closed()
	return c.Conn.Close()
}

// client returns a client of a caller's own, which dials by the hook.
func (h *dialHook) client(addresses ...string) *memcache.Client {
	c := memcache.New(addresses...)
	c.DialContext, c.Timeout, c.MaxIdleConns = h.dial, patient, 4
	return c
}

// Every connection to every member is one of the caller's hook; Close closes
// them, and leaves the caller's client as it was, with the connections that it
// has.
func TestFromClient(t *testing.T) {
	a, b := startServer(t), startUnix(t)
	hook := &dialHook{}
	client := hook.client(a.addr, b.addr)
	must(t, client.Set(&memcache.Item{Key: "theirs", Value: []byte("v")}))
	theirs := hook.open.Load()
	opened, err := FromClient(client, []string{a.addr, b.addr}, nil).OpenDriver(t.Context())
	must(t, err)
	d := opened.(*driver)
	if d.opts.Timeout != patient || d.opts.Conns != 4 {
		t.Errorf("a timeout of %v, %d connections; the client has 5s and 4", d.opts.Timeout, d.opts.Conns)
	}
	before := hook.dialled.Load()
	aCount := a.stat("total_connections")
	var items []volatile.Item
	for _, key := range []string{"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "theirs"} {
		must(t, d.set(key, key))
		d.want(t, key, key)
		items = append(items, volatile.Item{Key: key, Value: []byte(key)})
	}
	must(t, errors.Join(d.Set(t.Context(), items)...)) // over the pipes
	if report := d.Check(t.Context()); !report.OK() {
		t.Errorf("check: %v", report)
	}
	ours := hook.dialled.Load() - before
	if ours < 6 { // to each: one for the generation, one to ask over, the pipe
		t.Errorf("the hook dialled %d connections for the driver", ours)
	}
	if seen := a.stat("total_connections") - aCount - 1; int64(seen) > ours {
		t.Errorf("one member has seen %d connections, the hook dialled %d to both", seen, ours)
	}
	for address, network := range map[string]string{a.addr: "tcp", b.addr: "unix"} {
		if got, _ := hook.addresses.Load(address); got != network {
			t.Errorf("%s was dialled over %v", address, got)
		}
	}
	must(t, d.Close())
	if n := hook.open.Load(); n != theirs {
		t.Errorf("%d connections are open after Close; the caller had %d", n, theirs)
	}
	if item, err := client.Get("theirs"); err != nil || string(item.Value) != "v" {
		t.Errorf("the caller's client after Close: %v, %v", item, err)
	}
	must(t, client.Close())
}

// A connection of the caller's that its server has closed is noticed before
// anything is sent, as one of the driver's own.
func TestFromClientRestart_C14(t *testing.T) {
	s := startServer(t)
	hook := &dialHook{}
	opened, err := FromClient(hook.client(s.addr), []string{s.addr}, nil).OpenDriver(t.Context())
	must(t, err)
	defer opened.Close()
	d := opened.(*driver)
	for range 3 {
		must(t, d.set("k", "v"))
		s.restart()
		if err := d.Swap(t.Context(), volatile.Item{Key: "k"}); err != nil {
			t.Errorf("a swap after a restart: %v", err)
		}
	}
}

// What a client cannot give, and what would be plaintext, is refused.
func TestFromClientRefusals(t *testing.T) {
	var plain net.Conn
	hook := func(ctx context.Context, network, address string) (net.Conn, error) { return plain, nil }
	hooked := &memcache.Client{DialContext: hook}
	for what, source := range map[string]volatile.Source{
		"there is no *memcache.Client": FromClient(nil, []string{"localhost"}, nil),
		"no address":                   FromClient(hooked, nil, nil),
		"a timeout of 1ms":             FromClient(&memcache.Client{Timeout: time.Millisecond}, []string{"localhost"}, nil),
		"plaintext to 192.0.2.1:11211": FromClient(&memcache.Client{}, []string{"192.0.2.1"}, nil),
		"beside the client's Dial":     FromClient(hooked, []string{"localhost"}, &Options{TLS: &tls.Config{}}),
	} {
		if _, err := source.OpenDriver(t.Context()); !errors.Is(err, fault.ErrInvalid) || !strings.Contains(err.Error(), what) {
			t.Errorf("want %q: %v", what, err)
		}
	}
	for name, c := range map[string]struct {
		nc         net.Conn
		permitted  bool
		want, more string
	}{
		"plaintext":           {&net.TCPConn{}, false, "plaintext to 192.0.2.1:11211", "AllowPlaintext"},
		"plaintext permitted": {&net.TCPConn{}, true, "invalid argument", ""},
		"TLS":                 {tls.Client(&net.TCPConn{}, &tls.Config{ServerName: "x"}), false, "invalid argument", ""},
		"nothing":             {nil, false, "neither a connection nor an error", ""},
	} {
		plain = c.nc
		d, err := FromClient(hooked, []string{"192.0.2.1"}, &Options{AllowPlaintext: c.permitted}).OpenDriver(t.Context())
		must(t, err)
		err = d.Set(t.Context(), []volatile.Item{{Key: "k"}})[0]
		if !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.more) {
			t.Errorf("%s: %v", name, err)
		}
		if report := d.(volatile.Checker).Check(t.Context()); report.OK() || !strings.Contains(report.String(), c.more) {
			t.Errorf("%s: %v", name, report)
		}
		must(t, d.Close())
	}
}
