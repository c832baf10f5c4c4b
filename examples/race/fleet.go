package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"

	start "github.com/fourfold-dev/fourfold/internal/servers"
)

// servers are the URLs of the four servers, all empty without servers, and the
// processes of those that are known, by purpose.
type servers struct {
	Transitory, Volatile, Transactional, Amorphous string
	PIDs                                           map[string]int
}

// given reports whether there are servers.
func (s servers) given() bool { return s.Transactional != "" }

// set names one server.
func (s *servers) set(purpose, url string) {
	*map[string]*string{
		"transitory": &s.Transitory, "volatile": &s.Volatile, "transactional": &s.Transactional, "amorphous": &s.Amorphous,
	}[purpose] = url
}

// kinds are the servers as an operator runs them: beanstalkd with its log,
// MariaDB with an fsync per commit, Cassandra as it comes, optimized for the
// long run. The cache and the buffer pool are larger than what the laps write.
var kinds = map[string]start.Kind{
	"transitory":    start.Beanstalkd{},
	"volatile":      start.Memcached{Args: []string{"-m", "1024"}},
	"transactional": start.MariaDB{Args: []string{"--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M"}},
	"amorphous":     start.Cassandra{Periodic: true, Optimize: true},
}

// kinds are the servers for what is measured: what -grown stores has to lie in
// memory, so that no read of a page is measured.
func (f *flags) kinds() map[string]start.Kind {
	out := maps.Clone(kinds)
	if f.grown > 0 {
		const object, envelope = 1000, 1500 // bytes, with their indexes
		pool := 1<<30 + f.grown*object + f.backlog*envelope
		if f.random {
			pool += f.grown * object / 2 // pages that are split are not full
		}
		out["transactional"] = start.MariaDB{Args: []string{
			fmt.Sprintf("--innodb-buffer-pool-size=%d", pool), "--innodb-log-file-size=1G"}}
	}
	return out
}

// startServers starts the four servers, all at once. They end with stop, and
// with this process. What the machine lacks is an error of the class
// *start.MissingError.
func startServers(ctx context.Context, kinds map[string]start.Kind, log io.Writer) (s servers, stop func(), err error) {
	s.PIDs = map[string]int{}
	var mu sync.Mutex
	var running []*start.Server
	var errs []error
	var all sync.WaitGroup
	for purpose, kind := range kinds {
		all.Go(func() {
			server, err := start.Start(ctx, kind, &start.Options{Log: log})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			running = append(running, server)
			s.PIDs[purpose] = server.PID()
			s.set(purpose, server.URL())
		})
	}
	all.Wait()
	stop = func() {
		for _, server := range running {
			_ = server.Close()
		}
	}
	if len(errs) > 0 {
		stop()
		return servers{}, nil, errors.Join(errs...)
	}
	return s, stop, nil
}

// lacks reports whether servers could not be started because programs are
// missing, and nothing else.
func lacks(err error) bool {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return false
	}
	for _, e := range joined.Unwrap() {
		if _, missing := errors.AsType[*start.MissingError](e); !missing {
			return false
		}
	}
	return true
}

// command are the flags that name the servers to another run.
func (s servers) command() string {
	var pids []string
	for purpose, pid := range s.PIDs {
		pids = append(pids, fmt.Sprintf("%s=%d", purpose, pid))
	}
	return fmt.Sprintf("-transitory %s -volatile %s -transactional %s -amorphous %s -pids %s",
		s.Transitory, s.Volatile, s.Transactional, s.Amorphous, strings.Join(pids, ","))
}
