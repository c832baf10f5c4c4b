package amorphous

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Seals are the sums of chunks of a partition whose time is over.
//
// A chunk's seal is one row whose newest cell is an intent, a sum, or void. Who
// seals writes an intent, then reads the members of the chunk, then writes
// their sum. Who changes a member reads the seal afterwards, and where it is an
// intent or a sum, writes void. So a sum that is not void holds every change
// that was finished: had the sealer read before the change, then the change
// would have found the intent that was written before that.
//
// Versions of seals are numbers of their own, and tell no time: an intent is
// one above what was there, its sum has the same version and a higher tie, and
// void is one above what it makes void. So a sum that comes late, from a sealer
// that was held up for whatever time, loses against void.
//
// Before the first intent of a chunk, in whatever partition, its fence is put
// up, for good. Where there is no fence there is no seal: so who writes in the
// present asks one question for all its members of one chunk of time.
//
// That a chunk's time is over makes it worth sealing. Nothing else depends on
// clocks.
type seals struct {
	store   *Store
	table   Table
	members Table
	chunk   func(at time.Time) (from, to time.Time)
	worth   int // members that make a chunk worth sealing

	fenced sync.Map // chunks, by seconds, whose fence this process put up
}

// Kinds of seals, in the first byte of their body.
const (
	sealIntent = 'i'
	sealSum    = 's'
	sealVoid   = 'v'
)

const (
	sealShape = 1
	sealID    = "seal"
	fences    = "fences" // a partition; those of members have a separator in their name
	// sealRows is how many members make a chunk worth sealing: fewer are read
	// as fast as it takes to seal them.
	sealRows = 64
	// sealAfter is how long ago its time must have ended: most of what comes
	// late has come then.
	sealAfter = time.Minute
	// sealsPerRead bounds what one reader does for the next.
	sealsPerRead = 64
	// sumTie is set in the ties of sums, so that a sum is newer than its intent.
	sumTie = 1 << 63
)

// sealAddress is where the seal of the chunk lies that holds an order, and
// fenceAddress where its fence does.
func (s *seals) addresses(partition string, order []byte) (seal, fence Address, err error) {
	seconds, err := secondsOf(order)
	if err != nil {
		return seal, fence, err
	}
	from, _ := s.chunk(time.Unix(seconds, 0))
	at := timeOrder(from)
	return Address{Partition: partition, Order: at, ID: sealID}, Address{Partition: fences, Order: at, ID: "fence"}, nil
}

// void makes void the seals of the chunks that hold these places.
func (s *seals) void(ctx context.Context, changed []Tally) error {
	byFence := map[string][]Address{}
	var ask []Address
	known := map[string]bool{}
	for _, t := range changed {
		seal, fence, err := s.addresses(t.Partition, t.Order)
		if err != nil {
			return err
		}
		if key := seal.Partition + string(seal.Order); known[key] {
			continue
		} else {
			known[key] = true
		}
		if byFence[string(fence.Order)] == nil {
			ask = append(ask, fence)
		}
		byFence[string(fence.Order)] = append(byFence[string(fence.Order)], seal)
	}
	if len(ask) == 0 {
		return nil
	}
	up, err := s.store.Read(ctx, s.table, ask...)
	if err != nil || len(up) == 0 {
		return err
	}
	var sealed []Address
	for _, fence := range up {
		sealed = append(sealed, byFence[string(fence.Order)]...)
	}
	return s.voidAll(ctx, sealed)
}

