package amorphous

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Limits of a Counter.
const (
	// MaxCounts is how many counts one object can have.
	MaxCounts = 1000
	// MaxShards is the largest Counts.Shards.
	MaxShards = 256
)

// Counts says what a Counter counts by.
type Counts struct {
	// By names the dimensions, such as "country" and "language". Empty: all
	// objects are counted together.
	By []string
	// Per are the lengths of the buckets of time in which counts can be read:
	// a day, or what divides an hour evenly, a second or more. The shortest
	// must divide the others; what is stored is counted by it alone, so that
	// more lengths cost nothing. Empty: time does not matter.
	Per []time.Duration
	// Zone is the time zone whose hours and days are meant, such as
	// "Africa/Accra". A day that begins or ends summer time has 23 or 25 hours.
	// Empty: UTC. A Counter that has counted keeps its zone and its shortest
	// Per for good; the others may change.
	Zone string
	// Shards splits what one dimension's value holds at one time over so many
	// partitions, which readers merge, for values so hot that one server of
	// many should not hold them alone. It may change at any time. Default 1.
	Shards int
}

// A Count is a number of objects, or the sum of what they add, for one value
// of each dimension and one bucket of time.
type Count struct {
	Of []string  // values of the dimensions, in the order of Counts.By; any text
	At time.Time // a time in the bucket when it is written, the bucket's beginning when it is read
	N  int64     // what is added: 1 to count objects; zero adds nothing
}

// A Counted is one version of an object and what it counts as. Without Counts
// it counts nowhere, as an object that was deleted.
type Counted struct {
	Key    string  // the object's; 1 to MaxKey bytes
	Stamp  Stamp   // newest wins; a zero Version is replaced by the clock's
	Counts []Count // MaxCounts at most; those at one place are added up
}

// A Counter counts objects by dimensions and time, exactly: an object counts
// as its newest version says, once, however often and in whatever order its
// versions are written, by however many programs, and whatever crashes in
// between. It is safe for concurrent use.
//
// An object that counts elsewhere than before, or nowhere, is taken out where
// it counted. While a write is under way a reader may find it not counted yet,
// or an object that moves counted at both places; when the write has returned
// nil, every read that begins then is exact. A write that failed may be
// repeated with the same Stamp, and must be when its outcome is unknown.
//
// Nothing locks: objects that count alike are written side by side.
type Counter struct {
	store    *Store
	name     string
	by       int
	per      []time.Duration // shortest first; empty: without time
	calendar calendar
	shards   int
	index    *countIndex
	ledger   ledger
}

// A ledger holds members and answers how much they add. There is one for
// drivers that sum in their transactions, and one for all others.
type ledger interface {
	tables() []Table
	record(ctx context.Context, members []Member) []error
	sums(ctx context.Context, ranges []Range) ([]Tally, error)
	books
}

// The books of a ledger can be looked into and mended: see Counter's methods of
// these names.
type books interface {
	held(ctx context.Context, of []Member) ([]Held, error)
	walk(ctx context.Context, after []byte, limit int) (held []Held, next []byte, err error)
	audit(ctx context.Context, after []byte) (wrong []Tally, next []byte, err error)
	recount(ctx context.Context, places []Tally) error
	remove(ctx context.Context, stamp Stamp, held []Held) error
}

// NewCounter returns the counter of a name, valid by ValidName and at most 32
// bytes, in a store. It does not ask the store anything; all faults of the
// declaration are listed in one fault.ErrInvalid. Nil Counts count all objects
// together.
func NewCounter(store *Store, name string, counts *Counts) (*Counter, error) {
	if counts == nil {
		counts = &Counts{}
	}
	if faults := counts.Faults(); len(faults) > 0 {
		return nil, fault.New(fault.ErrInvalid, purpose, "declare", errors.Join(faults...).Error())
	}
	zone, _ := time.LoadLocation(counts.Zone) // Faults has loaded it
	c := &Counter{store: store, name: name, by: len(counts.By), per: slices.Sorted(slices.Values(counts.Per)),
		calendar: calendar{zone}, shards: max(counts.Shards, 1)}
	c.index = newCountIndex(store, name)
	if tallier, ok := store.driver.(Tallier); ok {
		c.ledger = &transactionLedger{store: store, driver: tallier, table: Table{Name: name, Tallied: true}}
	} else {
		c.ledger = newRowLedger(store, name, c.chunk)
	}
	for _, table := range c.Tables() {
		if _, err := store.qualify(table); err != nil {
			return nil, locate(err, "declare", name, "")
		}
	}
	return c, nil
}

