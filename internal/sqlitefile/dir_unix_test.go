//go:build unix

package sqlitefile

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestModesWhateverTheUmask(t *testing.T) {
	for _, mask := range []int{0, 0o777} {
		func() {
			parent := t.TempDir()
			defer syscall.Umask(syscall.Umask(mask))
			dir := filepath.Join(parent, "data")
			f, err := Open(t.Context(), dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			mustWrite(t, f, "CREATE TABLE t (k)")
			count(t, f)
			for name, want := range map[string]os.FileMode{
				"": 0o700 | os.ModeDir, lockName: 0o600, databaseName: 0o600, databaseName + "-wal": 0o600, databaseName + "-shm": 0o600,
			} {
				info, err := os.Stat(filepath.Join(dir, name))
				if err != nil || info.Mode() != want {
					t.Errorf("umask %o: %q has mode %v (%v), want %v", mask, name, info.Mode(), err, want)
				}
			}
		}()
	}
}
