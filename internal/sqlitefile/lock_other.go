//go:build !unix

package sqlitefile

import "github.com/fourfold-dev/fourfold/persistence/fault"

// A dirLock keeps other processes out of a directory.
type dirLock struct{}

// lockDir refuses: without flock nothing would keep a second process from
// handing out the same work.
func lockDir(string) (*dirLock, error) {
	return nil, fault.New(fault.ErrUnsupported, "", "open", "the in-process stores need flock, which this system does not have")
}

func (l *dirLock) release() error { return nil }
