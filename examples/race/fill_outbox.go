package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// waiting brings the envelopes in the outbox to n, and the marks of envelopes that
// are done. Of the former nobody here takes any, for half are of a kind
// that it does not know, and half due tomorrow, like what is delayed or tried again.
func (f *filler) waiting(ctx context.Context, n int) error {
	outbox, marks := f.namespace+"_outbox", f.namespace+"_marks"
	have, err := f.count(ctx, outbox)
	if err != nil {
		return err
	}
	done, err := f.count(ctx, marks)
	if err != nil {
		return err
	}
	const hour = int64(time.Hour / time.Microsecond)
	// The time in front of an id is less than what is put from now on, and grows.
	id := func(block int) string {
		return fmt.Sprintf("UNHEX(CONCAT(LPAD(HEX(CAST(CONV(HEX(LEFT(id, 8)), 16, 10) AS UNSIGNED) - %d), 16, '0'), LEFT(MD5(CONCAT(%d, HEX(id))), 16)))",
			24*hour-int64(block)*1e6, block)
	}
	if n > have {
		s, err := f.seedOutbox(ctx, outbox)
		if err != nil {
			return err
		}
		defer s.conn.Close()
		err = s.copy(ctx, n-have, func(block int) map[string]string {
			if block%2 == 0 {
				lane := "'" + f.namespace + "/unknown/bg'"
				return map[string]string{"id": id(block), "state": "0", "queue": lane, "lane": lane, "sort": "priority", "kind": "'unknown'", "owner": "0"}
			}
			due := fmt.Sprint(time.Now().UnixMicro() + 24*hour + int64(block))
			return map[string]string{"id": id(block), "state": "2", "queue": "''", "sort": due, "due": due, "owner": "0"}
		})
		if err != nil {
			return err
		}
	}
	if n <= done {
		return nil
	}
	return f.copy(ctx, marks, "1 = 1", n-done, func(block int) map[string]string {
		return map[string]string{"id": id(block), "until": fmt.Sprint(time.Now().UnixMicro() + hour)}
	})
}

// seedOutbox has the layer accept some check-ins, notes their rows in the outbox
// and lets them be done.
func (f *filler) seedOutbox(ctx context.Context, outbox string) (s *seed, err error) {
	e := entrantOf("later")
	l := newLap(f.seeds, f.size, curveCallers, e.tasks)
	f.laps.current.Store(l)
	defer f.laps.current.Store(nil)
	puts := make([]putter, curveCallers)
	for i := range puts {
		puts[i] = func(ctx context.Context, c *Checkin) error { return put(ctx, f.system.later, c) }
	}
	if _, err := l.drive(ctx, puts); err != nil {
		return nil, err
	}
	if s, err = f.seed(ctx, outbox, fmt.Sprintf("okey LIKE '%014x-%%'", l.number)); err != nil {
		return nil, err
	}
	stop := f.system.work(ctx)
	return s, errors.Join(l.wait(ctx), stop())
}
