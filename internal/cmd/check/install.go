package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/fourfold-dev/fourfold/internal/servers"
)

// A lackError is something that this machine has not, and without which the rest
// goes on; in CI it is a failure.
type lackError struct{ cause error }

func (e *lackError) Error() string { return e.cause.Error() }
func (e *lackError) Unwrap() error { return e.cause }

// install brings what the tests need, as far as it may: Debian packages as root,
// Cassandra's jars with Maven, and neither for a server that the environment
// names. Both at once: each mostly waits for the network.
func install(ctx context.Context, c *checker) error {
	jars := make(chan error, 1)
	go func() {
		if servers.Amorphous.Given() != "" {
			jars <- nil
			return
		}
		_, noJava := servers.FindJava(ctx)
		jars <- errors.Join(noJava, c.fetchCassandra(ctx))
	}()
	if err := errors.Join(c.installPackages(ctx), <-jars); err != nil {
		text := strings.ReplaceAll(err.Error(), "\n", "; ")
		fmt.Fprintln(c.out, "LACKS:", text)
		return &lackError{errors.New(text)}
	}
	return nil
}

func (c *checker) fetchCassandra(ctx context.Context) error {
	fmt.Fprintf(c.out, "Cassandra %s: the jars come from Maven, unless they are in the cache directory\n", servers.CassandraVersion)
	err := servers.FetchCassandra(ctx, c.out)
	if err == nil {
		fmt.Fprintf(c.out, "Cassandra %s: the jars are there\n", servers.CassandraVersion)
	}
	return err
}

// installPackages installs the Debian packages of the programs that are missing.
func (c *checker) installPackages(ctx context.Context) error {
	packages, missing := lacking()
	if len(packages) == 0 {
		fmt.Fprintln(c.out, "the programs are there")
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("%w; to install what is missing this command needs root and apt-get: apt-get install %s",
			missing, strings.Join(packages, " "))
	}
	restore, err := startNothing(policyFile)
	if err != nil {
		return err
	}
	defer restore()
	if err := c.apt(ctx, "update", "-q"); err != nil {
		return fmt.Errorf("%w: apt-get update: %w", missing, err)
	}
	args := append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...)
	if err := c.apt(ctx, args...); err != nil {
		return fmt.Errorf("%w: apt-get install: %w", missing, err)
	}
	_, missing = lacking()
	return missing
}

// lacking returns the packages whose programs are missing, and an error that
// names these.
func lacking() (packages []string, err error) {
	var names []string
	for _, p := range servers.Programs() {
		if p.Missing() != nil {
			names = append(names, p.Name)
			packages = append(packages, strings.Fields(p.Debian)...)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	slices.Sort(packages)
	return slices.Compact(packages), errors.New("missing " + strings.Join(names, ", "))
}

// apt runs apt-get so that it asks nothing, waits for another that is at work,
// and tries a download again.
func (c *checker) apt(ctx context.Context, args ...string) error {
	cmd := c.prepare(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"}, args...)...)
	cmd.Env = append(cmd.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout = c.out
	return cmd.Run()
}

// policyFile is what Debian's packages ask before they start a service.
const policyFile = "/usr/sbin/policy-rc.d"

// startNothing keeps the packages from starting services, which the tests have
// no use for and which nobody would stop, until restore is called. A policy that
// is there is the machine's own, and stays.
func startNothing(path string) (restore func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString("#!/bin/sh\nexit 101\n")
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return func() { _ = os.Remove(path) }, nil
}
