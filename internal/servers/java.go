package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
)

// javaRelease is the one that Cassandra 5.0 runs on: it sets a security manager,
// which later ones refuse, and the flags are those of this one.
const javaRelease = "17"

// FindJava looks for the Java that Cassandra runs on, Java 17: where JAVA_HOME
// points, on PATH, and where Debian and Red Hat keep the releases that are not
// the default. Without one it fails with a *MissingError.
func FindJava(ctx context.Context) (string, error) {
	var candidates []string
	if home := os.Getenv("JAVA_HOME"); home != "" {
		candidates = append(candidates, filepath.Join(home, "bin", "java"))
	}
	if path, err := exec.LookPath("java"); err == nil {
		candidates = append(candidates, path)
	}
	others, _ := filepath.Glob("/usr/lib/jvm/*" + javaRelease + "*/bin/java")
	slices.Sort(others)
	mend := "install Java " + javaRelease + " (Debian package openjdk-17-jre-headless)"
	for _, java := range append(candidates, others...) {
		release, err := releaseOf(ctx, java)
		if err == nil && release == javaRelease {
			return java, nil
		}
		if release != "" {
			mend = fmt.Sprintf("%s is Java %s; %s, or point JAVA_HOME to it", java, release, mend)
		}
	}
	return "", &MissingError{"Cassandra", "Java " + javaRelease, mend}
}

var versionPattern = regexp.MustCompile(`version "(\d+)`)

func releaseOf(ctx context.Context, java string) (string, error) {
	cmd := exec.CommandContext(ctx, java, "-version")
	cmd.Env = environment()
	output, err := cmd.CombinedOutput()
	if m := versionPattern.FindSubmatch(output); m != nil {
		return string(m[1]), err
	}
	return "", err
}
