package memcached

import (
	"crypto/rand"
	"encoding/base64"
	"time"
)

// The times of generations, which the package comment explains.
const (
	// verifyAfter is when a generation is read again, beside the operations;
	// verifyMost is when operations wait for that.
	verifyAfter = 400 * time.Millisecond
	verifyMost  = time.Second

	// holdTicks is how long a hold lasts, in the server's ticks of a second:
	// at least holdLeast, which is verifyMost and time to spare.
	holdTicks = 4
	holdLeast = 3 * time.Second
)

// newGeneration returns a random generation of genSize characters.
func newGeneration() string {
	var b [genSize * 6 / 8]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// validGeneration reports whether a value could be one of ours.
func validGeneration(gen string) bool {
	if len(gen) != genSize {
		return false
	}
	for _, c := range []byte(gen) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// generation reads the member's generation, and gives it one when it has none.
// held tells that some process may not know it yet.
func (p *plain) generation() (gen string, held bool, err error) {
	for range 3 {
		values, err := p.get(genKey, holdKey)
		if err != nil {
			return "", false, err
		}
		_, held = values[holdKey]
		if gen := values[genKey].value; validGeneration(gen) {
			return gen, held, nil
		}
		if err := p.begin(values); err != nil {
			return "", false, err
		}
	}
	return "", false, errNoGeneration
}

// begin gives a generation to a member that has none, or none of ours.
func (p *plain) begin(values map[string]found) error {
	stats, err := p.stats("")
	if err != nil {
		return err
	}
	if _, foreign := values[genKey]; foreign || stats["cmd_flush"] != "0" || stats["evictions"] != "0" {
		// It had one, and processes may be connected that know it.
		if _, err := p.store("set", holdKey, "1", holdTicks, 0); err != nil {
			return err
		}
	}
	if old, foreign := values[genKey]; foreign {
		_, err = p.store("cas", genKey, newGeneration(), 0, old.cas)
		return err
	}
	_, err = p.store("add", genKey, newGeneration(), 0, 0)
	return err
}

// renew gives the member a new generation in place of old. When it has
// another one already, or none, it does nothing.
func (p *plain) renew(old string) (renewed bool, err error) {
	values, err := p.get(genKey)
	if err != nil {
		return false, err
	}
	present, there := values[genKey]
	if !there || old != "" && present.value != old {
		return false, nil
	}
	if _, err := p.store("set", holdKey, "1", holdTicks, 0); err != nil {
		return false, err
	}
	return p.store("cas", genKey, newGeneration(), 0, present.cas)
}
