package town

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
)

// An Event is one check-in.
type Event struct {
	Line     int32   // in its file, from 1: exact duplicates differ only here
	User     int64   // an id, see Town.UserName
	Venue    int64   // an id, see Town.VenueName
	At       int64   // microseconds since 1970, UTC
	Lat, Lon float64 // degrees
}

// Time returns when the check-in was made, in UTC.
func (e Event) Time() time.Time { return time.UnixMicro(e.At).UTC() }

// A Stretch is a part of the events that arrives as it would in life, and not
// as fast as it can be taken: calm, then a spike, then calm again. Its figures
// are indexes of events; a town without a stretch has its length in all.
type Stretch struct {
	From, Spike, Calm, To int // where it begins, the spike begins, the spike is over, and it ends
}

// A Town is the input of a game. It is read-only once it is made.
type Town struct {
	Name    string            // to show
	Events  []Event           // in order of arrival: by time, then user, then line
	Friends map[int64][]int64 // of a user, ascending, without repeats
	Quiet   map[int64]bool    // who does not want to be told of friends' check-ins; by files, nobody
	Stretch Stretch           // the events at the end that arrive at a pace of their own
	Rejects Rejects           // rows that could not be read

	users, venues map[int64]string // names to show; an id without one is shown as it is
}

// UserName returns the name to show for a user.
func (t *Town) UserName(id int64) string { return shown(t.users, id, "user ") }

// VenueName returns the name to show for a venue.
func (t *Town) VenueName(id int64) string { return shown(t.venues, id, "venue ") }

func shown(names map[int64]string, id int64, prefix string) string {
	if name, ok := names[id]; ok {
		return name
	}
	return prefix + strconv.FormatInt(id, 10)
}

// sort brings the events into the order of arrival; none is paced.
func (t *Town) sort() {
	n := len(t.Events)
	t.Stretch = Stretch{n, n, n, n}
	slices.SortFunc(t.Events, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.User, b.User), cmp.Compare(a.Line, b.Line))
	})
}

// befriend makes friends of the edges, and returns how many were repeats.
func (t *Town) befriend(edges map[int64][]int64) (repeats int) {
	t.Friends = edges
	for user, friends := range edges {
		slices.Sort(friends)
		distinct := slices.Compact(friends)
		repeats += len(friends) - len(distinct)
		edges[user] = slices.Clip(distinct)
	}
	return repeats
}

// Digest identifies the input: two towns with the same check-ins, the same
// friends and the same wishes have the same digest, whatever files they came from.
func (t *Town) Digest() string {
	h := sha256.New()
	buf := make([]byte, 0, 64)
	for _, e := range t.Events {
		buf = buf[:0]
		for _, v := range [...]uint64{uint64(e.Line), uint64(e.User), uint64(e.Venue), uint64(e.At),
			math.Float64bits(e.Lat), math.Float64bits(e.Lon)} {
			buf = binary.BigEndian.AppendUint64(buf, v)
		}
		h.Write(buf)
	}
	for _, user := range slices.Sorted(maps.Keys(t.Friends)) {
		buf = binary.BigEndian.AppendUint64(buf[:0], uint64(user))
		for _, friend := range t.Friends[user] {
			buf = binary.BigEndian.AppendUint64(buf, uint64(friend))
		}
		h.Write(append(buf, 0xff))
	}
	for _, user := range slices.Sorted(maps.Keys(t.Quiet)) {
		h.Write(binary.BigEndian.AppendUint64([]byte{0xfe}, uint64(user))) // no id begins with it
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
