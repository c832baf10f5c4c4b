package stores

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// What fails once is waited for, and what is due in an hour is not.
func TestDrainWaitsForNextAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type letter struct {
			ID string `persistence:"key"`
		}
		layer := persistencetest.Open(t, persistencetest.Options{Unfinished: true})
		attempts := 0
		soon := persistence.Declare(layer, "soon", persistence.Plan[letter]{
			{Name: "send", Purpose: persistence.Transitory, Priority: 1, Do: func(context.Context, letter) error {
				if attempts++; attempts < 3 {
					return errors.New("not this time")
				}
				return nil
			}},
		}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
		if _, err := soon.Put(t.Context(), letter{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		left, err := Drain(t.Context(), layer)
		if err != nil || len(left) > 0 || attempts != 3 {
			t.Errorf("%d attempts, and %v is left, %v", attempts, left, err)
		}
		if err := Undone(t.Context(), layer, left); err != nil {
			t.Error(err)
		}
		late := persistence.Declare(layer, "late", persistence.Plan[letter]{
			{Name: "send", Purpose: persistence.Transitory, Priority: 1, Delay: time.Hour, Do: func(context.Context, letter) error { return nil }},
		}, persistence.KindOptions{Custody: persistence.TransactionalCustody})
		if _, err := late.Put(t.Context(), letter{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		left, err = Drain(t.Context(), layer)
		if err != nil || len(left) != 1 || time.Since(began) > 2*patience {
			t.Errorf("after %v %v is left, %v; want the late one, after a minute", time.Since(began), left, err)
		}
		if err := Undone(t.Context(), layer, left); err == nil || !strings.Contains(err.Error(), "send of late: not due") {
			t.Errorf("what is left is told as %v", err)
		}
	})
}
