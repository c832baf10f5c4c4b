package servertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/volatile"
)

// Options of Start; zero values are the defaults.
type Options struct {
	// Purposes are those whose servers the test needs. Default: all four.
	Purposes []persistence.Purpose
	// Own starts servers of this test's own also where the environment names
	// some, for tests that kill.
	Own bool
	// Nodes is how many servers a purpose has, by default one each: several
	// beanstalkds, several memcacheds, a ring of Cassandra nodes that each hold
	// all data. MariaDB has always one. More than one are always the test's own.
	Nodes map[persistence.Purpose]int
}

// Servers are the running servers of a test. They end with it. Its methods are
// called by the test's own goroutine, because they end the test when they fail.
type Servers struct {
	tb        testing.TB
	namespace string
	urls      map[persistence.Purpose]string
	own       map[persistence.Purpose][]*servers.Server // empty for what the environment named
}

// patience is how long a server may take to come back.
const patience = 3 * time.Minute

// Start returns running servers, once all of them answer. Where one can neither
// be found nor started, for want of a program, the test is skipped, and the
// message says what is missing. A server that does not start fails the test,
// with what it printed. At most one Options may be given.
func Start(tb testing.TB, opts ...Options) *Servers {
	tb.Helper()
	var o Options
	switch len(opts) {
	case 0:
	case 1:
		o = opts[0]
	default:
		tb.Fatalf("servertest.Start takes one Options, not %d: put all options into one", len(opts))
	}
	if err := o.validate(); err != nil {
		tb.Fatalf("servertest.Start: %v", err)
	}
	s := &Servers{
		tb: tb, namespace: fmt.Sprintf("t%010x", rand.Uint64()&(1<<40-1)),
		urls: map[persistence.Purpose]string{}, own: map[persistence.Purpose][]*servers.Server{},
	}
	tb.Cleanup(s.close)
	started, err := startAll(tb.Context(), o)
	for _, r := range started {
		s.urls[r.purpose], s.own[r.purpose] = r.url, r.own
	}
	if missing := lacking(err); missing != "" {
		tb.Skip(missing)
	}
	if err != nil {
		tb.Fatalf("servertest.Start: %v", err)
	}
	return s
}

// URL is Start for one purpose, for a test that only needs its URL.
func URL(tb testing.TB, purpose persistence.Purpose) string {
	tb.Helper()
	return Start(tb, Options{Purposes: []persistence.Purpose{purpose}}).URL(purpose)
}

// URL is what opens a purpose's store, such as transitory.URL's argument.
func (s *Servers) URL(purpose persistence.Purpose) string {
	s.tb.Helper()
	url, ok := s.urls[purpose]
	if !ok {
		s.tb.Fatalf("servertest: no server was asked for the purpose %v: name it in Options.Purposes", purpose)
	}
	return url
}

// Stores are the sources of a layer on these servers; a purpose that was not
// asked for has none. The drivers must be imported.
func (s *Servers) Stores() persistence.Stores {
	var stores persistence.Stores
	if url, ok := s.urls[persistence.Transitory]; ok {
		stores.Transitory = transitory.URL(url)
	}
	if url, ok := s.urls[persistence.Volatile]; ok {
		stores.Volatile = volatile.URL(url)
	}
	if url, ok := s.urls[persistence.Transactional]; ok {
		stores.Transactional = transactional.URL(url)
	}
	if url, ok := s.urls[persistence.Amorphous]; ok {
		stores.Amorphous = amorphous.URL(url)
	}
	return stores
}

// Options are the options of a layer in a namespace that no other call of Start
// has. The caller may change what it gets.
func (s *Servers) Options() *persistence.Options {
	return &persistence.Options{Namespace: s.namespace}
}

// Kill ends a purpose's servers at once, as kill -9 does, and returns when they
// are gone. Nodes are counted from 0; without any, all of them are killed. One
// that is down stays down.
func (s *Servers) Kill(purpose persistence.Purpose, nodes ...int) {
	s.tb.Helper()
	for _, server := range s.mine("Kill", purpose, nodes) {
		server.Kill()
	}
}

