package volatile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// MaxMember is the longest id of a member, in bytes.
const MaxMember = 1024

// PresenceOptions of a Presence; zero values are the defaults.
type PresenceOptions struct {
	// TTL is how long a member that is not seen again stays. Default 15 min.
	TTL time.Duration
	// Rebuild says who is there when the cache has forgotten: members that
	// were seen longer than TTL ago are dropped, so the last check-ins will
	// do. nil: what is lost stays lost.
	Rebuild func(ctx context.Context, key string) ([]Member, error)
}

// A Member is somebody who is there.
type Member struct {
	ID   string    // 1 to MaxMember bytes
	Seen time.Time // when it was seen last, UTC, milliseconds; zero or in the future means now
}

// A Presence knows who is here now, by key: the guests of a venue, the
// watchers of a page, the workers of a job. Members decay when they are not
// seen again, and come back by Rebuild when the cache has lost them. What is
// told in any order, or twice, leaves the same members: of one member the
// latest news counts. It is safe for concurrent use, and shared by all
// processes that use the same cache and name.
//
// The members of a key lie in one entry, and in 64 once they are many.
type Presence struct {
	face   face
	shards face
	opts   PresenceOptions
	locks  *stripes
}

const (
	// splitAt is the size of an entry over which it is split: rewriting it for
	// every arrival would cost more than the second round trip to a shard.
	splitAt = 16 << 10
	shards  = 64
)

// NewPresence returns the presence of a name: 1 to 64 letters, digits, '_' and
// '-'.
func NewPresence(cache *Cache, name string, opts *PresenceOptions) (*Presence, error) {
	return newPresence(cache, "p", name, opts)
}

// newPresence returns the presence of a name for a kind of face: other nouns
// are made of one too.
func newPresence(cache *Cache, kind, name string, opts *PresenceOptions) (*Presence, error) {
	p := &Presence{locks: newStripes()}
	if opts != nil {
		p.opts = *opts
	}
	if p.opts.TTL == 0 {
		p.opts.TTL = 15 * time.Minute
	}
	if p.opts.TTL < 0 {
		return nil, fault.New(fault.ErrInvalid, purpose, "new presence", fmt.Sprintf("a TTL of %v", p.opts.TTL))
	}
	var err error
	if p.face, err = cache.face(kind, name); err != nil {
		return nil, err
	}
	p.shards, err = cache.face(kind+"s", name)
	return p, err
}

// Enter tells that a member is there, or still is. News older than what is
// known changes nothing. A cache that cannot be reached is
// fault.ErrUnavailable: a Rebuild will find the member later.
func (p *Presence) Enter(ctx context.Context, key string, m Member) error {
	return p.tell(ctx, "enter", key, m, false)
}

// Leave tells that a member has left, at Seen.
func (p *Presence) Leave(ctx context.Context, key string, m Member) error {
	return p.tell(ctx, "leave", key, m, true)
}

// Members returns who is there, the one seen last first. With a Rebuild, a
// cache that cannot be reached is no error.
func (p *Presence) Members(ctx context.Context, key string) ([]Member, error) {
	full, err := p.face.key("members", key)
	if err != nil {
		return nil, err
	}
	r, err := p.roster(ctx, full, func(ctx context.Context) (roster, error) { return p.rebuildRoot(ctx, key) })
	if err == nil && r.split != 0 {
		r, err = p.gather(ctx, key, r.split)
	}
	if err != nil {
		return nil, p.face.cache.fail("members", key, err)
	}
	r.prune(time.Now().Add(-p.opts.TTL))
	members := make([]Member, 0, len(r.marks))
	for _, m := range r.marks {
		if !m.left {
			members = append(members, Member{ID: m.id, Seen: time.UnixMilli(m.seen).UTC()})
		}
	}
	slices.SortStableFunc(members, func(a, b Member) int { return cmp.Or(b.Seen.Compare(a.Seen), strings.Compare(a.ID, b.ID)) })
	return members, nil
}

// markOf is the mark of a member as told now.
func (m Member) mark(left bool) mark {
	now := time.Now()
	if m.Seen.IsZero() || m.Seen.After(now) {
		m.Seen = now
	}
	return mark{id: m.ID, seen: m.Seen.UnixMilli(), left: left}
}

