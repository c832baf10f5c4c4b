package memcached

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
)

// pointsPerMember spreads a member over the ring: its share is even within a
// few percent.
const pointsPerMember = 160

// A ring assigns keys to members by consistent hashing over the configured
// addresses: when the configuration grows or shrinks by one of n members, only
// one key in n moves. A member that is down keeps its share, which is a miss
// until it is back: were its keys moved to the others, every outage would
// leave two members with different versions of a key.
type ring struct {
	points  []point
	members int
}

type point struct {
	hash   uint64
	member int
}

// newRing returns the ring of the addresses, whose order does not matter.
func newRing(addresses []string) *ring {
	r := &ring{members: len(addresses)}
	for i, address := range addresses {
		for n := range pointsPerMember {
			sum := sha256.Sum256(fmt.Appendf(nil, "%s#%d", address, n))
			r.points = append(r.points, point{binary.BigEndian.Uint64(sum[:]), i})
		}
	}
	slices.SortFunc(r.points, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(addresses[a.member], addresses[b.member]))
	})
	return r
}

// member returns the index of the member that a key belongs to.
func (r *ring) member(key string) int {
	if r.members == 1 {
		return 0
	}
	h := hash(key)
	i, _ := slices.BinarySearchFunc(r.points, h, func(p point, h uint64) int { return cmp.Compare(p.hash, h) })
	if i == len(r.points) {
		i = 0
	}
	return r.points[i].member
}

// hash is FNV-1a with a finish that spreads short keys over all bits. It must
// be the same in every process and release.
func hash(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
