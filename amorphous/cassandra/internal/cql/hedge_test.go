package cql

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// errSilent is an answer that never comes.
var errSilent = errors.New("silent")

// A hanging session answers statements one after the other as it is told, and
// then always well.
type hanging struct {
	Session
	answers []error
	sent    atomic.Int64
}

func (h *hanging) answer(ctx context.Context) error {
	n := int(h.sent.Add(1)) - 1
	if n >= len(h.answers) {
		return nil
	}
	if h.answers[n] == errSilent {
		<-ctx.Done()
		return ctx.Err()
	}
	return h.answers[n]
}

func (h *hanging) Exec(ctx context.Context, _ Consistency, _ Statement) error { return h.answer(ctx) }

func (h *hanging) Each(ctx context.Context, _ Consistency, _ Statement, _ int, _ func(func(...any) error) error) error {
	return h.answer(ctx)
}

// A lone session knows of one node.
type lone struct{ *hanging }

func (lone) Nodes() int { return 1 }

// Where there is one node only, it is not asked again just when it is slow.
func TestALoneNodeIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := lone{&hanging{answers: []error{errSilent, errSilent}}}
		d, err := New(Handed(h), Options{Keyspace: "k", Hedge: DefaultHedge})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		row := amorphous.Row{Partition: "p", ID: "i", Shape: 1, Stamp: amorphous.Stamp{Version: 1}}
		if err := d.Write(t.Context(), amorphous.Table{Name: "t"}, []amorphous.Row{row})[0]; !fault.Unknown(err) || h.sent.Load() != 1 {
			t.Errorf("a write: %v, sent %d times", err, h.sent.Load())
		}
		_, err = d.Read(t.Context(), amorphous.Table{Name: "t"}, []amorphous.Address{{Partition: "p", ID: "i"}})
		if fault.ClassOf(err) != fault.ErrUnavailable || h.sent.Load() != 2 {
			t.Errorf("a read: %v, sent %d times", err, h.sent.Load()-1)
		}
	})
}

// TestHedge: what has no answer for a moment is sent once more, and the outcome
// is never better known than it is.
func TestHedge(t *testing.T) {
	refused, busy := error(&answer{codeSyntax, "no"}), error(&answer{codeOverloaded, "busy"})
	for name, c := range map[string]struct {
		answers []error
		hedge   time.Duration
		took    time.Duration
		sent    int64
		class   error
	}{
		"answered at once":              {nil, DefaultHedge, 0, 1, nil},
		"one node hangs":                {[]error{errSilent}, DefaultHedge, DefaultHedge, 2, nil},
		"found three times":             {[]error{errSilent, errSilent, errSilent}, DefaultHedge, 3 * DefaultHedge, 4, nil},
		"all hang":                      {[]error{errSilent, errSilent, errSilent, errSilent}, DefaultHedge, 10 * time.Second, 4, fault.ErrUnknown},
		"refused while one hangs":       {[]error{errSilent, refused}, DefaultHedge, DefaultHedge, 2, fault.ErrRefused},
		"not applied while one hangs":   {[]error{errSilent, busy, busy, busy}, DefaultHedge, 10 * time.Second, 4, fault.ErrUnknown},
		"not sent while one hangs":      {[]error{errSilent, NotSent(errors.New("no node")), nil}, DefaultHedge, 2 * DefaultHedge, 3, nil},
		"an error is not sent again":    {[]error{busy}, DefaultHedge, 0, 1, fault.ErrBusy},
		"a lost answer is not repeated": {[]error{errors.New("reset")}, DefaultHedge, 0, 1, fault.ErrUnknown},
		"never":                         {[]error{errSilent}, 0, 10 * time.Second, 1, fault.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hanging{answers: c.answers}
				d, err := New(Handed(h), Options{Keyspace: "k", Hedge: c.hedge})
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				began := time.Now()
				row := amorphous.Row{Partition: "p", ID: "i", Shape: 1, Stamp: amorphous.Stamp{Version: 1}}
				err = d.Write(t.Context(), amorphous.Table{Name: "t"}, []amorphous.Row{row})[0]
				if fault.ClassOf(err) != c.class || time.Since(began) != c.took || h.sent.Load() != c.sent {
					t.Errorf("%v after %v, sent %d times; want class %v after %v, %d times", err, time.Since(began), h.sent.Load(), c.class, c.took, c.sent)
				}
			})
		})
	}
}

// A read of few rows is begun again, with more patience each time; a scan has all
// the time of its bound.
func TestReadsBeginAgain(t *testing.T) {
	for name, c := range map[string]struct {
		silent int
		took   time.Duration
		class  error
	}{
		"one node hangs": {1, DefaultHedge, nil}, "found twice": {2, 5 * DefaultHedge, nil},
		"all hang": {9, 10 * time.Second, fault.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hanging{}
				for range c.silent {
					h.answers = append(h.answers, errSilent)
				}
				d, err := New(Handed(h), Options{Keyspace: "k", Hedge: DefaultHedge})
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				began := time.Now()
				_, err = d.Read(t.Context(), amorphous.Table{Name: "t"}, []amorphous.Address{{Partition: "p", ID: "i"}})
				if fault.ClassOf(err) != c.class || time.Since(began) != c.took {
					t.Errorf("%v after %v; want class %v after %v", err, time.Since(began), c.class, c.took)
				}
				began = time.Now()
				h.answers, h.sent = []error{errSilent}, atomic.Int64{}
				_, err = d.Scan(t.Context(), amorphous.Table{Name: "t"}, amorphous.Range{Partition: "p", Limit: 10})
				if fault.ClassOf(err) != fault.ErrUnavailable || time.Since(began) != 10*time.Second || h.sent.Load() != 1 {
					t.Errorf("a scan: %v after %v, sent %d times", err, time.Since(began), h.sent.Load())
				}
			})
		})
	}
}