func (p *Presence) tell(ctx context.Context, op, key string, m Member, left bool) error {
	full, err := p.face.key(op, key)
	if err != nil {
		return err
	}
	if m.ID == "" || len(m.ID) > MaxMember {
		return fault.New(fault.ErrInvalid, purpose, op, fmt.Sprintf("a member's id of %d bytes; 1 to %d", len(m.ID), MaxMember))
	}
	news := m.mark(left)
	if news.seen < time.Now().Add(-p.opts.TTL).UnixMilli() {
		return nil // decayed before it was told
	}
	lock, err := p.locks.lock(ctx, full)
	if err != nil {
		return err
	}
	defer lock.unlock()
	return p.face.cache.fail(op, key, p.enroll(ctx, key, full, news))
}

// enroll brings news into the roster of a key.
func (p *Presence) enroll(ctx context.Context, key, full string, news mark) error {
	split, err := p.update(ctx, full, news, func(ctx context.Context) (roster, error) { return p.rebuildRoot(ctx, key) },
		func(r *roster) error { return p.splitUp(ctx, key, r) })
	if err != nil || split == 0 {
		return err
	}
	shard := shardOf(news.id)
	_, err = p.update(ctx, p.shardKey(key, split, shard), news,
		func(ctx context.Context) (roster, error) { return p.rebuildShard(ctx, key, shard) }, nil)
	return err
}

// update is the compare-and-swap loop over one entry. The name of a split
// roster's shards is returned. grow is called before a roster over splitAt is
// written.
func (p *Presence) update(ctx context.Context, full string, news mark, rebuild func(context.Context) (roster, error), grow func(*roster) error) (split uint64, err error) {
	lost := 0
	for attempt := range changesMost {
		s, r, err := p.read(ctx, full)
		if err != nil {
			return 0, err
		}
		if !s.value() {
			// Rebuild, then look again. What cannot be kept is no reason to
			// ask the program for ever.
			if lost++; lost > 16 {
				break
			}
			if _, err := p.roster(ctx, full, rebuild); err != nil {
				return 0, err
			}
			continue
		}
		if !p.apply(&r, s, news) {
			return r.split, nil
		}
		if grow != nil && r.size() > splitAt {
			if err := grow(&r); err != nil {
				return 0, err
			}
		}
		err = p.face.cache.swap(ctx, full, s, stored{Entry: Entry{Value: r.encode()}}, p.ttl(r))
		if err == nil || !errors.Is(err, fault.ErrConflict) {
			return r.split, err
		}
		if err := pause(ctx, attempt); err != nil {
			return 0, err
		}
	}
	return 0, fault.New(fault.ErrBusy, purpose, "swap", "too many members come and go")
}

// read looks at one entry, and removes one that is no roster.
func (p *Presence) read(ctx context.Context, full string) (slot, roster, error) {
	c := p.face.cache
	s, err := c.look(ctx, full)
	if err != nil {
		return s, roster{}, err
	}
	r, ok := decodeRoster(s.Value)
	if s.taken && !s.ours || s.value() && !ok {
		err = c.driver.Delete(ctx, []string{full})[0]
		return slot{}, roster{}, err
	}
	return s, r, nil
}

// apply brings news into what was read; false when there is nothing to write.
// A split root takes no news, and is only kept alive.
func (p *Presence) apply(r *roster, s slot, news mark) bool {
	if r.split != 0 {
		return time.Since(s.Written) > p.opts.TTL/4
	}
	if !r.merge(news) {
		return false
	}
	r.prune(time.Now().Add(-p.opts.TTL))
	return true
}

// ttl is that of an entry. The root of a split roster is rewritten rarely, and
// so lives longer.
func (p *Presence) ttl(r roster) time.Duration {
	if r.split != 0 {
		return 2 * p.opts.TTL
	}
	return p.opts.TTL
}

// roster reads one entry, rebuilt if it is lost.
func (p *Presence) roster(ctx context.Context, full string, rebuild func(context.Context) (roster, error)) (roster, error) {
	e, err := p.face.cache.fetch(ctx, full, policy{ttl: p.opts.TTL}, func(ctx context.Context) (Entry, error) {
		r, err := rebuild(ctx)
		return Entry{Value: r.encode()}, err
	})
	if err != nil {
		return roster{}, err
	}
	r, ok := decodeRoster(e.Value)
	if !ok {
		return roster{}, fault.New(fault.ErrCorrupt, purpose, "members", "an entry that is no roster")
	}
	return r, nil
}

