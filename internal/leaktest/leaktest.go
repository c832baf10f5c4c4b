// Package leaktest holds that what connects again, or is closed, leaves nothing
// behind: no goroutine, and no socket.
package leaktest

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// A Mark is what this process had at one moment.
type Mark struct {
	goroutines, sockets int

	before goleak.Option
	// patience is how long what is closed may take to be gone. It bounds a hanging
	// test, and asserts nothing about speed.
	patience time.Duration
}

// Now marks what this process has. What runs in it until the mark is looked at
// must be the caller's own: no test beside it.
func Now() Mark {
	return Mark{runtime.NumGoroutine(), len(sockets()), goleak.IgnoreCurrent(), 30 * time.Second}
}

// sockets are the sockets that this process has open, where the system tells.
func sockets() []string {
	const dir = "/proc/self/fd"
	var open []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			open = append(open, e.Name()+" is "+to)
		}
	}
	return open
}

// Within fails the test unless there are at most so many goroutines and sockets
// more than at the mark, soon.
func (m Mark) Within(t testing.TB, moreGoroutines, moreSockets int) {
	t.Helper()
	goroutines, open := 0, 0
	if !m.eventually(func() bool {
		goroutines, open = runtime.NumGoroutine()-m.goroutines, len(sockets())-m.sockets
		return goroutines <= moreGoroutines && open <= moreSockets
	}) {
		t.Errorf("there are %d goroutines and %d sockets more than before; want at most %d and %d", goroutines, open, moreGoroutines, moreSockets)
	}
	t.Logf("there are %d goroutines and %d sockets more than before, of %d and %d", goroutines, open, moreGoroutines, moreSockets)
}

// Nothing fails the test unless all goroutines that came after the mark are gone,
// and no socket is left, soon. The goroutines that watch a server which was
// started meanwhile do not count, and none in which one of the functions is that
// are named.
func (m Mark) Nothing(t testing.TB, but ...string) {
	t.Helper()
	options := []goleak.Option{m.before}
	for _, function := range append(but, "github.com/fourfold-dev/fourfold/internal/servers.begin.func1") {
		options = append(options, goleak.IgnoreAnyFunction(function))
	}
	// A socket that nobody closed, and nobody refers to, is closed by the collector,
	// some time.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var (
		left error
		open []string
	)
	if !m.eventually(func() bool {
		left, open = goleak.Find(options...), sockets()
		return left == nil && len(open) <= m.sockets
	}) {
		t.Errorf("%d sockets were open, and now there are %d, %v; goroutines that are left: %v", m.sockets, len(open), open, left)
	}
}

func (m Mark) eventually(ok func() bool) bool {
	for end := time.Now().Add(m.patience); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