// Restart starts a purpose's servers again, at the same addresses and with the
// same files, and returns when they answer. Those that still run are killed
// first. What they kept comes back as it does in production: memcached forgets
// everything.
func (s *Servers) Restart(purpose persistence.Purpose, nodes ...int) {
	s.tb.Helper()
	// The end of the test must not cut off what brings the server back for a
	// Cleanup.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.tb.Context()), patience)
	defer cancel()
	for _, server := range s.mine("Restart", purpose, nodes) {
		if err := server.Restart(ctx); err != nil {
			s.tb.Fatalf("servertest.Restart: %v", err)
		}
	}
}

// Pause stops a purpose's servers from running (SIGSTOP), as a machine that hangs
// does: connections are taken, and nothing answers, until Resume.
func (s *Servers) Pause(purpose persistence.Purpose, nodes ...int) {
	s.tb.Helper()
	for _, server := range s.mine("Pause", purpose, nodes) {
		if err := server.Pause(); err != nil {
			s.tb.Fatalf("servertest.Pause: %v", err)
		}
	}
}

// Resume lets paused servers go on.
func (s *Servers) Resume(purpose persistence.Purpose, nodes ...int) {
	s.tb.Helper()
	for _, server := range s.mine("Resume", purpose, nodes) {
		if err := server.Resume(); err != nil {
			s.tb.Fatalf("servertest.Resume: %v", err)
		}
	}
}

// mine returns servers that may be touched.
func (s *Servers) mine(verb string, purpose persistence.Purpose, nodes []int) []*servers.Server {
	s.tb.Helper()
	_ = s.URL(purpose) // ends the test when it was not asked for
	own := s.own[purpose]
	if len(own) == 0 {
		s.tb.Fatalf("servertest.%s: the %v server was named by the environment (%s), and others may be using it: "+
			"with Options{Own: true} the test gets one of its own", verb, purpose, of(purpose).Variable)
	}
	if len(nodes) == 0 {
		return own
	}
	var chosen []*servers.Server
	for _, n := range nodes {
		if n < 0 || n >= len(own) {
			s.tb.Fatalf("servertest.%s: there is no node %d of %d for the purpose %v", verb, n, len(own), purpose)
		}
		chosen = append(chosen, own[n])
	}
	return chosen
}

func (s *Servers) close() {
	for _, purpose := range everyPurpose {
		for _, server := range s.own[purpose] {
			if s.tb.Failed() {
				s.tb.Logf("the last that the %v server at %s printed:\n%s", purpose, server.Address(), server.Output())
			}
			if err := server.Close(); err != nil {
				s.tb.Errorf("servertest: closing the %v server: %v", purpose, err)
			}
		}
	}
}

var everyPurpose = []persistence.Purpose{persistence.Transitory, persistence.Volatile, persistence.Transactional, persistence.Amorphous}

// of finds what is known of a purpose's server.
func of(purpose persistence.Purpose) servers.Purpose { return servers.Purposes()[purpose-1] }

// validate lists every fault of the options.
func (o *Options) validate() error {
	var faults []error
	for i, p := range o.Purposes {
		if !slices.Contains(everyPurpose, p) {
			faults = append(faults, fmt.Errorf("the option Purposes has %v, which is none", p))
		}
		if slices.Contains(o.Purposes[:i], p) {
			faults = append(faults, fmt.Errorf("the option Purposes has %v twice; Nodes says how many servers it has", p))
		}
	}
	for p, n := range o.Nodes {
		if !slices.Contains(everyPurpose, p) || n < 1 || n > 9 {
			faults = append(faults, fmt.Errorf("the option Nodes has %d for %v; there are 1 to 9 of a purpose", n, p))
		} else if p == persistence.Transactional && n > 1 {
			faults = append(faults, errors.New("the option Nodes has several for transactional, and MariaDB is started once"))
		}
	}
	return errors.Join(faults...)
}

// lacking joins what programs are missing, or is empty when something else is
// wrong, or nothing.
func lacking(err error) string {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return ""
	}
	var lacks []string
	for _, e := range joined.Unwrap() {
		missing, ok := errors.AsType[*missingError](e)
		if !ok {
			return ""
		}
		lacks = append(lacks, missing.Error())
	}
	return "NOT TESTED on real servers: " + strings.Join(lacks, "; ")
}
