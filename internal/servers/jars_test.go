//go:build unix

package servers

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// fakeMaven puts a program mvn first on PATH that runs the script with the
// directory for the jars in $out.
func fakeMaven(t *testing.T, script string) {
	t.Helper()
	bin := t.TempDir()
	text := "#!/bin/sh\nfor a; do case $a in -DoutputDirectory=*) out=${a#*=};; esac; done\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(bin, "mvn"), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
}

func TestHalfADownloadIsNone(t *testing.T) {
	fakeMaven(t, `echo half > "$out/a.jar"; exit 1`)
	if err := FetchCassandra(t.Context(), &bytes.Buffer{}); err == nil {
		t.Fatal("Maven failed, and FetchCassandra did not")
	}
	dir, err := cassandraJars()
	if missing, ok := errors.AsType[*MissingError](err); !ok || !strings.Contains(missing.Error(), "check install") {
		t.Errorf("%s, %v; half a download is none, and the error says what to do", dir, err)
	}
	if left, _ := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "fourfold", "*")); len(left) > 0 {
		t.Errorf("an interrupted download leaves %v", left)
	}
}

func TestADownloadIsMadeOnceAndWhole(t *testing.T) {
	fakeMaven(t, `grep -q `+CassandraVersion+` "$out/pom.xml" || exit 1; echo all > "$out/a.jar"; echo b > "$out/b.jar"; echo maven runs`)
	fetch := func() string {
		t.Helper()
		var out bytes.Buffer
		if err := FetchCassandra(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if said := fetch(); !strings.Contains(said, "maven runs") || !strings.Contains(said, "$ ") {
		t.Errorf("it says what it runs, and what that says: %q", said)
	}
	dir, err := cassandraJars()
	if err != nil {
		t.Fatal(err)
	}
	if said := fetch(); said != "" {
		t.Errorf("what is there is not downloaded again: %q", said)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.jar"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if said := fetch(); !strings.Contains(said, "maven runs") {
		t.Error("a jar that has lost its bytes is downloaded again")
	}
	if _, err := cassandraJars(); err != nil {
		t.Error(err)
	}
}

func TestWithoutMavenTheDownloadSaysSo(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	if missing, ok := errors.AsType[*MissingError](FetchCassandra(t.Context(), &bytes.Buffer{})); !ok || missing.Program != "mvn" {
		t.Error("want a MissingError that names mvn")
	}
}

func TestOnlyJava17Serves(t *testing.T) {
	if others, _ := filepath.Glob("/usr/lib/jvm/*17*/bin/java"); len(others) > 0 {
		java, err := FindJava(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if release, err := releaseOf(t.Context(), java); release != "17" {
			t.Errorf("%s is Java %s, %v", java, release, err)
		}
		return
	}
	home := t.TempDir()
	if err := os.Mkdir(filepath.Join(home, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "bin", "java"), []byte("#!/bin/sh\necho 'openjdk version \"21.0.1\"' >&2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("JAVA_HOME", home)
	t.Setenv("PATH", "/bin:/usr/bin")
	if _, err := FindJava(t.Context()); err == nil || !strings.Contains(err.Error(), "is Java 21") {
		t.Errorf("%v; want that Java 21 does not serve", err)
	}
}

func TestOnlyDirectoriesWithoutAnOwnerAreSwept(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	mine, err := newDirectory("")
	if err != nil {
		t.Fatal(err)
	}
	orphan, err := newDirectory("")
	if err != nil {
		t.Fatal(err)
	}
	orphan.lock.Close() // as the kernel does when a process dies
	sweep(os.TempDir())
	if _, err := os.Stat(orphan.path); err == nil {
		t.Error("a directory whose process is gone is removed")
	}
	if _, err := os.Stat(mine.path); err != nil {
		t.Errorf("a directory in use was removed: %v", err)
	}
	if err := errors.Join(mine.remove(), mine.remove()); err != nil {
		t.Error(err)
	}
	if info, err := os.ReadDir(os.TempDir()); err != nil || len(info) != 0 {
		t.Errorf("%v, %v; remove leaves nothing", info, err)
	}
}

func TestADirectoryIsNotSweptWhileItIsMade(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				d, err := newDirectory("")
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := os.Stat(d.path); err != nil {
					t.Errorf("it was removed while it was made: %v", err)
				}
				if err := d.remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func TestPortsLieBelowThoseOfOutgoingConnections(t *testing.T) {
	for range 20 {
		port, err := freePort("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		if port < 20000 || port >= ephemeral() {
			t.Errorf("port %d, and outgoing connections have those from %d on", port, ephemeral())
		}
	}
}

func TestAPathThatNoSocketCanHaveIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := start(context.Background(), Beanstalkd{Unix: true}, "127.0.0.1", 0, &Options{Dir: dir})
	if missing, ok := errors.AsType[*MissingError](err); ok {
		t.Skip("lacks: ", missing)
	}
	if err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("%v; want the limit", err)
	}
}
