package persistence

import (
	"context"
	"testing"
	"testing/synctest"
)

// The rescue of a class that is over, which came late, starts nothing of the
// next one: Tx tasks of an envelope run one after another.
func TestALateRescueStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in which the rescue is late
		quickTask := &task{}
		quickTask.pace.Store(1)
		h := &held{tasks: []*task{quickTask, quickTask, {tx: func(context.Context, *Tx, any) error { return nil }}}}
		w := &worker{}
		w.startQuick(t.Context(), h, []int{0, 1})
		w.beside.rescue.Stop()
		for range 3 {
			w.beside.next()
		}
		h.obj = h
		w.sideBySide(t.Context(), h, []int{2})
		w.startRest() // it was on its way
		if i, ok := w.beside.next(); !ok || i != 2 {
			t.Errorf("the rescue of the last class took task %d of this one", i)
		}
	})
}
