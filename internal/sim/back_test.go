package sim

import (
	"context"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

const (
	hour    = 3600 * second
	trusted = time.Duration(flow.Trusted) * time.Microsecond // for how long a clock is not asked again
)

// The server's clock is set by an hour, and a lease of an owner that lives seems to
// be over to a process that knew the clock before. In whatever order it, and another
// that did, come to see it: the claim is nobody else's before its lease is over, and
// then it is freed.
func TestALeaseByAClockThatWasSetIsNotOverEarly_A21(t *testing.T) {
	notEarly(t, "it was set less than a second ago", func(t *testing.T, o *outbox, _, _ *agent) {
		o.skew -= hour
		o.claims(t, o.begins(), 1)
	})
	notEarly(t, "back, and it is put right before anybody is told", func(t *testing.T, o *outbox, a, _ *agent) {
		o.goesBack(t, a)
		o.claims(t, o.begins(), 1)
		o.skew += hour
		time.Sleep(trusted)
	})
	notEarly(t, "back, which both have seen, and the other tells", func(t *testing.T, o *outbox, a, b *agent) {
		o.goesBack(t, a, b)
		o.claims(t, o.begins(), 1)
		o.frees(t, b, 0)
		time.Sleep(trusted)
	})
	notEarly(t, "back, and the other tells first", func(t *testing.T, o *outbox, _, b *agent) {
		o.goesBack(t, b)
		o.claims(t, o.begins(), 1)
		o.frees(t, b, 0)
	})
	notEarly(t, "back, and it tells, and does not know whether it did", func(t *testing.T, o *outbox, a, _ *agent) {
		o.goesBack(t, a)
		o.claims(t, o.begins(), 1)
		a.wire.arm(lost)
		if _, err := a.store.Sweep(o.ctx); !fault.Unknown(err) {
			t.Errorf("a sweep whose answer is lost says %v", err)
		}
		time.Sleep(trusted)
	})
	notEarly(t, "back, while it is stopped in a sweep", func(t *testing.T, o *outbox, a, _ *agent) {
		o.stops(t, a, func() {
			o.skew -= hour
			o.claims(t, o.begins(), 1)
		})
	})
	notEarly(t, "ahead, while it is stopped in a sweep", func(t *testing.T, o *outbox, a, b *agent) {
		o.stops(t, a, func() {
			o.claims(t, b, 1)
			time.Sleep(trusted)
			o.skew += hour
		})
	})
}

// notEarly makes two processes, lets happen what makes a third lease a claim, and
// lets the first sweep until that is over.
func notEarly(t *testing.T, what string, happens func(t *testing.T, o *outbox, a, b *agent)) {
	t.Run(what, func(t *testing.T) {
		aside(t, func(t *testing.T, o *outbox) {
			o.agents = []*agent{o.start(), o.start()}
			happens(t, o, o.agents[0], o.agents[1])
			o.frees(t, o.agents[0], 0)
			time.Sleep(trusted)
			o.frees(t, o.agents[0], 0)
			time.Sleep(claimLease + trusted)
			o.frees(t, o.agents[0], 1)
		})
	})
}

// A place is taken from nobody who lives either, whoever of the two saw the clock
// go back; and one that never sweeps gets it in the end.
func TestAPlaceByAClockThatWentBackIsNotTakenEarly_A21(t *testing.T) {
	for what, saw := range map[string]bool{"it has seen that": true, "it has not asked since": false} {
		t.Run(what, func(t *testing.T) {
			aside(t, func(t *testing.T, o *outbox) {
				o.agents = []*agent{o.start()}
				enter := func(a *agent) error {
					_, err := a.store.Enter(o.ctx, "task", "key", 1, claimLease)
					return err
				}
				if saw {
					o.goesBack(t, o.agents[0])
				} else {
					o.skew -= hour
				}
				if err := enter(o.begins()); err != nil {
					t.Fatal(err)
				}
				for range 3 {
					if err := enter(o.agents[0]); fault.ClassOf(err) != fault.ErrBusy {
						t.Errorf("a place of an owner that lives: %v, want that it is taken", err)
					}
					time.Sleep(claimLease / 3)
				}
				time.Sleep(2 * trusted)
				if err := enter(o.agents[0]); err != nil {
					t.Errorf("a place whose lease is over: %v", err)
				}
			})
		})
	}
}

// stops makes a process be stopped in its next sweep, which finds something to do,
// and meanwhile something happens.
func (o *outbox) stops(t *testing.T, a *agent, meanwhile func()) {
	t.Helper()
	r := transactional.Record{ID: recordID(2), Kind: "k", Lane: "three", Token: "t", Remember: time.Second}
	if _, err := a.store.Apply(o.ctx, &transactional.Unit{Add: []transactional.Record{r}}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // it remembers the token for no longer
	a.wire.Driver = &stopped{Driver: a.wire.Driver, meanwhile: meanwhile}
}

// A stopped driver's process is stopped before its next transaction.
type stopped struct {
	transactional.Driver
	meanwhile func()
}

func (d *stopped) Run(ctx context.Context, unit func(transactional.Conn) error) error {
	if d.meanwhile != nil {
		d.meanwhile()
		d.meanwhile = nil
	}
	return d.Driver.Run(ctx, unit)
}

// begins starts one more process.
func (o *outbox) begins() *agent {
	a := o.start()
	o.agents = append(o.agents, a)
	return a
}

// goesBack sets the server's clock back by an hour, which some processes see; they
// tell nobody yet.
func (o *outbox) goesBack(t *testing.T, saw ...*agent) {
	t.Helper()
	time.Sleep(time.Second)
	o.skew -= hour
	for _, a := range saw {
		if _, _, err := a.store.Urgent(o.ctx, lanes); err != nil {
			t.Fatal(err)
		}
	}
}
