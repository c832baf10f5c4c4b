package sqlitefile

import (
	"context"
	"errors"
)

// readers is a pool of read-only connections, opened when they are needed.
type readers struct {
	open func() (*rawConn, error)
	// free holds the connections that nobody uses, nil for one that is not
	// open.
	free chan *rawConn
}

func newReaders(n int, open func() (*rawConn, error)) *readers {
	r := &readers{open: open, free: make(chan *rawConn, n)}
	for range n {
		r.free <- nil
	}
	return r
}

// take waits for a connection.
func (r *readers) take(ctx context.Context, closing <-chan struct{}) (*rawConn, error) {
	var raw *rawConn
	select {
	case raw = <-r.free:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-closing:
		return nil, closedError()
	}
	if raw == nil {
		var err error
		if raw, err = r.open(); err != nil {
			r.free <- nil
			return nil, err
		}
	}
	if err := raw.control("BEGIN"); err != nil {
		r.put(raw, true)
		return nil, Classify(err, "begin")
	}
	return raw, nil
}

// put gives a connection back, without its snapshot.
func (r *readers) put(raw *rawConn, broken bool) {
	if err := raw.control("ROLLBACK"); broken || err != nil {
		_ = raw.close() // it is broken, and says so
		raw = nil
	}
	r.free <- raw
}

// close waits for all connections and closes them.
func (r *readers) close() error {
	var errs []error
	for range cap(r.free) {
		if raw := <-r.free; raw != nil {
			errs = append(errs, Classify(raw.close(), "close"))
		}
	}
	return errors.Join(errs...)
}

// Read runs unit on a reader, on one snapshot, in the caller's goroutine. When
// ctx ends, what runs is interrupted, further statements answer ctx's error,
// and Read returns when unit does. A panic of unit is the caller's.
func (f *File) Read(ctx context.Context, unit func(Conn) error) error {
	u, err := f.startRead(ctx)
	if err != nil {
		return err
	}
	revoked := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(revoked)
		u.revoke(ctx.Err())
	})
	defer func() {
		if !stop() {
			<-revoked // nothing of a read outlives it
		}
		u.finish()
		f.mu.Lock()
		delete(f.reads, u)
		f.mu.Unlock()
	}()
	return unit(u)
}

func (f *File) startRead(ctx context.Context) (*unitConn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := f.enter(); err != nil {
		return nil, err
	}
	defer f.calls.Done()
	raw, err := f.db.readers.take(ctx, f.closing)
	if err != nil {
		return nil, err
	}
	u := newUnit(raw, f.db.readers.put)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		u.finish()
		return nil, closedError()
	}
	f.reads[u] = struct{}{}
	return u, nil
}
