package sqlitefile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// nobody is a user who owns nothing.
const nobody = 65534

// asNobody runs do in a thread that has nobody's rights to files.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("NOT TESTED: only root can take another user's place")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
	defer syscall.RawSyscall(syscall.SYS_SETFSUID, 0, 0, 0)
	do()
}

// A directory that may not be written, or is somebody else's, and a file in it
// that is, are refused when they are opened, by a sentence that names them.
func TestADirectoryThatIsNotOurs_A16(t *testing.T) {
	base := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for dir := base; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		must(os.Chmod(dir, 0o755))
	}
	for name, make := range map[string]func(dir string){
		"read-only":                   func(dir string) { must(errors.Join(os.Mkdir(dir, 0o500), os.Lchown(dir, nobody, nobody))) },
		"somebody else's":             func(dir string) { must(os.Mkdir(dir, 0o755)) },
		"somebody else's, and closed": func(dir string) { must(os.Mkdir(dir, 0o700)) },
		"in somebody else's":          func(string) {},
		"with somebody else's file": func(dir string) {
			must(errors.Join(os.Mkdir(dir, 0o700), os.Lchown(dir, nobody, nobody),
				os.WriteFile(filepath.Join(dir, databaseName), nil, 0o600)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(base, strings.ReplaceAll(name, " ", "-"))
			make(dir)
			asNobody(t, func() {
				f, err := Open(t.Context(), dir, Options{})
				if !errors.Is(err, fault.ErrMisconfigured) || !strings.Contains(err.Error(), dir) {
					t.Errorf("err = %v, want misconfigured, and the name of the directory", err)
				}
				if f != nil {
					_ = f.Close()
				}
			})
		})
	}
}

// A directory that is missing is made, with those above it.
func TestAMissingDirectoryIsMade_A16(t *testing.T) {
	f, err := Open(t.Context(), filepath.Join(t.TempDir(), "a", "b"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mustWrite(t, f, "CREATE TABLE t (k)")
}

// A file that is removed, or replaced, under a program that has it open: what is
// put then is refused, aloud, and not written into a file that nobody finds again.
func TestAFileThatIsRemovedInUse_A16(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"removed":            os.Remove,
		"with its directory": func(path string) error { return os.RemoveAll(filepath.Dir(path)) },
		"replaced":           func(path string) error { return errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := openTest(t, Options{})
			mustWrite(t, f, "INSERT INTO t VALUES (1, 1)")
			if err := spoil(filepath.Join(f.db.dir, databaseName)); err != nil {
				t.Fatal(err)
			}
			reads := 0
			for range 10 { // with new connections, too
				err := write(t.Context(), f, "INSERT INTO t VALUES (2, 2)")
				if !errors.Is(err, fault.ErrMisconfigured) || fault.OutcomeOf(err) != fault.NotApplied || !strings.Contains(err.Error(), "removed or replaced") {
					t.Errorf("err = %v, want misconfigured, not applied", err)
				}
				err = f.Read(t.Context(), func(Conn) error { return nil })
				if reads++; err != nil && !errors.Is(err, fault.ErrMisconfigured) {
					t.Errorf("read %d: %v, want what is there or misconfigured", reads, err)
				}
			}
		})
	}
}
