package beanstalkd

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/fourfold-dev/fourfold/transitory"
)

// A fakeServer answers as a test wants: it shows what a healthy server will not
// show. Without an answer of its own for a command it does what beanstalkd
// does, as far as these tests need it.
type fakeServer struct {
	listener net.Listener
	answer   func(command string) (reply string, cut bool) // cut: close the connection after the reply; "" and cut: say nothing
	mu       sync.Mutex
	commands []string
	over     []int           // the connection by which each of them came
	ended    []chan struct{} // closed when that connection has ended
	stats    map[string]string
}

func newFakeServer(t *testing.T, answer func(command string) (string, bool)) *fakeServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeServer{listener: listener, answer: answer, stats: map[string]string{
		"version": `"fake"`, "id": "f", "max-job-size": "65535", "draining": "false",
		"binlog-current-index": "1", "total-jobs": "0", "binlog-records-written": "0", "current-jobs-buried": "0",
	}}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.ended = append(f.ended, make(chan struct{}))
			f.mu.Unlock()
			go f.serve(conn, n)
		}
	}()
	return f
}

func (f *fakeServer) serve(conn net.Conn, number int) {
	defer func() {
		_ = conn.Close()
		f.mu.Lock()
		defer f.mu.Unlock()
		close(f.ended[number])
	}()
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		command := strings.TrimSpace(line)
		if strings.HasPrefix(command, "put ") {
			var pri, delay, ttr, size int
			_, _ = fmt.Sscanf(command, "put %d %d %d %d", &pri, &delay, &ttr, &size)
			_, _ = in.Discard(size + 2)
		}
		f.mu.Lock()
		f.commands, f.over = append(f.commands, command), append(f.over, number)
		reply, cut := f.answer(command)
		if reply == "" && !cut {
			reply = f.healthy(command)
		}
		f.mu.Unlock()
		_, _ = conn.Write([]byte(reply))
		if cut {
			return
		}
	}
}

func (f *fakeServer) healthy(command string) string {
	word, rest, _ := strings.Cut(command, " ")
	switch word {
	case "stats":
		var b strings.Builder
		b.WriteString("---\n")
		for k, v := range f.stats {
			fmt.Fprintf(&b, "%s: %s\n", k, v)
		}
		return body("OK", b.String())
	case "stats-job":
		return body("OK", "---\nid: "+rest+"\ntube: t\nstate: reserved\npri: 3\nttr: 60\nreserves: 1\n")
	case "use":
		return "USING " + rest + "\r\n"
	case "watch", "ignore":
		return "WATCHING 1\r\n"
	case "put":
		return "INSERTED 12\r\n"
	case "reserve-with-timeout":
		return body("RESERVED 7", "job")
	case "delete":
		return "DELETED\r\n"
	case "release":
		return "RELEASED\r\n"
	case "touch":
		return "TOUCHED\r\n"
	case "kick-job":
		return "KICKED\r\n"
	}
	return "UNKNOWN_COMMAND\r\n"
}

func body(head, text string) string { return fmt.Sprintf("%s %d\r\n%s\r\n", head, len(text), text) }

// saw says whether a command that starts so has come.
func (f *fakeServer) saw(prefix string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.commands {
		if strings.HasPrefix(c, prefix) {
			return true
		}
	}
	return false
}

// numbers are the connections by which a command came, in the order in which it
// did.
func (f *fakeServer) numbers(word string) (over []int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, c := range f.commands {
		if c == word || strings.HasPrefix(c, word+" ") {
			over = append(over, f.over[i])
		}
	}
	return over
}

// end is closed when the client, or a cut, has ended a connection.
func (f *fakeServer) end(number int) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended[number]
}

// on answers one command and leaves the others to healthy.
func on(word, reply string, cut bool) func(string) (string, bool) {
	return func(command string) (string, bool) {
		if command == word || strings.HasPrefix(command, word+" ") {
			return reply, cut
		}
		return "", false
	}
}

func openFake(t *testing.T, f *fakeServer, opts Options) *transitory.Queue {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	d, err := open(t.Context(), []string{f.listener.Addr().String()}, opts)
	if err != nil {
		t.Fatal(err)
	}
	q := transitory.New(d)
	t.Cleanup(func() { _ = q.Close() })
	return q
}
