package cql

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A crowd counts the queries that are under way, and answers none until it is
// told to.
type crowd struct {
	Session
	answer chan struct{}

	mu                   sync.Mutex
	running, most, total int
}

func (c *crowd) Each(context.Context, Consistency, Statement, int, func(func(...any) error) error) error {
	c.mu.Lock()
	c.running, c.total = c.running+1, c.total+1
	c.most = max(c.most, c.running)
	c.mu.Unlock()
	<-c.answer
	c.mu.Lock()
	c.running--
	c.mu.Unlock()
	return nil
}

// TestStatementsUnderWayAreBounded_E17: however many callers there are, a node is not
// given more at once than it can take; who waits leaves with its context, and has
// sent nothing.
func TestStatementsUnderWayAreBounded_E17(t *testing.T) {
	const callers = 300
	for inFlight, want := range map[int]int{0: 256, 3: 3} {
		synctest.Test(t, func(t *testing.T) {
			c := &crowd{answer: make(chan struct{})}
			d, err := New(Handed(c), Options{Keyspace: "ks", InFlight: inFlight})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			scan := func(ctx context.Context) error {
				_, err := d.Scan(ctx, amorphous.Table{Name: "t"}, amorphous.Range{Partition: "p", Limit: 10})
				return err
			}
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					if err := scan(context.Background()); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
			if c.total != want {
				t.Errorf("%d statements are under way, want %d", c.total, want)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if err := scan(ctx); !errors.Is(err, context.DeadlineExceeded) || fault.ClassOf(err) != nil {
				t.Errorf("a caller that did not get a place: %v", err)
			}
			close(c.answer)
			all.Wait()
			if c.most != want || c.total != callers {
				t.Errorf("%d statements in all, %d at once; want %d and %d", c.total, c.most, callers, want)
			}
		})
	}
}
