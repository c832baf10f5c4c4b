package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// CassandraVersion is the Cassandra that is tested against.
const CassandraVersion = "5.0.9"

// pom asks Maven for Cassandra and whatever it needs.
const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dev.fourfold</groupId><artifactId>cassandra</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.cassandra</groupId><artifactId>cassandra-all</artifactId><version>` + CassandraVersion + `</version>
    </dependency>
  </dependencies>
</project>
`

// complete is a file beside the jars that names each with its size, and is
// written when all have come.
const complete = "complete"

// jarDir is where the jars lie.
func jarDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("servers: there is no cache directory for Cassandra: %w", err)
	}
	return filepath.Join(cache, "fourfold", "cassandra-"+CassandraVersion), nil
}

// cassandraJars returns the directory of the jars, or a *MissingError when not
// all of them are there.
func cassandraJars() (string, error) {
	dir, err := jarDir()
	if err != nil {
		return "", err
	}
	if err := verify(dir); err != nil {
		return "", &MissingError{"Cassandra", "the jars of Cassandra " + CassandraVersion + " in " + dir,
			"download them with Maven (go run ./internal/cmd/check install, in Fourfold's repository)"}
	}
	return dir, nil
}

// verify compares a directory with the list that was made when it was whole.
func verify(dir string) error {
	list, err := os.ReadFile(filepath.Join(dir, complete))
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return errors.New("the list of jars is empty")
	}
	for line := range strings.Lines(string(list)) {
		var size int64
		var name string
		if _, err := fmt.Sscan(line, &size, &name); err != nil {
			return err
		}
		info, err := os.Stat(filepath.Join(dir, filepath.Base(name)))
		if err != nil {
			return err
		}
		if info.Size() != size {
			return fmt.Errorf("%s has %d bytes, not %d", name, info.Size(), size)
		}
	}
	return nil
}

// FetchCassandra downloads Cassandra's jars with Maven into the user's cache
// directory, 66 MB, unless they are there. What Maven says goes to out. An
// interrupted download leaves nothing that would be taken for a whole one.
// Without Maven it fails with a *MissingError.
func FetchCassandra(ctx context.Context, out io.Writer) error {
	dir, err := jarDir()
	if err != nil || verify(dir) == nil {
		return err
	}
	mvn, err := find("the download of Cassandra", "mvn", "maven")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	partial, err := os.MkdirTemp(filepath.Dir(dir), "partial-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(partial)
	if err := download(ctx, mvn, partial, out); err != nil {
		return err
	}
	if err := seal(partial); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(partial, dir)
}

func download(ctx context.Context, mvn, dir string, out io.Writer) error {
	file := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(file, []byte(pom), 0o600); err != nil {
		return err
	}
	args := []string{"-q", "-B", "-f", file, "dependency:copy-dependencies", "-DoutputDirectory=" + dir}
	_, _ = fmt.Fprintf(out, "$ %s %s\n", mvn, strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, mvn, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.SysProcAttr = dieWithUs()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("servers: the download of Cassandra %s: %w", CassandraVersion, err)
	}
	return nil
}

// seal lists what has come.
func seal(dir string) error {
	jars, err := filepath.Glob(filepath.Join(dir, "*.jar"))
	if err != nil {
		return err
	}
	if len(jars) == 0 {
		return errors.New("servers: Maven has brought no jars")
	}
	var list strings.Builder
	for _, jar := range jars {
		info, err := os.Stat(jar)
		if err != nil {
			return err
		}
		fmt.Fprintln(&list, info.Size(), filepath.Base(jar))
	}
	return os.WriteFile(filepath.Join(dir, complete), []byte(list.String()), 0o600)
}
