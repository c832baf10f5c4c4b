package fakecql

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/internal/leaktest"
	"github.com/fourfold-dev/fourfold/internal/servers"
)

// TestClosedWhileItConnects: a store that is closed while its client connects
// again leaves nothing behind. By itself the client (v2.1.2) would never end.
func TestClosedWhileItConnects(t *testing.T) {
	server, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	cable := servers.NewCable(t, server.Addr)
	mark := leaktest.Now()
	store, err := amorphous.Open(t.Context(), amorphous.URL("cassandra://"+cable.Address()+"/ks"), nil)
	if err != nil {
		t.Fatal(err)
	}
	operate(t, store)
	cable.Cut()
	eventually(t, "the server sees the cut", func() bool { return server.connections() == 0 })
	// What the client tries at once fails, and what it tries at its next heartbeat,
	// a second after it began, does not.
	eventually(t, "the client tried all it had", func() bool { return cable.Refused() >= 3 })
	cable.Mend()
	cable.Delay(5 * time.Millisecond)
	eventually(t, "the client connects again", func() bool { return server.connections() > 0 })
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	mark.Nothing(t)
}

// TestClosedBeforeItLooksAround: a store is closed when its client has connected
// again, and before it looks at the ring. By itself the client (v2.1.2) would wait
// for that look for ever.
func TestClosedBeforeItLooksAround(t *testing.T) {
	for _, words := range []string{"Reconnecting the control connection.", "Control connection connected to host."} {
		t.Run(words, func(t *testing.T) {
			server, err := Start()
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			mark := leaktest.Now()
			said := &held{words: "cassandra client: " + words, heard: make(chan struct{}), goOn: make(chan struct{})}
			store, err := amorphous.Open(t.Context(), cassandra.Open(cassandra.Options{
				Hosts: []string{server.Addr}, Keyspace: "ks", Plaintext: true, Logger: slog.New(said),
			}), nil)
			if err != nil {
				t.Fatal(err)
			}
			operate(t, store)
			said.hold.Store(true)
			server.hangUp()
			<-said.heard
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				if err := store.Close(); err != nil {
					t.Error(err)
				}
			}()
			select {
			case <-closed:
				t.Error("closed while the client connects again")
			case <-time.After(50 * time.Millisecond):
			}
			close(said.goOn)
			<-closed
			mark.Nothing(t)
		})
	}
}

// held is a log that holds up who says certain words, once.
type held struct {
	words       string
	hold        atomic.Bool
	heard, goOn chan struct{}
}

func (h *held) Enabled(context.Context, slog.Level) bool { return true }
func (h *held) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *held) WithGroup(string) slog.Handler            { return h }

func (h *held) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.words && h.hold.CompareAndSwap(true, false) {
		close(h.heard)
		<-h.goOn
	}
	return nil
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("30 s later this does not hold: %s", what)
		}
	}
}
