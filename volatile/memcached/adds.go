package memcached

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/fourfold-dev/fourfold/volatile"
)

// addAll adds to counters of one member, a flush at a time.
func (m *member) addAll(ctx context.Context, adds []volatile.Increment, share []int, sums []uint64, errs []error) {
	for some := range slices.Chunk(share, groupMost) {
		answers, err := do(ctx, m, operation{name: "add", write: true, how: group}, func(l *lane) ([]error, error) {
			return l.addAll(ctx, adds, some, sums)
		})
		for n, i := range some {
			cause, class := err, error(nil)
			if err == nil {
				if cause = answers[n]; cause == nil {
					continue
				}
				class = classify(cause, true).class
			}
			errs[i] = ofItem("add", adds[i].Key, m, class, cause)
		}
	}
}

// addAll asks for the increments of a group at once.
func (l *lane) addAll(ctx context.Context, adds []volatile.Increment, some []int, sums []uint64) ([]error, error) {
	switch {
	case l.epoch.held.Load():
		return nil, errSettling
	case l.pipe == nil:
		return nil, l.epoch.noPipe()
	}
	commands := make([]byte, 0, 64*len(some))
	for _, i := range some {
		// A counter that shrinks is asked for nothing yet.
		commands = append(commands, "incr "...)
		commands = appendWireKey(commands, l.epoch.gen, adds[i].Key)
		commands = append(commands, ' ')
		commands = strconv.AppendUint(commands, uint64(max(adds[i].Delta, 0)), 10)
		commands = append(commands, "\r\n"...)
	}
	lines, err := l.ask(ctx, commands, len(some))
	if err != nil {
		return nil, err
	}
	answers := make([]error, len(some))
	for n, i := range some {
		var line string
		line, lines, _ = strings.Cut(lines, "\r\n")
		sums[i], answers[n] = l.sumOf(line, &adds[i])
	}
	return answers, nil
}

// sumOf is the sum that an answer tells, or what it takes to have one.
func (l *lane) sumOf(line string, a *volatile.Increment) (uint64, error) {
	wire := wireKey(l.epoch.gen, a.Key)
	sum, err := strconv.ParseUint(strings.TrimRight(line, " "), 10, 64)
	if err != nil {
		err = answerOf(line)
	}
	switch {
	case errors.Is(err, memcache.ErrCacheMiss), err == nil && a.Delta < 0:
		return l.add(wire, a.Delta, a.TTL)
	case err == nil && sum > volatile.MaxCount:
		return 0, l.wrapped(wire)
	}
	return sum, err
}
