package servers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// A MissingError says which program a server needs and this machine lacks.
type MissingError struct {
	Server  string // such as "MariaDB"
	Program string // such as "mariadbd"
	Mend    string // what to do about it
}

// Error is one sentence that says what to do.
func (e *MissingError) Error() string {
	return fmt.Sprintf("%s needs %s, which is missing here: %s", e.Server, e.Program, e.Mend)
}

// find looks for a program on PATH, and where servers lie that only root has on
// its PATH.
func find(server, program, debian string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, nil
		}
	}
	return "", &MissingError{server, program, "install it (Debian package " + debian + ")"}
}

// A Program is something that the tests use beside Go, and the Debian packages
// that hold it.
type Program struct{ Name, Debian string }

// Programs are what tests run, without Cassandra, which is no Debian package,
// and without the servers that the environment names. The C compiler links the
// race detector.
func Programs() []Program {
	programs := []Program{{"cc", "gcc libc6-dev"}}
	for _, p := range Purposes() {
		if p.Given() != "" {
			continue
		}
		switch p.Kind.(type) {
		case Beanstalkd:
			programs = append(programs, Program{"beanstalkd", "beanstalkd"})
		case Memcached:
			programs = append(programs, Program{"memcached", "memcached"})
		case MariaDB:
			programs = append(programs, Program{"mariadbd", "mariadb-server"}, Program{"mariadb-install-db", "mariadb-server"})
		}
	}
	if runtime.GOOS == "linux" {
		programs = append(programs, Program{"strace", "strace"}, Program{"nft", "nftables"}, Program{"faketime", "faketime"})
	}
	return programs
}

// Missing is nil when the program is here, else a *MissingError.
func (p Program) Missing() error {
	_, err := find("the test run", p.Name, p.Debian)
	return err
}

// asRoot returns arguments for servers that refuse to run as root unless told
// to. We stay root then: the directories of a test are only ours.
func asRoot(arguments ...string) []string {
	if os.Geteuid() == 0 {
		return arguments
	}
	return nil
}
