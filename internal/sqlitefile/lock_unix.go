//go:build unix

package sqlitefile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A dirLock keeps other processes out of a directory. The kernel drops it with
// the process, however that ends; the file itself stays, since removing it
// would let two processes hold two files of one name.
type dirLock struct{ file *os.File }

func lockDir(dir string) (*dirLock, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, misconfigured(err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%s is open in %s; one directory serves one process", dir, holder(f))
		return nil, misconfigured(errors.Join(err, f.Close()))
	}
	if err == nil {
		err = errors.Join(f.Chmod(0o600), f.Truncate(0), writePid(f))
	}
	if err != nil {
		return nil, misconfigured(errors.Join(err, f.Close()))
	}
	return &dirLock{f}, nil
}

func writePid(f *os.File) error {
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// holder names the process that holds the lock. It may have taken it a moment
// ago and not have written its number.
func holder(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, 32))
	pid, convErr := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || convErr != nil {
		return "another process"
	}
	return fmt.Sprintf("process %d", pid)
}

func (l *dirLock) release() error { return l.file.Close() }