func (s *seals) voidAll(ctx context.Context, at []Address) error {
	found, err := s.store.Read(ctx, s.table, at...)
	if err != nil {
		return err
	}
	var rows []Row
	for _, seal := range found {
		if len(seal.Body) > 0 && seal.Body[0] != sealVoid {
			seal.Stamp = Stamp{Version: seal.Stamp.Version + 1}
			seal.Body = []byte{sealVoid}
			rows = append(rows, seal)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	for _, err := range s.store.Write(ctx, s.table, rows...) {
		if err != nil && !errors.Is(err, ErrSuperseded) {
			return err
		}
	}
	return nil
}

// A sealed is a chunk's sum: what lies from From up to To.
type sealed struct {
	from, to []byte
	tallies  []Tally
}

// in returns the sums of a partition, of chunks that a range can touch, oldest
// first.
func (s *seals) in(ctx context.Context, r Range) (out []sealed, err error) {
	scan := Range{Partition: r.Partition, To: r.To}
	if r.From != nil {
		seal, _, err := s.addresses(r.Partition, r.From)
		if err != nil {
			return nil, err
		}
		scan.From = seal.Order
	}
	err = eachRow(ctx, s.store, s.table, scan, func(row *Row) error {
		if len(row.Body) == 0 || row.Body[0] != sealSum {
			return nil
		}
		sum, err := parseSum(row)
		out = append(out, sum)
		return err
	})
	return out, err
}

// seal seals the chunk of a partition that holds an order.
func (s *seals) seal(ctx context.Context, partition string, order []byte) error {
	ctx = storesOwn(ctx)
	at, fence, err := s.addresses(partition, order)
	if err != nil {
		return err
	}
	if err := s.putUp(ctx, fence); err != nil {
		return err
	}
	found, err := s.store.Read(ctx, s.table, at)
	if err != nil {
		return err
	}
	stamp := Stamp{Version: 1, Tie: rand.Uint64()&^sumTie | 1}
	if len(found) > 0 {
		if found[0].Body[0] == sealSum {
			return nil
		}
		stamp.Version = found[0].Stamp.Version + 1
	}
	row := Row{Partition: at.Partition, Order: at.Order, ID: at.ID, Shape: sealShape, Stamp: stamp, Body: []byte{sealIntent}}
	crash.Point("count.seal.intent.before")
	if err := s.store.Write(ctx, s.table, row)[0]; err != nil {
		return err // also where somebody was faster
	}
	seconds, err := secondsOf(at.Order)
	if err != nil {
		return err
	}
	_, to := s.chunk(time.Unix(seconds, 0))
	sum := sealed{from: at.Order, to: timeOrder(to)}
	if sum.tallies, _, err = s.count(ctx, Range{Partition: partition, From: sum.from, To: sum.to}); err != nil {
		return err
	}
	crash.Point("count.seal.sum.before")
	row.Stamp.Tie |= sumTie
	row.Body = sum.append([]byte{sealSum})
	return s.store.Write(ctx, s.table, row)[0]
}

// putUp puts up a fence, unless this process did.
func (s *seals) putUp(ctx context.Context, fence Address) error {
	if _, up := s.fenced.Load(string(fence.Order)); up {
		return nil
	}
	row := Row{Partition: fence.Partition, Order: fence.Order, ID: fence.ID, Shape: sealShape, Stamp: Stamp{Version: 1}}
	if err := s.store.Write(ctx, s.table, row)[0]; err != nil && !errors.Is(err, ErrSuperseded) {
		return err
	}
	s.fenced.Store(string(fence.Order), nil)
	return nil
}

// count sums the members of a range by order. It also returns the orders at
// which chunks begin that are worth sealing: large, and over.
func (s *seals) count(ctx context.Context, r Range) (sums []Tally, worth [][]byte, err error) {
	rows, end := 0, int64(0)
	over := time.Now().Add(-sealAfter).Unix()
	var first []byte
	finish := func() {
		if rows >= s.worth && end <= over {
			worth = append(worth, first)
		}
	}
	err = eachRow(ctx, s.store, s.members, r, func(row *Row) error {
		n, err := memberCount(row.Body)
		if err != nil {
			return err
		}
		seconds, err := secondsOf(row.Order)
		if err != nil {
			return err
		}
		if rows == 0 || seconds >= end {
			finish()
			_, to := s.chunk(time.Unix(seconds, 0))
			rows, end, first = 0, to.Unix(), row.Order
		}
		rows++
		last := len(sums) - 1
		if last < 0 || string(sums[last].Order) != string(row.Order) {
			sums = append(sums, Tally{Partition: r.Partition, Order: row.Order, N: n})
			return nil
		}
		sum, ok := plus(sums[last].N, n)
		if !ok {
			return overflow()
		}
		sums[last].N = sum
		return nil
	})
	finish()
	return sums, worth, err
}

// append appends a sum: the end of its chunk, and then for each order how many
// seconds it lies behind the one before, and its number.
func (s *sealed) append(buf []byte) []byte {
	buf = append(buf, s.to...)
	before, _ := secondsOf(s.from)
	for _, t := range s.tallies {
		at, _ := secondsOf(t.Order)
		buf = binary.AppendUvarint(buf, uint64(at-before))
		buf = binary.AppendVarint(buf, t.N)
		before = at
	}
	return buf
}

// parseSum is the inverse of append.
func parseSum(row *Row) (s sealed, err error) {
	at, err := secondsOf(row.Order)
	if err != nil || len(row.Body) < 9 {
		return s, errSeal()
	}
	s.from, s.to = row.Order, slices.Clone(row.Body[1:9])
	for buf := row.Body[9:]; len(buf) > 0; {
		step, used := binary.Uvarint(buf)
		if used <= 0 {
			return s, errSeal()
		}
		n, more := binary.Varint(buf[used:])
		if more <= 0 {
			return s, errSeal()
		}
		at += int64(step)
		s.tallies = append(s.tallies, Tally{Partition: row.Partition, Order: secondsOrder(at), N: n})
		buf = buf[used+more:]
	}
	return s, nil
}

func errSeal() error {
	return fault.New(fault.ErrCorrupt, "", "", "the sum of a chunk cannot be read")
}
