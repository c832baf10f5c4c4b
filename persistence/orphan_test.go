package persistence_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// Drain waits for an acceptance of which nobody knows until custody has said what
// became of it: that it could not be asked is no answer.
func TestADrainWaitsForAnAnswer(t *testing.T) {
	inDrill(t, func(d *drill) {
		d.faults.Unknown(persistence.Transactional, 1, touches("lost"))
		if _, err := d.cached.Put(d.Context(), visit{ID: "lost", User: "ann"}); !fault.Unknown(err) {
			t.Fatalf("Put returned %v; want unknown", err)
		}
		answers := time.Now().Add(3 * time.Second)
		d.faults.Refuse(persistence.Transactional, func(op persistencetest.Op) error {
			extends := func(q string) bool { return strings.HasPrefix(q, "UPDATE") && strings.Contains(q, "SET sort") }
			if op.Name == "run" && slices.ContainsFunc(op.SQL, extends) && time.Now().Before(answers) {
				return fault.New(fault.ErrRefused, "transactional", "run", "not now")
			}
			return nil
		})
		if left, err := d.layer.Drain(d.Context()); err != nil || len(left) > 0 {
			t.Fatalf("drain left %v, %v", left, err)
		}
		if v, err := d.cached.Get(d.Context(), "lost"); err != nil || v.User != "ann" {
			t.Errorf("after the drain: %+v, %v", v, err)
		}
	})
}
