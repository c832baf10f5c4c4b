package main

import (
	"context"
	"fmt"
	"strings"
)

// A campaign is a test that takes longer than a change may wait for.
type campaign struct {
	name string
	args []string // of go test
}

// campaigns are the long tier: hours, on two cores.
var campaigns = []campaign{
	{"histories", []string{"-run=Histories", "./internal/sim", "-args", "-sim.seeds=20000", "-sim.outbox=20000"}},
	{"random operations", []string{"-run=^(TestConformance|TestModel)$/^Model$", "./transactional/embedded", "./amorphous/embedded", "./transitory/embedded", "-args", "-rapid.checks=2000"}},
	{"orders of a cache", []string{"-run=^TestConformance$/^Interleave$", "./volatile/embedded", "./volatile/memcached", "-args", "-volatiletest.orders"}},
	{"system calls", []string{"-run=TestKilledAtASyscall", "./internal/sqlitefile", "-args", "-syscalls=40"}},
	{"crashes in process", []string{"-run=TestCrash_", "./persistence", "-args", "-crash.runs=1000"}},
	{"crashes over four servers", []string{"-run=TestCrashOverServers", "./persistence", "-args", "-crash.servers", "-crash.runs=200"}},
	{"suites at full size", []string{"-race", "-run=^TestConformance", "./transitory/beanstalkd", "./volatile/memcached", "./transactional/mysql", "-args", "-full"}},
	{"a database server that is killed", []string{"-run=TestKilledServer", "./transactional/mysql", "-args", "-kills=200"}},
	{"an outbox of a million", []string{"-run=TestOutboxStaysSmall", "./transactional/mysql", "-args", "-records=1000000"}},
	{"opening and closing", []string{"-race", "-run=TestOpenWorkCloseStress", "./persistence", "-args", "-stress=50"}},
	{"random faults", []string{"-run=TestMonkey", "./persistence", "-args", "-monkey=5m"}},
	{"every client of Cassandra", []string{"-run=TestReal", "./amorphous/cassandra/internal/live", "-args", "-whole", "-full"}},
	{"a ring of Cassandra", []string{"-run=TestRing", "./amorphous/cassandra/internal/live", "-args", "-ring"}},
	{"mentions over four servers", []string{"-run=TestOnServers", "./examples/mentions", "-args", "-tweets=50000"}},
	{"degradation", []string{"-run=TestDegradation", "./persistence", "-args", "-degradation=10s"}},
	{"bounds", []string{"-run=TestDegradation", "./persistence", "-args", "-degradation=10m"}},
}

// checkLong runs the long tier to its end, also after a campaign that failed.
func checkLong(ctx context.Context, c *checker) error {
	var failed []string
	for _, long := range campaigns {
		fmt.Fprintf(c.out, "\n--- %s\n", long.name)
		cmd := c.prepare(ctx, "go", append([]string{"test", "-v", "-count=1", "-timeout=6h"}, long.args...)...)
		cmd.Stdout = c.out
		if err := cmd.Run(); err != nil {
			failed = append(failed, long.name)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%s", strings.Join(failed, ", "))
	}
	return nil
}
