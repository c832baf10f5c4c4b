package main

import (
	"strconv"

	"github.com/fourfold-dev/fourfold/persistence"
)

// keyDigits is the width of a check-in's key: enough for any line that a town
// can have.
const keyDigits = 10

// lineKey is the key of the check-in on a line.
func lineKey(line int32) string {
	var key [keyDigits]byte
	for i := keyDigits - 1; i >= 0; i-- {
		key[i] = byte('0' + line%10)
		line /= 10
	}
	return string(key[:])
}

// keyLine is the line of a check-in's key, or zero for another key.
func keyLine(key string) int32 {
	line, err := strconv.ParseInt(key, 10, 32)
	if err != nil || len(key) != keyDigits || line <= 0 || lineKey(int32(line)) != key {
		return 0
	}
	return int32(line)
}

// idKey is the key of a user or a venue.
func idKey(id int64) string { return strconv.FormatInt(id, 10) }

// keyID is the id of a key that idKey made, or -1 for another key.
func keyID(key string) int64 {
	id, err := strconv.ParseInt(key, 10, 64)
	if err != nil || id < 0 || idKey(id) != key {
		return -1
	}
	return id
}

// under selects the objects whose keys are OWNER/SOMETHING: a record is ordered
// by its key, so what belongs together lies together, and needs no index.
func under(owner string) persistence.Query {
	return persistence.Query{From: owner + "/", To: owner + "0"} // '0' is the character behind '/'
}
