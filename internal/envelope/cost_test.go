package envelope

import (
	"bytes"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/costtest"
)

// TestCosts bounds what an envelope of eight tasks and 200 bytes costs on its
// way.
func TestCosts(t *testing.T) {
	env := Envelope{
		Kind: "checkin", Key: "000000123456", Version: 1795886457076100, Tie: 77, Accepted: time.UnixMicro(1795886457076100).UTC(),
		Shape: 99, Body: bytes.Repeat([]byte("x"), 200),
	}
	for _, name := range []string{"distribute", "venue", "nearby", "badges", "activity", "object", "count", "search"} {
		env.Tasks = append(env.Tasks, Task{Name: name})
	}
	data, progress := env.Append(nil), AppendTasks(nil, env.Tasks)
	buf := make([]byte, 0, 2*len(data))
	// One allocation, and two under the race detector.
	costtest.Check(t, "append to a new buffer", 1, costtest.Bound{Allocs: 2, Bytes: 1100}, func() { env.Append(nil) })
	costtest.Check(t, "append to a buffer with room", 1, costtest.Bound{Allocs: 0.2, Bytes: 64}, func() { env.Append(buf) })
	costtest.Check(t, "decode", 1, costtest.Bound{Allocs: 5, Bytes: 1600}, func() {
		if _, err := Decode(data); err != nil {
			t.Fatal(err)
		}
	})
	costtest.Check(t, "decode what remains", 1, costtest.Bound{Allocs: 3, Bytes: 1024}, func() {
		if _, err := DecodeTasks(progress); err != nil {
			t.Fatal(err)
		}
	})
}