// Faults are what is wrong with the words of a Counter; none when all is well.
func (c *Counts) Faults() (faults []error) {
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for i, name := range c.By {
		if slices.Contains(c.By[:i], name) {
			add("By names %q twice", name)
		}
	}
	for i, per := range c.Per {
		if problem := checkPer(per); problem != "" {
			add("%s", problem)
		} else if shortest := slices.Min(c.Per); shortest > 0 && per%shortest != 0 {
			add("Per has %v, which is no multiple of its shortest, %v", per, shortest)
		}
		if slices.Contains(c.Per[:i], per) {
			add("Per has %v twice", per)
		}
	}
	if _, err := time.LoadLocation(c.Zone); err != nil || c.Zone == "Local" {
		add("Zone is %q, which is no time zone that is known here: use a name such as \"Europe/Berlin\"", c.Zone)
	}
	if c.Shards < 0 || c.Shards > MaxShards {
		add("Shards is %d; use 1 to %d", c.Shards, MaxShards)
	}
	return faults
}

// Tables are the tables of the counter, for Store.CreateSchema and
// Store.Prepare.
func (c *Counter) Tables() []Table { return append(c.ledger.tables(), c.index.table) }

// Put makes objects count as they say. A faulty one (fault.ErrInvalid,
// fault.ErrTooLarge) refuses the whole call before anything is written; else
// each is tried, and the error joins what went wrong. Objects that a newer
// version forestalled are not an error.
func (c *Counter) Put(ctx context.Context, objs ...Counted) error {
	for i := range objs {
		if _, err := c.member(&objs[i]); err != nil {
			return locate(err, "count", c.name, objs[i].Key)
		}
	}
	var failed []error
	for _, err := range c.Write(ctx, objs...) {
		if err != nil && !errors.Is(err, ErrSuperseded) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// Delete makes objects count nowhere.
func (c *Counter) Delete(ctx context.Context, keys ...string) error {
	objs := make([]Counted, len(keys))
	for i, key := range keys {
		objs[i].Key = key
	}
	return c.Put(ctx, objs...)
}

// Write is Put with an answer for each object: nil, ErrSuperseded where the
// store can tell that a newer version counts, or what went wrong.
func (c *Counter) Write(ctx context.Context, objs ...Counted) []error {
	errs := make([]error, len(objs))
	members := make([]Member, 0, len(objs))
	at := make([]int, 0, len(objs))
	for i := range objs {
		m, err := c.member(&objs[i])
		if err != nil {
			errs[i] = locate(err, "count", c.name, objs[i].Key)
			continue
		}
		members, at = append(members, m), append(at, i)
	}
	if len(members) == 0 {
		return errs
	}
	err := c.index.register(ctx, members)
	var answers []error
	if err == nil {
		answers = c.ledger.record(ctx, members)
	}
	for i := range members {
		if err == nil {
			errs[at[i]] = locate(answers[i], "count", c.name, members[i].ID)
		} else {
			errs[at[i]] = locate(err, "count", c.name, members[i].ID)
		}
	}
	return errs
}

// Check says what would keep an object from being counted: it is what Put
// checks before it writes anything.
func (c *Counter) Check(obj Counted) error {
	_, err := c.member(&obj)
	return locate(err, "count", c.name, obj.Key)
}

// Purge removes what the counter remembers of deleted objects, and of places
// where they counted, since before a moment. A version older than what was
// forgotten would count again. See Store.Purge.
func (c *Counter) Purge(ctx context.Context, before time.Time) error {
	for _, table := range c.ledger.tables() {
		if _, err := c.store.Purge(ctx, table, before); err != nil {
			return err
		}
	}
	return nil
}

// member checks an object and finds the places at which it counts.
func (c *Counter) member(obj *Counted) (Member, error) {
	m := Member{ID: obj.Key, Stamp: obj.Stamp}
	if m.Stamp.Version == 0 {
		m.Stamp.Version, _ = clock.Now() // without a ceiling there is always a version
	}
	switch {
	case m.Stamp.Version < 0:
		return m, invalid("the stamp's version is %d; versions are greater than zero", m.Stamp.Version)
	case len(obj.Counts) > MaxCounts:
		return m, fault.New(fault.ErrTooLarge, "", "", fmt.Sprintf("the object has %d counts; the limit is %d", len(obj.Counts), MaxCounts))
	}
	if err := validateKey("key", obj.Key); err != nil {
		return m, err
	}
	m.Counts = make([]Tally, 0, len(obj.Counts))
	for _, count := range obj.Counts {
		tally, err := c.place(obj.Key, count)
		if err != nil {
			return m, err
		}
		m.Counts = append(m.Counts, tally)
	}
	var err error
	m.Counts, err = merged(m.Counts)
	return m, err
}

// place is where a count lies.
func (c *Counter) place(key string, count Count) (Tally, error) {
	if len(count.Of) != c.by {
		return Tally{}, invalid("a count has %d values, and there are %d dimensions", len(count.Of), c.by)
	}
	if count.N == math.MinInt64 {
		return Tally{}, overflow() // what is taken away again is its negative
	}
	at := time.Unix(0, 0)
	if len(c.per) > 0 {
		at = c.calendar.start(count.At, c.per[0])
	}
	if year := at.Year(); year < 1 || year > 9999 {
		return Tally{}, invalid("the time of a count lies in the year %d; years are 1 to 9999", year)
	}
	p := part{of: joinOf(count.Of), window: c.window(at).Unix(), shard: c.shard(key)}
	name := p.name()
	if err := validateKey("text of the dimensions' values, with the number of their partition,", name); err != nil {
		return Tally{}, err
	}
	return Tally{Partition: name, Order: timeOrder(at), N: count.N}, nil
}

func (c *Counter) shard(key string) int {
	if c.shards == 1 {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(key))
	return int(h.Sum32() % uint32(c.shards))
}

// window is the beginning of the time that lies in one partition: as long as
// one scan reads well, and no longer than rows of a hot key can lie together.
func (c *Counter) window(at time.Time) time.Time {
	switch {
	case len(c.per) == 0:
		return at
	case c.per[0] == day:
		return c.calendar.month(at)
	case c.per[0] < time.Minute:
		return c.calendar.start(at, time.Hour)
	}
	return c.calendar.start(at, day)
}

// chunk is the part of a window whose sum is kept once it is over: from its
// beginning up to its end.
func (c *Counter) chunk(at time.Time) (from, to time.Time) {
	per := time.Hour
	switch {
	case len(c.per) == 0:
		return at, at.Add(time.Second)
	case c.per[0] == day:
		per = day
	case c.per[0] < time.Minute:
		per = time.Minute
	}
	from = c.calendar.start(at, per)
	return from, c.calendar.end(from, per)
}

// merged sums what lies at one place, and leaves out what adds nothing.
func merged(counts []Tally) ([]Tally, error) {
	if len(counts) > 1 {
		slices.SortFunc(counts, comparePlaces)
	}
	out := counts[:0]
	for _, t := range counts {
		if n := len(out); n > 0 && comparePlaces(out[n-1], t) == 0 {
			sum, ok := plus(out[n-1].N, t.N)
			if !ok {
				return nil, overflow()
			}
			out[n-1].N = sum
			continue
		}
		out = append(out, t)
	}
	return slices.DeleteFunc(out, func(t Tally) bool { return t.N == 0 }), nil
}

func comparePlaces(a, b Tally) int {
	if c := strings.Compare(a.Partition, b.Partition); c != 0 {
		return c
	}
	return slices.Compare(a.Order, b.Order)
}

// plus adds, and reports whether the sum is a number.
func plus(a, b int64) (sum int64, ok bool) {
	sum = a + b
	return sum, (sum > a) == (b > 0)
}

func overflow() error {
	return fault.New(fault.ErrInvalid, "", "", "the sum does not fit into 64 bits")
}
