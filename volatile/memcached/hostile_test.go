package memcached

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// fake is a server that answers what it is told to, after an honest
// generation.
func fake(t testing.TB, answer func(command string) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, nc := range conns {
			nc.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, nc)
			mu.Unlock()
			wg.Go(func() { serve(nc, answer) })
		}
	})
	return l.Addr().String()
}

func serve(nc net.Conn, answer func(command string) string) {
	defer nc.Close()
	r := bufio.NewReader(nc)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		command, _, _ := strings.Cut(line, " ")
		if fields := strings.Fields(line); len(fields) > 4 && (command == "set" || command == "add" || command == "cas") {
			r.ReadString('\n')
		}
		text := "VALUE " + genKey + " 0 8 1\r\n" + someGen + "\r\nEND\r\n"
		if !strings.Contains(line, genKey) {
			text = answer(strings.TrimSpace(line))
		}
		if _, err := nc.Write([]byte(text)); err != nil || text == "" {
			// With commands unread a close is a reset, which takes the answers
			// with it that are still on their way.
			nc.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, r)
			return
		}
	}
}

// C18, S19: answers that lie are errors, and cost no memory: a length that is
// too large, an answer for another key, a value without its end, garbage.
func TestHostileAnswers_C18(t *testing.T) {
	wire := wireKey(someGen, "k")
	for name, answer := range map[string]string{
		"length":       "VALUE " + wire + " 0 4294967290 1\r\nabc",
		"large length": "VALUE " + wire + " 0 1900000000 1\r\nabc",
		"garbage":      "\x00\xff\r\n",
		"no end":       "VALUE " + wire + " 0 3 1\r\nabcdefgh\r\nEND\r\n",
		"no line end":  strings.Repeat("x", 100_000),
		"error":        "SERVER_ERROR out of memory writing get response\r\n",
		"other key":    "VALUE " + someGen + ":other 0 3 1\r\nabc\r\nEND\r\n",
		"nothing":      "",
		"cut":          "VALUE " + wire + " 0 3 1\r\nab",
		"negative":     "VALUE " + wire + " 0 -3 1\r\nabc\r\nEND\r\n",
	} {
		either(t, name, func(t *testing.T, open func(testing.TB, Options, string) *driver) {
			d := open(t, Options{Timeout: 200 * time.Millisecond}, fake(t, func(string) string { return answer }))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := d.get("k")
			if err == nil {
				t.Errorf("%q", got)
			}
			items, err := d.Get(context.Background(), []string{"k"})
			if len(items) > 0 || err == nil && name != "other key" {
				t.Errorf("%v, %v", items, err)
			}
			if err := d.set("k", "v"); err == nil || fault.ClassOf(err) == nil {
				t.Errorf("set: %v", err)
			}
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
				t.Errorf("%d bytes allocated for a lie", n)
			}
		})
	}
}

// Every cut of an honest answer is an error or the answer, never another one.
func TestCutAnswers_C18(t *testing.T) {
	wire := wireKey(someGen, "k")
	honest := "VALUE " + wire + " 0 5 1\r\nhello\r\nEND\r\n"
	either(t, "get", func(t *testing.T, open func(testing.TB, Options, string) *driver) {
		for cut := 1; cut < len(honest); cut++ {
			text := honest[:cut]
			d := open(t, Options{Timeout: 100 * time.Millisecond}, cutter(t, text))
			if got, err := d.get("k"); err == nil {
				t.Errorf("%q is %q", text, got)
			}
			d.Close()
		}
	})
}

// cutter answers with a text and closes the connection.
func cutter(t testing.TB, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				r := bufio.NewReader(nc)
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					if !strings.Contains(line, genKey) {
						nc.Write([]byte(text))
						return
					}
					fmt.Fprintf(nc, "VALUE %s 0 8 1\r\n%s\r\nEND\r\n", genKey, someGen)
				}
			})
		}
	})
	return l.Addr().String()
}

// F11: a server that dribbles is bounded by the timeout of the whole
// operation, not of each of its reads.
func TestDribblingServer_F11(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop); l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { dribble(nc, stop) })
		}
	})
	either(t, "get", func(t *testing.T, open func(testing.TB, Options, string) *driver) {
		d := open(t, Options{Timeout: 200 * time.Millisecond}, l.Addr().String())
		start := time.Now()
		if got, err := d.get("k"); err == nil {
			t.Errorf("%q", got)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("took %v; the timeout is 200ms", took)
		}
	})
}

// dribble answers with one small value after another, for ever.
func dribble(nc net.Conn, stop chan struct{}) {
	defer nc.Close()
	r := bufio.NewReader(nc)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if strings.Contains(line, genKey) {
			fmt.Fprintf(nc, "VALUE %s 0 8 1\r\n%s\r\nEND\r\n", genKey, someGen)
			continue
		}
		for {
			if _, err := fmt.Fprintf(nc, "VALUE %s 0 1 1\r\nx\r\n", wireKey(someGen, "k")); err != nil {
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}