// rebuildAll asks the program who is there.
func (p *Presence) rebuildAll(ctx context.Context, key string) (roster, error) {
	var r roster
	if p.opts.Rebuild == nil {
		return r, nil
	}
	members, err := p.opts.Rebuild(ctx, key)
	if err != nil {
		return r, err
	}
	marks := make([]mark, 0, len(members))
	for _, m := range members {
		if m.ID == "" || len(m.ID) > MaxMember {
			return r, fault.New(fault.ErrInvalid, purpose, "rebuild", fmt.Sprintf("a member's id of %d bytes; 1 to %d", len(m.ID), MaxMember))
		}
		marks = append(marks, m.mark(false))
	}
	r.mergeAll(marks)
	r.prune(time.Now().Add(-p.opts.TTL))
	return r, nil
}

// rebuildRoot is the roster of a key, split when it is large.
func (p *Presence) rebuildRoot(ctx context.Context, key string) (roster, error) {
	r, err := p.rebuildAll(ctx, key)
	if err == nil && r.size() > splitAt {
		err = p.splitUp(ctx, key, &r)
	}
	return r, err
}

// rebuildShard is one shard of the roster of a key.
func (p *Presence) rebuildShard(ctx context.Context, key string, shard uint32) (roster, error) {
	r, err := p.rebuildAll(ctx, key)
	r.marks = slices.DeleteFunc(r.marks, func(m mark) bool { return shardOf(m.id) != shard })
	return r, err
}

// splitUp writes the members into shards under a name of their own, which
// nobody knows before the root tells it, and turns the roster into that root.
func (p *Presence) splitUp(ctx context.Context, key string, r *roster) error {
	name := newLease()
	parts := make([]roster, shards)
	for _, m := range r.marks {
		part := &parts[shardOf(m.id)]
		part.marks = append(part.marks, m)
	}
	items := make([]Item, shards)
	for i := range parts {
		full := p.shardKey(key, name, uint32(i))
		e := stored{Entry: Entry{Value: parts[i].encode(), Written: time.Now()}}
		items[i] = Item{Key: full, Value: e.encode(full), TTL: p.opts.TTL}
	}
	if err := errors.Join(p.face.cache.driver.Set(ctx, items)...); err != nil {
		return err
	}
	*r = roster{split: name}
	return nil
}

// gather reads all shards of a key. One that is lost is rebuilt.
func (p *Presence) gather(ctx context.Context, key string, split uint64) (roster, error) {
	keys := make([]string, shards)
	missing := map[string]uint32{}
	for i := range keys {
		keys[i] = p.shardKey(key, split, uint32(i))
		missing[keys[i]] = uint32(i)
	}
	var all roster
	items, err := p.face.cache.driver.Get(ctx, keys)
	if err != nil && p.opts.Rebuild == nil {
		return all, err
	}
	for _, item := range items {
		s := p.face.cache.slotOf(item)
		if part, ok := decodeRoster(s.Value); ok && s.value() {
			all.marks = append(all.marks, part.marks...)
			delete(missing, item.Key)
		}
	}
	// However many shards are lost, the program is asked once.
	rebuild := sync.OnceValues(func() (roster, error) { return p.rebuildAll(ctx, key) })
	for full, shard := range missing {
		part, err := p.roster(ctx, full, func(context.Context) (roster, error) {
			r, err := rebuild()
			r.marks = slices.DeleteFunc(slices.Clone(r.marks), func(m mark) bool { return shardOf(m.id) != shard })
			return r, err
		})
		if err != nil {
			return all, err
		}
		all.marks = append(all.marks, part.marks...)
	}
	return all, nil
}

// shardKey is the driver's key of one shard.
func (p *Presence) shardKey(key string, split uint64, shard uint32) string {
	return p.shards.prefix + fmt.Sprintf("%016x.%02x:", split, shard) + key
}

func shardOf(id string) uint32 { return crc32.Checksum([]byte(id), castagnoli) % shards }
