package leaktest

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
)

// A witness is told of failures in a test's place.
type witness struct {
	testing.TB
	failed string
}

func (w *witness) Errorf(format string, args ...any) { w.failed = fmt.Sprintf(format, args...) }

func TestWhatIsLeftIsSeen(t *testing.T) {
	mark := Now()
	mark.patience = 0
	mark.Nothing(t)
	mark.Within(t, 0, 0)

	stop, ended := make(chan struct{}), make(chan struct{})
	go func() { <-stop; close(ended) }()
	w := &witness{TB: t}
	if mark.Nothing(w); !strings.Contains(w.failed, "TestWhatIsLeftIsSeen") {
		t.Errorf("a goroutine that is left: %q", w.failed)
	}
	mark.Nothing(t, "github.com/fourfold-dev/fourfold/internal/leaktest.TestWhatIsLeftIsSeen.func1")
	w = &witness{TB: t}
	if mark.Within(w, 0, 0); w.failed == "" {
		t.Error("a goroutine too many passes")
	}
	mark.Within(t, 1, 0)
	close(stop)
	<-ended

	if runtime.GOOS != "linux" {
		return // nothing tells of sockets
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w = &witness{TB: t}
	if mark.Nothing(w); !strings.Contains(w.failed, "socket:") {
		t.Errorf("a socket that is left: %q", w.failed)
	}
	w = &witness{TB: t}
	if mark.Within(w, 1, 0); w.failed == "" {
		t.Error("a socket too many passes")
	}
	l.Close()
	mark.patience = Now().patience
	mark.Nothing(t)
}
