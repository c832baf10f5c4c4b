package memcached

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/bradfitz/gomemcache/memcache"
	"pgregory.net/rapid"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

const someGen = "AbCd-_09"

// wireSafe says what a key on the wire must be for the server to read it as
// one key: printable ASCII without spaces, 1 to 250 bytes.
func wireSafe(wire string) bool {
	for i := range len(wire) {
		if wire[i] <= ' ' || wire[i] >= 0x7f {
			return false
		}
	}
	return len(wire) > 0 && len(wire) <= wireMost
}

// C11: the encoder is injective and what it returns is safe on the wire.
func FuzzWireKey_C11(f *testing.F) {
	for _, pair := range [][2]string{{"a", "A"}, {"a b", "a%20b"}, {"", "%"}, {"a\r\nflush_all", "a"}, {"é", "e\u0301"},
		{strings.Repeat("k", bodyMost), strings.Repeat("k", bodyMost+1)}, {"%#", "#"}} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		wireA, wireB := wireKey(someGen, a), wireKey(someGen, b)
		if !wireSafe(wireA) {
			t.Errorf("%q is %q on the wire", a, wireA)
		}
		if (wireA == wireB) != (a == b) {
			t.Errorf("%q and %q are %q and %q", a, b, wireA, wireB)
		}
		if wireA == genKey || wireA == holdKey {
			t.Errorf("%q meets a key of the driver", a)
		}
		if wireKey("otherGen", a) == wireA {
			t.Errorf("%q is the same in two generations", a)
		}
	})
}

func TestWireKeyLong(t *testing.T) {
	seen := map[string]int{}
	for n := 1; n <= volatile.MaxItemKey; n++ {
		for _, unit := range []string{"k", " ", "%"} {
			wire := wireKey(someGen, strings.Repeat(unit, n))
			if !wireSafe(wire) {
				t.Fatalf("%d times %q is %q", n, unit, wire)
			}
			if other, there := seen[wire]; there {
				t.Fatalf("lengths %d and %d meet in %q", n, other, wire)
			}
			seen[wire] = n
		}
	}
	// Golden: processes of different releases share a server.
	for key, want := range map[string]string{
		"a": "AbCd-_09:a", "a b%": "AbCd-_09:a%20b%25", "é\n": "AbCd-_09:%C3%A9%0A",
		strings.Repeat("k", 1000): "AbCd-_09:%#J_7QSc-A4O_3Grg3yCpQMnt2d-vaIjBdPzU_CYlIhmk",
	} {
		if got := wireKey(someGen, key); got != want {
			t.Errorf("%q is %q; want %q", key, got, want)
		}
	}
}

// A value comes back as it was, and the server takes it for a number only when
// it is one.
func TestWireValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.OneOf(rapid.SliceOf(rapid.Byte()), rapid.SliceOfN(rapid.SampledFrom([]byte("0123456789+- \t\n\x00x")), 0, 24)).Draw(t, "value")
		wire, flags := wireValue(v)
		if got := value(wire, flags); !bytes.Equal(got, v) {
			t.Fatalf("%q came back as %q", v, got)
		}
		if flags != flagNumber && len(wire) > 0 && looksNumeric(wire[0]) {
			t.Fatalf("the server might count on %q", wire)
		}
	})
	if got := value([]byte("9 "), flagNumber); string(got) != "9" {
		t.Errorf("a padded number is %q", got)
	}
}

