package main

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Checkin is somebody's arrival at a venue. The tags say that every field is
// kept for three purposes, and that rows are found by their user.
type Checkin struct {
	ID    string    `persistence:"key"`
	User  string    `transactional:",index" volatile:"" amorphous:""`
	Venue string    `transactional:"" volatile:"" amorphous:""`
	At    time.Time `transactional:"" volatile:"" amorphous:""`
	Text  string    `transactional:"" volatile:"" amorphous:""`
}

// perUser is how many check-ins of a lap are of one user.
const perUser = 20

// checkins makes the check-ins of one lap, of about 300 bytes each as JSON
// unless size asks for more. No other lap of any run has their keys, and they
// ascend, as keys that begin with a time do.
func checkins(lap int64, n, size int) []Checkin {
	const most = 300
	if size == 0 {
		size = most
	}
	prefix := fmt.Sprintf("%014x", lap)
	begun := time.UnixMicro(lap).UTC()
	text := strings.Repeat("at the pier, where the boats come in. ", 1+size/38)[:max(size-150, 1)]
	out := make([]Checkin, n)
	for i := range out {
		out[i] = Checkin{
			ID:    fmt.Sprintf("%s-%08d", prefix, i),
			User:  fmt.Sprintf("u%s-%d", prefix, i/perUser),
			Venue: "v" + strconv.Itoa(i%97),
			At:    begun.Add(time.Duration(i) * time.Microsecond),
			Text:  text,
		}
	}
	return out
}

// scatter puts a hash in front of the keys of a lap and of its users, so that they
// lie anywhere among all others.
func (l *lap) scatter() {
	for i := range l.objects {
		c := &l.objects[i]
		c.ID, c.User = scattered(c.ID), scattered(c.User)
	}
}

// hashed is how long a hash in front of a key is.
const hashed = 16

func scattered(name string) string {
	sum := md5.Sum([]byte(name))
	return hex.EncodeToString(sum[:])[:hashed] + "-" + name
}

// keyLength is that of a key without a hash in front.
const keyLength = 14 + 1 + 8

// indexOf finds which check-in of its lap a key names; -1 for another lap's.
func indexOf(lap int64, id string) int {
	id = id[max(0, len(id)-keyLength):]
	prefix, number, ok := strings.Cut(id, "-")
	of, err := strconv.ParseInt(prefix, 16, 64)
	if !ok || err != nil || of != lap {
		return -1
	}
	i, err := strconv.Atoi(number)
	if err != nil {
		return -1
	}
	return i
}
