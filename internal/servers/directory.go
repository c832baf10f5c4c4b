package servers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A directory holds a server's files.
type directory struct {
	path string
	lock *os.File // held while the directory is ours to remove; nil when it is the caller's
}

const (
	dirPrefix = "fourfold-server-"
	lockName  = "lock"
)

var errSwept = errors.New("whatever is made is removed at once")

// newDirectory returns the named directory, or makes one. What processes that
// were killed left behind is removed first.
func newDirectory(named string) (*directory, error) {
	if named != "" {
		path, err := filepath.Abs(named)
		return &directory{path: path}, err
	}
	sweep(os.TempDir())
	for tries := 0; ; tries++ {
		path, err := os.MkdirTemp("", dirPrefix)
		if err != nil {
			return nil, fmt.Errorf("servers: a directory for a server: %w", err)
		}
		f, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, 0o600)
		if err == nil {
			d := &directory{path: path, lock: f}
			// Whoever sweeps at this moment may find it before it is locked, and
			// remove it. Where locks are not to be had nobody sweeps either.
			if err = lock(f); errors.Is(err, errors.ErrUnsupported) || err == nil && d.there() {
				return d, nil
			}
			f.Close()
		}
		if tries == 10 {
			return nil, fmt.Errorf("servers: a directory for a server: %w", errors.Join(err, errSwept))
		}
	}
}

// there reports whether the locked file is still the one in the directory.
func (d *directory) there() bool {
	locked, err1 := d.lock.Stat()
	named, err2 := os.Stat(d.lock.Name())
	return err1 == nil && err2 == nil && os.SameFile(locked, named)
}

// sweep removes directories whose process is gone, which a free lock tells, also
// to processes that cannot see each other's ids.
func sweep(parent string) {
	names, _ := filepath.Glob(filepath.Join(parent, dirPrefix+"*", lockName))
	for _, name := range names {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue // somebody else's
		}
		if lock(f) == nil {
			_ = os.RemoveAll(filepath.Dir(name))
		}
		f.Close()
	}
}

// remove removes the directory if we made it. It is safe twice.
func (d *directory) remove() error {
	if d.lock == nil {
		return nil
	}
	err := os.RemoveAll(d.path)
	d.lock.Close()
	return err
}