// C10: an expiry is never early, late by two seconds at most, and never in the
// past; over 30 days it is a Unix time.
func TestExpiry_C10(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	for ttl, want := range map[time.Duration]int32{
		0: 0, 1: 2, time.Millisecond: 2, time.Second: 2, time.Second + 1: 3, 2 * time.Second: 3,
		relativeMost*time.Second - time.Second: relativeMost, relativeMost * time.Second: 1_790_000_000 + relativeMost + 1,
		31 * 24 * time.Hour: 1_790_000_000 + 31*24*60*60 + 1, 100 * 365 * 24 * time.Hour: math.MaxInt32, math.MaxInt64: math.MaxInt32,
	} {
		if got := expiry(ttl, now); got != want {
			t.Errorf("a TTL of %v is %d; want %d", ttl, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		ttl := time.Duration(rapid.Int64Range(1, int64(10*365*24*time.Hour)).Draw(t, "ttl"))
		got := time.Duration(expiry(ttl, now)) * time.Second
		if got > relativeMost*time.Second {
			got -= time.Duration(now.Unix()) * time.Second
		}
		if got < ttl+time.Second || got > ttl+2*time.Second {
			t.Fatalf("a TTL of %v is %v", ttl, got)
		}
	})
}

// The ring shares evenly, does not depend on the order of the addresses, and
// moves one key in n when it grows to n.
func TestRing(t *testing.T) {
	names := []string{"a:11211", "b:11211", "c:11211", "d:11211"}
	r := newRing(names)
	three := newRing(names[:3])
	shuffled := []string{names[2], names[0], names[3], names[1]}
	other := newRing(shuffled)
	const keys = 20_000
	share := make([]int, len(names))
	moved := 0
	for i := range keys {
		key := fmt.Sprintf("some:key:%d", i)
		m := r.member(key)
		share[m]++
		if shuffled[other.member(key)] != names[m] {
			t.Fatalf("%q lies on %s or %s, as the addresses are ordered", key, names[m], shuffled[other.member(key)])
		}
		if was := three.member(key); was != m {
			moved++
			if m != 3 {
				t.Fatalf("%q moved between members that stayed", key)
			}
		}
	}
	for i, n := range share {
		if n < keys/4*3/4 || n > keys/4*5/4 {
			t.Errorf("%s has %d of %d keys", names[i], n, keys)
		}
	}
	if moved > keys*3/10 {
		t.Errorf("%d of %d keys moved when a fourth member came", moved, keys)
	}
	// Golden: every release must put a key on the same member.
	if r.member("some:key:1") != 1 || r.member("") != 0 || hash("a") != 0x82a2a958a9bece5b {
		t.Errorf("members %d and %d, hash %#x", r.member("some:key:1"), r.member(""), hash("a"))
	}
}

// FAULTS 3.2, row by row: what each answer of the server means.
func TestClassify(t *testing.T) {
	said := func(line string) error {
		return fmt.Errorf("memcache: unexpected response line from %q: %q", "set", line+"\r\n")
	}
	timeout := &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	for _, row := range []struct {
		err         error
		read, write error
		v           verdict
	}{
		{err: nil},
		{err: memcache.ErrCacheMiss},
		{err: memcache.ErrNotStored, read: fault.ErrConflict, write: fault.ErrConflict},
		{err: memcache.ErrCASConflict, read: fault.ErrConflict, write: fault.ErrConflict},
		{err: memcache.ErrMalformedKey, read: fault.ErrInvalid, write: fault.ErrInvalid},
		{err: said("SERVER_ERROR object too large for cache"), read: fault.ErrTooLarge, write: fault.ErrTooLarge},
		{err: said("SERVER_ERROR out of memory storing object"), read: fault.ErrBusy, write: fault.ErrBusy},
		{err: said("CLIENT_ERROR bad command line format"), read: fault.ErrRefused, write: fault.ErrRefused, v: verdict{closed: true}},
		{err: errors.New("memcache: client error: cannot increment or decrement non-numeric value"), read: fault.ErrConflict, write: fault.ErrConflict},
		{err: said("ERROR"), read: fault.ErrRefused, write: fault.ErrRefused, v: verdict{closed: true}},
		{err: said("ERROR Too many open connections"), read: fault.ErrUnavailable, write: fault.ErrUnavailable, v: verdict{down: true}},
		{err: said("WHATEVER"), read: fault.ErrUnavailable, write: fault.ErrUnknown, v: verdict{closed: true}},
		{err: timeout, read: fault.ErrUnavailable, write: fault.ErrUnknown, v: verdict{down: true}},
		{err: io.EOF, read: fault.ErrUnavailable, write: fault.ErrUnknown, v: verdict{closed: true}},
		{err: io.ErrUnexpectedEOF, read: fault.ErrUnavailable, write: fault.ErrUnknown, v: verdict{closed: true}},
		{err: &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, read: fault.ErrUnavailable, write: fault.ErrUnknown, v: verdict{closed: true}},
		{err: &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}, read: fault.ErrUnavailable, write: fault.ErrUnknown, v: verdict{closed: true}},
		{err: errStale, read: fault.ErrUnavailable, write: fault.ErrUnavailable, v: verdict{unsent: true, closed: true}},
		{err: errEpochOver, read: fault.ErrUnavailable, write: fault.ErrUnavailable, v: verdict{unsent: true, closed: true}},
		{err: &dialError{timeout}, read: fault.ErrUnavailable, write: fault.ErrUnavailable, v: verdict{unsent: true, down: true}},
		{err: &memcache.ConnectTimeoutError{Addr: address{"tcp", "h:1"}}, read: fault.ErrUnavailable, write: fault.ErrUnavailable, v: verdict{unsent: true, down: true}},
		{err: errSettling, read: fault.ErrUnavailable, write: fault.ErrUnavailable, v: verdict{told: true}},
	} {
		for class, write := range map[error]bool{row.read: false, row.write: true} {
			if row.read == row.write {
				write = true
			}
			want := row.v
			want.class = class
			if got := classify(row.err, write); got != want {
				t.Errorf("%v (write %v): %+v; want %+v", row.err, write, got, want)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	for url, want := range map[string]Options{
		"memcached://localhost": {Timeout: 500 * time.Millisecond, Conns: 64, MaxValue: DefaultMaxValue},
		"memcached://127.0.0.1:11211,[::1]:11212?timeout=2s&conns=3&max=100000": {Timeout: 2 * time.Second, Conns: 3, MaxValue: 100000},
		"memcached:///run/m.sock,/run/n.sock":                                   {Timeout: 500 * time.Millisecond, Conns: 64, MaxValue: DefaultMaxValue},
		"memcached://h1:11211,h2:11211?plaintext=true":                          {Timeout: 500 * time.Millisecond, Conns: 64, MaxValue: DefaultMaxValue, AllowPlaintext: true},
	} {
		s, err := parse(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		got, addresses, err := s.opts.withDefaults(s.addresses)
		if err != nil || got != want || len(addresses) != len(s.addresses) {
			t.Errorf("%s: %+v, %v, %v", url, got, addresses, err)
		}
	}
	for url, want := range map[string]string{
		"memcached://":                                         "no address",
		"memcached://h1":                                       "plaintext",
		"memcached://10.0.0.1:11211":                           "plaintext",
		"memcached://localhost?timeuot=1s":                     `did you mean "timeout"`,
		"memcached://localhost?colour=red":                     "known are ca, conns",
		"memcached://localhost?timeout=1":                      "timeout=1",
		"memcached://localhost?timeout=-1s":                    "timeout of -1s",
		"memcached://localhost?conns=0":                        "conns=0",
		"memcached://localhost?max=1":                          "64 KiB",
		"memcached://localhost,localhost:11211":                "named twice",
		"memcached://localhost:0":                              "port",
		"memcached://localhost:http":                           "port",
		"memcached://ann:secret@localhost":                     "no user or password",
		"memcached://local host":                               "host",
		"memcached://localhost?tls=maybe":                      "tls=maybe",
		"memcached://localhost?ca=/no/such/file":               "ca:",
		"memcached://localhost?%zz":                            "cannot be read",
		"memcached://localhost?tls=true;ca=/no/such/file":      "cannot be read",
		"memcached://localhost?tls=true&plaintext=true":        "plaintext contradicts",
		"memcached://localhost?tls=true&tls=false":             `"tls" is given more than once`,
		"memcached://localhost#x?timeout=1s":                   "%23",
		"memcached:localhost":                                  "begins with memcached://",
		"memcached://localhost?timeout=1h&conns=-1&max=1&tls=": "connections",
	} {
		_, err := volatile.URL(url).OpenDriver(context.Background())
		if !errors.Is(err, fault.ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v; want %q", url, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("memcached://localhost:11211,h2?timeout=1s&tls=true")
	f.Add("memcached:///a,[::1]:5?ca=/x")
	f.Fuzz(func(t *testing.T, url string) {
		s, err := parse(url)
		if err != nil {
			return
		}
		if opts, addresses, err := s.opts.withDefaults(s.addresses); err == nil {
			if len(addresses) == 0 || opts.Timeout <= 0 || opts.Conns <= 0 || opts.MaxValue <= 0 {
				t.Errorf("%q opens %v with %+v", url, addresses, opts)
			}
			for _, a := range addresses {
				if a.network == "tcp" && opts.TLS == nil && !opts.AllowPlaintext && !loopback(a.name) {
					t.Errorf("%q sends plaintext to %s", url, a.name)
				}
				if strings.ContainsFunc(a.name, unicode.IsControl) {
					t.Errorf("%q dials %q", url, a.name)
				}
			}
		}
	})
}

// The framer follows any cutting of a stream alike, and lets no length through
// that is over its limit.
func FuzzFramer(f *testing.F) {
	f.Add([]byte("VALUE k 0 3 7\r\nabc\r\nEND\r\nSTORED\r\n"), 5)
	f.Add([]byte("VALUE k 0 4294967295\r\n"), 3)
	f.Add([]byte("STORED"), 1)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		whole := framer{valueMost: 1000}
		errWhole := whole.feed(stream)
		parts := framer{valueMost: 1000}
		var errParts error
		for rest := stream; len(rest) > 0 && errParts == nil; {
			n := min(len(rest), max(1, cut%7))
			errParts = parts.feed(rest[:n])
			rest = rest[n:]
		}
		if (errWhole == nil) != (errParts == nil) {
			t.Errorf("%q: whole %v, in parts %v", stream, errWhole, errParts)
		}
		if errWhole == nil && (whole.skip != parts.skip || whole.done != parts.done || !bytes.Equal(whole.line, parts.line)) {
			t.Errorf("%q: whole %+v, in parts %+v", stream, whole, parts)
		}
		if whole.skip > 1002 || len(whole.line) > lineMost+len(stream) {
			t.Errorf("%q: %d bytes to come", stream, whole.skip)
		}
	})
}

// The plain parser bounds what it reads and ends, whatever a server says.
func FuzzPlain(f *testing.F) {
	f.Add([]byte("VALUE %generation 0 8 1\r\nAbCd-_09\r\nEND\r\n"))
	f.Add([]byte("STAT pid 1\r\nSTAT uptime 2\r\nEND\r\n"))
	f.Add([]byte("ERROR Too many open connections\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		for _, ask := range []func(p *plain) error{
			func(p *plain) error { _, _, err := p.generation(); return err },
			func(p *plain) error { _, err := p.stats(""); return err },
			func(p *plain) error { _, err := p.renew("AbCd-_09"); return err },
		} {
			p := newPlain(&canned{Reader: bytes.NewReader(answer)}, time.Time{})
			if err := ask(p); err == nil && len(answer) == 0 {
				t.Error("no answer was understood")
			}
		}
	})
}

// canned is a connection that has its answers ready.
type canned struct {
	io.Reader
	net.Conn
}

func (c *canned) Read(b []byte) (int, error)    { return c.Reader.Read(b) }
func (c *canned) Write(b []byte) (int, error)   { return len(b), nil }
func (c *canned) SetDeadline(t time.Time) error { return nil }

// What Explain says is what the server gets, but for what only the server knows.
func TestExplainIsWhatIsSent(t *testing.T) {
	var mu sync.Mutex
	var sent []string
	there := ""
	address := fake(t, func(command string) string {
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, command)
		if strings.HasPrefix(command, "gets ") {
			return there + "END\r\n"
		}
		return "STORED\r\n"
	})
	d := openAt(t, Options{Timeout: patient}, address)
	item := volatile.Item{Key: "a key", Value: []byte("value-canary"), TTL: time.Minute}
	said := d.Explain(item)
	write := func() {
		items, err := d.Get(t.Context(), []string{item.Key})
		must(t, err)
		if item.Token = 0; len(items) > 0 {
			item.Token = items[0].Token
		}
		must(t, d.Swap(t.Context(), item))
	}
	write()
	mu.Lock()
	there = "VALUE " + wireKey(someGen, item.Key) + " 0 3 77\r\nold\r\n"
	mu.Unlock()
	write()
	want := []string{said[0], said[1], said[0], said[2]}
	for i := range want {
		want[i] = strings.NewReplacer("<generation>", someGen, "<cas>", "77").Replace(want[i])
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(sent, want) {
		t.Errorf("Explain says\n%q\nand sent was\n%q", want, sent)
	}
}
