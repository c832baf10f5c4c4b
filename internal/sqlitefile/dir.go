package sqlitefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

const (
	databaseName = "fourfold.db"
	lockName     = "fourfold.lock"
)

// prepareDir creates the directory if it is missing, refuses one that others
// could tamper with, and returns its real path.
func prepareDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", misconfigured(err)
	}
	info, err := os.Lstat(abs)
	if errors.Is(err, fs.ErrNotExist) {
		info, err = createDir(abs)
	}
	if err != nil {
		return "", misconfigured(err)
	}
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		return "", misconfigured(fmt.Errorf("%s is a symbolic link; name the directory itself", abs))
	case !mode.IsDir():
		return "", misconfigured(fmt.Errorf("%s is not a directory", abs))
	case mode.Perm()&0o022 != 0:
		return "", misconfigured(fmt.Errorf("%s has mode %v: others may write to it; chmod go-w mends that", abs, mode.Perm()))
	}
	real, err := filepath.EvalSymlinks(abs)
	return real, misconfigured(err)
}

// createDir makes the directory durable as well: a database whose directory
// entry was lost in a power cut is lost with it.
func createDir(dir string) (fs.FileInfo, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	return os.Lstat(dir)
}

// createFile creates the database file, empty, before SQLite does: SQLite
// gives -wal and -shm the mode of the database itself, and that is 0600
// whatever the umask. It must run before any connection is open, because
// closing a descriptor drops the locks that SQLite holds on the same file.
func createFile(dir string) (string, error) {
	path := filepath.Join(dir, databaseName)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return "", misconfigured(err)
		}
		if err := errors.Join(f.Chmod(0o600), f.Sync(), f.Close(), syncDir(dir)); err != nil {
			return "", misconfigured(err)
		}
		return path, nil
	case err != nil:
		return "", misconfigured(err)
	case !info.Mode().IsRegular():
		return "", misconfigured(fmt.Errorf("%s is not a regular file", path))
	case info.Mode().Perm() != 0o600:
		return path, misconfigured(os.Chmod(path, 0o600))
	}
	return path, nil
}

// stays returns a function that says whether the file at a path is still the one
// that is there now. What is written to one that was removed is lost without a
// word when it is closed, and the next open finds another file, or an empty one.
func stays(path string) (func() error, error) {
	opened, err := os.Lstat(path)
	if err != nil {
		return nil, misconfigured(err)
	}
	return func() error {
		if now, err := os.Lstat(path); err == nil && os.SameFile(opened, now) {
			return nil
		}
		return misconfigured(fmt.Errorf("%s was removed or replaced while it was in use: what is written now would be lost; "+
			"put it back, or start the program again", path))
	}, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func misconfigured(err error) error {
	return fault.Wrap(fault.ErrMisconfigured, "", "open", err)
}
