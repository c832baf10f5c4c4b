package memcached

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Check asks every member, whatever its breaker says.
func (d *driver) Check(ctx context.Context) fault.Report {
	report := fault.Report{Purpose: "volatile", Driver: "memcached", Durability: fault.Memory, MaxObject: d.opts.MaxValue}
	healths := make([]health, len(d.members))
	var wg sync.WaitGroup
	for i, m := range d.members {
		wg.Go(func() { healths[i] = m.health(ctx) })
	}
	wg.Wait()
	var addresses, versions []string
	report.Reachable = true
	for i, h := range healths {
		addresses = append(addresses, d.members[i].addr.name)
		report.Problems = append(report.Problems, h.problems...)
		report.Reachable = report.Reachable && h.version != ""
		report.Latency = max(report.Latency, h.latency)
		if h.version != "" && !slices.Contains(versions, h.version) {
			versions = append(versions, h.version)
		}
	}
	report.Address = strings.Join(addresses, ",")
	report.Version = strings.Join(versions, ", ")
	if err := d.ready(ctx, "check"); err != nil {
		report.Reachable = false
		report.Problems = append(report.Problems, err.Error())
	}
	return report
}

// health is what one member says of itself.
type health struct {
	version  string
	latency  time.Duration
	problems []string
}

// health dials, so that it sees the server as it is now.
func (m *member) health(ctx context.Context) (h health) {
	ctx, cancel := context.WithTimeout(ctx, m.opts.Timeout)
	defer cancel()
	problem := func(format string, args ...any) {
		h.problems = append(h.problems, m.addr.name+": "+fmt.Sprintf(format, args...))
	}
	nc, _, err := m.dial(ctx)
	if err != nil {
		problem("it cannot be reached, and its share of the entries is a miss: %v", err)
		return h
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	p := newPlain(nc, time.Now().Add(m.opts.Timeout))
	asked := time.Now()
	line, err := p.ask("version\r\n")
	h.latency = time.Since(asked)
	version, ok := strings.CutPrefix(line, "VERSION ")
	if err != nil || !ok {
		problem("it does not answer like a memcached: %q, %v", line, err)
		return h
	}
	stats, err := p.stats("")
	var settings map[string]string
	if err == nil {
		settings, err = p.stats("settings")
	}
	if err != nil {
		problem("it does not tell its settings: %v", err)
		return h
	}
	h.version = version
	if n := stats["evictions"]; n != "" && n != "0" {
		h.version += " (" + n + " evictions)"
	}
	if most, err := strconv.Atoi(settings["item_size_max"]); err == nil && most < m.opts.MaxValue+1024 {
		problem("it takes items of %d bytes, too small for values of %d: start it with a larger -I, or set max=%d", most, m.opts.MaxValue, most-1024)
	}
	if settings["cas_enabled"] == "no" {
		problem("it was started with -C, and cannot compare and swap: start it without")
	}
	return h
}
