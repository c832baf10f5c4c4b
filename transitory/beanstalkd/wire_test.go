package beanstalkd

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/beanstalkd/go-beanstalk"
)

// stream is a connection whose other side has already said everything.
type stream struct {
	net.Conn
	in io.Reader
}

func (s stream) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s stream) Write(p []byte) (int, error) { return len(p), nil }
func (s stream) Close() error                { return nil }

// Whatever a server says: no panic, no room for more than the bound, and what
// the client gets is a prefix of what was said that ends at a whole line or
// inside a body of bounded size.
func FuzzWire_B17(f *testing.F) {
	for _, s := range []string{
		"INSERTED 12\r\n", "INSERTED 12", "RESERVED 1 3\r\nabc\r\n", "RESERVED 1 3\r\nab", "OK 99999999999\r\n", "RESERVED 1 -1\r\n",
		"FOUND 1 0\r\n\r\n", "a\nb\r\n", strings.Repeat("x", 5000), "\r\n", "RESERVED\r\n", "WATCHING 1\r\nUSING t\r\nINSERTED 1\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		w := newWire(stream{in: bytes.NewReader(said)})
		w.maxBody.Store(100)
		w.bodies.Store(true)
		got, err := io.ReadAll(io.LimitReader(readerOf{w}, int64(len(said))+1))
		if !bytes.HasPrefix(said, got) {
			t.Fatalf("the client got %q of %q", got, said)
		}
		if err == nil && len(got) < len(said) {
			t.Fatalf("the client got %q of %q and a clean end", got, said)
		}
		if i := bytes.LastIndexByte(got, '\n'); len(got) > 0 && i < 0 {
			t.Fatalf("the client got part of a line: %q", got)
		}

		client := beanstalk.NewConn(newWire(stream{in: bytes.NewReader(said)}))
		if _, err := client.Tube.Put([]byte("x"), 0, 0, 0); err == nil && !bytes.Contains(said, []byte("\r\n")) {
			t.Fatalf("%q counts as an answer to a put", said)
		}
		client = beanstalk.NewConn(withBodies(said))
		if _, body, err := client.TubeSet.Reserve(0); err == nil && !bytes.Contains(said, body) {
			t.Fatalf("%q gave the body %q", said, body)
		}
		client = beanstalk.NewConn(withBodies(said))
		if dict, err := client.Stats(); err == nil {
			_, _ = parseStats(dict)
		}
	})
}

func withBodies(said []byte) *wire {
	w := newWire(stream{in: bytes.NewReader(said)})
	w.bodies.Store(true)
	return w
}

type readerOf struct{ w *wire }

func (r readerOf) Read(p []byte) (int, error) { return r.w.Read(p) }

// buriedID finds an id only in the words of the server.
func TestBuriedID(t *testing.T) {
	for answer, want := range map[string]bool{
		"BURIED 12": true, "BURIED 0": true, "BURIED": false, "BURIED x": false, "BURIED -1": false, "INSERTED 12": false,
	} {
		client := beanstalk.NewConn(newWire(stream{in: strings.NewReader(answer + "\r\n")}))
		_, err := client.Tube.Put([]byte("x"), 0, 0, 0)
		if _, ok := buriedID(err); ok != want {
			t.Errorf("%q: %t (%v)", answer, ok, err)
		}
	}
}
