package fakecql

import (
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
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

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("30 s later this does not hold: %s", what)
		}
	}
}
