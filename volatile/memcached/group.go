package memcached

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

// What one group of commands carries at most, so that no other operation on
// the pipe waits for long.
const (
	groupMost  = 128
	groupBytes = 256 << 10
)

// A verb is a command that a group is made of: it appends the command for an
// item to b. An error means that there is nothing to send.
type verb struct {
	operation
	command func(e *epoch, b []byte, item *volatile.Item) ([]byte, error)
	single  func(ctx context.Context, item volatile.Item) error // for one that is alone, or wide
}

// group runs a verb on many items: the items of a member leave together, and
// its answers come together.
func (d *driver) group(ctx context.Context, v verb, items []volatile.Item) []error {
	errs := make([]error, len(items))
	if len(items) == 1 {
		if errs[0] = d.check(ctx, v.name, items[0]); errs[0] == nil {
			errs[0] = v.single(ctx, items[0])
		}
		return errs
	}
	shares := make([][]int, len(d.members))
	var wide []int
	for i := range items {
		if errs[i] = d.check(ctx, v.name, items[i]); errs[i] != nil {
			continue
		}
		if len(items[i].Value) >= wideFrom {
			wide = append(wide, i)
			continue
		}
		m := d.ring.member(items[i].Key)
		shares[m] = append(shares[m], i)
	}
	var wg sync.WaitGroup
	for m, share := range shares {
		switch {
		case len(share) == 0:
		case len(share)+len(wide) == len(items):
			d.members[m].group(ctx, v, items, share, errs)
		default:
			wg.Go(func() { d.members[m].group(ctx, v, items, share, errs) })
		}
	}
	each(len(wide), func(n int) { errs[wide[n]] = v.single(ctx, items[wide[n]]) })
	wg.Wait()
	return errs
}

// group runs a verb on the items of one member, a flush at a time.
func (m *member) group(ctx context.Context, v verb, items []volatile.Item, share []int, errs []error) {
	for len(share) > 0 {
		n, size := 0, 0
		for n < len(share) && n < groupMost && (n == 0 || size < groupBytes) {
			size += len(items[share[n]].Value)
			n++
		}
		m.flush(ctx, v, items, share[:n], errs)
		share = share[n:]
	}
}

// flush runs one group.
func (m *member) flush(ctx context.Context, v verb, items []volatile.Item, share []int, errs []error) {
	o := v.operation
	o.how = group
	o.keys = make([]string, len(share))
	for n, i := range share {
		o.keys[n] = items[i].Key
	}
	answers, err := do(ctx, m, o, func(l *lane) ([]error, error) { return l.group(ctx, v, items, share) })
	for n, i := range share {
		cause, class := err, error(nil)
		if err == nil {
			cause = answers[n]
			verdict := classify(cause, v.write)
			if class = verdict.class; class == nil {
				continue
			}
			if lossy(class) && !verdict.told {
				m.lose(items[i].Key)
			}
		}
		errs[i] = ofItem(v.name, items[i].Key, m, class, cause)
	}
}

// ofItem is the error of one item of a group; one of the whole group has its
// class already.
func ofItem(op, key string, m *member, class, cause error) error {
	if placed, ok := cause.(*fault.Error); ok && class == nil {
		own := *placed
		own.Key = key
		return &own
	}
	if class == nil {
		return cause // the context's, or closed
	}
	return &fault.Error{Op: op, Store: "volatile", Key: key, Class: class, Err: fmt.Errorf("%s: %w", m.addr.name, cause)}
}

// commandBuffers are used again, by one group after the other.
var commandBuffers = sync.Pool{New: func() any { return new([]byte) }}

// group asks the commands of a group at once.
func (l *lane) group(ctx context.Context, v verb, items []volatile.Item, share []int) ([]error, error) {
	answers := make([]error, len(share))
	held := l.epoch.held.Load() && v.name != "delete"
	buffer := commandBuffers.Get().(*[]byte)
	commands := (*buffer)[:0]
	defer func() { // the pipe has its own copy
		if *buffer = commands; cap(commands) <= spareMost {
			commandBuffers.Put(buffer)
		}
	}()
	sent := make([]int, 0, len(share))
	for n, i := range share {
		var err error
		if held {
			// Nothing is kept while the generation is young: see settle.
			commands = appendDelete(l.epoch, commands, items[i].Key)
		} else if commands, err = v.command(l.epoch, commands, &items[i]); err != nil {
			answers[n] = err
			continue
		}
		sent = append(sent, n)
	}
	if len(sent) == 0 {
		return answers, nil
	}
	if l.pipe == nil {
		return nil, l.epoch.noPipe()
	}
	lines, err := l.ask(ctx, commands, len(sent))
	if err != nil {
		return nil, err
	}
	for _, n := range sent {
		var line string
		line, lines, _ = strings.Cut(lines, "\r\n")
		if answers[n] = answerOf(line); v.name == "swap" && errors.Is(answers[n], memcache.ErrCacheMiss) {
			answers[n] = memcache.ErrCASConflict
		}
	}
	if held {
		return nil, errSettling
	}
	return answers, nil
}

// ask sends commands over the pipe and returns their answers.
func (l *lane) ask(ctx context.Context, commands []byte, want int) (string, error) {
	a := &ask{want: want, end: time.Now().Add(l.epoch.member.opts.Timeout), done: make(chan struct{}, 1)}
	if err := l.pipe.send(commands, a); err != nil {
		return "", err
	}
	select {
	case <-a.done:
		return string(a.got), a.err
	case <-ctx.Done():
		return "", errLeft
	}
}

var (
	// errNoPipe says that a group found no pipe: nothing was sent.
	errNoPipe = errors.New("no connection could be made for a group")
	// errLeft says that a caller did not wait for the answer.
	errLeft = errors.New("the context ended before the answer came")
)

// answerOf is what the client would make of an answer of one line.
func answerOf(line string) error {
	switch line {
	case "STORED", "DELETED":
		return nil
	case "NOT_STORED":
		return memcache.ErrNotStored
	case "EXISTS":
		return memcache.ErrCASConflict
	case "NOT_FOUND":
		return memcache.ErrCacheMiss
	}
	return fmt.Errorf("unexpected answer %q", line)
}

func appendDelete(e *epoch, b []byte, key string) []byte {
	b = append(b, "delete "...)
	b = appendWireKey(b, e.gen, key)
	return append(b, "\r\n"...)
}

// appendStore appends a command that stores; cas is zero for those that do not
// compare.
func appendStore(e *epoch, b []byte, name string, item *volatile.Item, cas uint64) []byte {
	body, flags := wireValue(item.Value)
	b = append(b, name...)
	b = append(b, ' ')
	b = appendWireKey(b, e.gen, item.Key)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(flags), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(expiry(item.TTL, time.Now())), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(body)), 10)
	if name == "cas" {
		b = append(b, ' ')
		b = strconv.AppendUint(b, cas, 10)
	}
	b = append(b, "\r\n"...)
	b = append(b, body...)
	return append(b, "\r\n"...)
}

// Explain implements volatile.Explainer. The generation of a key is known with
// the first answer of its server.
func (d *driver) Explain(item volatile.Item) []string {
	key := wireKey("<generation>", item.Key)
	body, flags := wireValue(item.Value)
	rest := fmt.Sprintf(" %s %d %d %d", key, flags, expiry(item.TTL, time.Now()), len(body))
	return []string{"gets " + key, "add" + rest, "cas" + rest + " <cas>"}
}
