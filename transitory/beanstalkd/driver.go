package beanstalkd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transitory"
)

// A driver is a queue over one or more servers.
type driver struct {
	servers  []*server
	features transitory.Features
	epoch    string // of this opening: ids of another one are foreign

	turn        atomic.Uint32 // which server is next
	connections atomic.Uint64 // numbers every reserving connection, so that none is mistaken for another

	ctx     context.Context // ends when the driver closes
	stop    context.CancelFunc
	closing sync.Once

	mu         sync.Mutex
	closed     bool
	goroutines sync.WaitGroup
	consumers  map[uint64]*consumer
}

// Features are the driver's promises, as they were when it was opened.
func (d *driver) Features() transitory.Features { return d.features }

// ready refuses calls on a closed driver and calls whose context has ended.
func (d *driver) ready(ctx context.Context, op string) error {
	if d.ctx.Err() != nil {
		return errClosed(op)
	}
	return ctx.Err()
}

// spawn runs f in a goroutine that Close waits for; false when it is too late.
func (d *driver) spawn(f func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.goroutines.Go(f)
	return true
}

// Close ends every connection: what they had reserved becomes ready again.
func (d *driver) Close() error {
	d.closing.Do(func() {
		d.mu.Lock()
		d.closed = true
		d.mu.Unlock()
		d.stop()
		for _, s := range d.servers {
			s.close()
		}
	})
	d.goroutines.Wait()
	return nil
}

func (d *driver) register(c *consumer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.consumers[c.number] = c
}

func (d *driver) unregister(c *consumer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.consumers, c.number)
}

// idOf names a reservation: the opening, the connection, the job and which of
// the connection's reservations. The server's number alone would name another
// job after a restart without a log.
func (d *driver) idOf(connection, job, token uint64) transitory.ID {
	b := make([]byte, 0, len(d.epoch)+32)
	b = append(b, d.epoch...)
	for _, n := range []uint64{connection, job, token} {
		b = append(b, '.')
		b = strconv.AppendUint(b, n, 36)
	}
	return transitory.ID(b)
}

// parse finds the connection, the job and the reservation that an id names.
func (d *driver) parse(id transitory.ID) (c *consumer, job, token uint64, ok bool) {
	parts := strings.Split(string(id), ".")
	if len(parts) != 4 || parts[0] != d.epoch {
		return nil, 0, 0, false
	}
	var numbers [3]uint64
	for i, part := range parts[1:] {
		n, err := strconv.ParseUint(part, 36, 64)
		if err != nil {
			return nil, 0, 0, false
		}
		numbers[i] = n
	}
	d.mu.Lock()
	c = d.consumers[numbers[0]]
	d.mu.Unlock()
	return c, numbers[1], numbers[2], c != nil
}

func newEpoch() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Stats adds up what all servers say. While one cannot be reached the counts
// would be wrong, and there is an error instead.
func (d *driver) Stats(ctx context.Context, tubes []string) ([]transitory.TubeStats, error) {
	if err := d.ready(ctx, "stats"); err != nil {
		return nil, err
	}
	sums := make([]transitory.TubeStats, len(tubes))
	for i, tube := range tubes {
		if err := transitory.ValidTube(tube); err != nil {
			return nil, err
		}
		sums[i].Tube = tube
	}
	for _, s := range d.servers {
		if err := s.count(ctx, sums); err != nil {
			return nil, err
		}
	}
	return sums, nil
}

// count adds what one server says.
func (s *server) count(ctx context.Context, sums []transitory.TubeStats) error {
	if err := s.reachable(); err != nil {
		return err
	}
	l, err := s.producer(ctx, false)
	if err != nil {
		return err
	}
	defer s.release(l)
	end := l.begin(ctx)
	defer end()
	l.expect(true)
	stats := make([]map[string]string, len(sums))
	for i, r := range l.pipeline(len(sums), nil, func(i int) (err error) {
		stats[i], err = tubeStats(l, sums[i].Tube)
		return err
	}) {
		v := classify(r.err, r.sent)
		s.note(l, "stats", v, r.err)
		if v.class == fault.ErrUnknown { // a question changes nothing
			v.class = fault.ErrUnavailable
		}
		if err := asError(ctx, "stats", s.addr, v, r.err); err != nil && v.class != fault.ErrNotFound {
			return err
		}
		add(&sums[i], stats[i])
	}
	return nil
}

func add(sum *transitory.TubeStats, dict map[string]string) {
	number := func(name string) int {
		n, _ := strconv.Atoi(dict[name])
		return n
	}
	sum.Ready += number("current-jobs-ready")
	sum.Delayed += number("current-jobs-delayed")
	sum.Reserved += number("current-jobs-reserved")
}

// Check asks every server how it is.
func (d *driver) Check(ctx context.Context) fault.Report {
	report := fault.Report{
		Purpose: "transitory", Driver: d.features.Name, Durability: d.features.Durability, MaxObject: d.features.MaxBody,
	}
	var addrs, versions []string
	for _, s := range d.servers {
		addrs = append(addrs, s.addr)
		began := time.Now()
		stats, err := s.ask(ctx)
		if err != nil {
			report.Problems = append(report.Problems, s.addr+": it cannot be asked: "+err.Error())
			continue
		}
		report.Reachable = true
		report.Latency = max(report.Latency, time.Since(began))
		if v := "beanstalkd " + stats.version; len(versions) == 0 || versions[len(versions)-1] != v {
			versions = append(versions, v)
		}
		if stats.durability() == fault.Memory {
			report.Durability = fault.Memory
		}
		for _, problem := range stats.problems(s.opts.Durability, d.features.MaxBody) {
			report.Problems = append(report.Problems, s.addr+": "+problem)
		}
	}
	report.Address, report.Version = strings.Join(addrs, ","), strings.Join(versions, ", ")
	return report
}

// ask asks one server for its stats, also while it counts as down.
func (s *server) ask(ctx context.Context) (serverStats, error) {
	if err := s.driver.ready(ctx, "check"); err != nil {
		return serverStats{}, err
	}
	l, err := s.producer(ctx, false)
	if err != nil {
		return serverStats{}, err
	}
	defer s.release(l)
	end := l.begin(ctx)
	defer end()
	stats, err := askStats(l)
	if err != nil {
		l.fail()
		if ctx.Err() != nil {
			return stats, ctx.Err()
		}
		return stats, err
	}
	return s.saw(stats), nil
}
