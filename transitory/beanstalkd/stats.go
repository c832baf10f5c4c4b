package beanstalkd

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// serverStats are what a server says of itself.
type serverStats struct {
	id       string // of this run of the server
	version  string
	maxBody  int
	draining bool
	log      bool // it runs with -b
	puts     int  // jobs that were put during this run
	records  int  // records that were written to the log during this run
	buried   int
	silent   bool // between two looks more jobs were put than records written
}

// parseStats reads the answer to stats. An answer without the words that are
// needed is none.
func parseStats(dict map[string]string) (serverStats, error) {
	var s serverStats
	number := func(name string) int {
		n, err := strconv.Atoi(dict[name])
		if err != nil {
			return -1
		}
		return n
	}
	s.id = dict["id"]
	s.version = strings.Trim(dict["version"], `"`)
	s.maxBody = number("max-job-size")
	s.draining = dict["draining"] == "true"
	s.log = number("binlog-current-index") > 0
	s.puts, s.records, s.buried = number("total-jobs"), number("binlog-records-written"), number("current-jobs-buried")
	if s.version == "" || s.maxBody <= 0 || s.maxBody > 1<<30 || s.puts < 0 || s.records < 0 {
		return s, fmt.Errorf("%w: its stats lack version, max-job-size, total-jobs or binlog-records-written", errReply)
	}
	return s, nil
}

// logBroken says that the server stopped writing its log. After one failed
// write it answers one put with BURIED, and then accepts jobs into memory only
// without a word; but every put of a log that works is one record at least.
// Measured against beanstalkd 1.12: both counters begin at 0 with each run,
// and jobs that come back from the log are in neither.
func (s serverStats) logBroken() bool { return s.log && (s.silent || s.records < s.puts) }

// after compares with an earlier look at the same run: deletes are records too,
// and a server that has logged many of them would not be found out before as many
// jobs were lost to memory. What is broken stays so until a restart.
func (s serverStats) after(before serverStats) serverStats {
	if s.id == before.id {
		s.silent = before.silent || s.puts > before.puts && s.records-before.records < s.puts-before.puts
	}
	return s
}

// durability is what a job survives that this server accepts now.
func (s serverStats) durability() fault.Durability {
	if !s.log || s.logBroken() {
		return fault.Memory
	}
	return fault.Written
}

// problems are sentences about what would not work. asked is the durability that
// was asked for by name, or none; maxBody is what the driver's features say.
func (s serverStats) problems(asked fault.Durability, maxBody int) []string {
	var out []string
	switch {
	case s.logBroken():
		out = append(out, fmt.Sprintf("its log is broken: %d jobs were put and %d records written, so new jobs are in memory only; look at its disk and start it again", s.puts, s.records))
	case !s.log && asked != fault.Memory:
		out = append(out, "it runs without a log, so jobs are in memory only; start it with -b DIRECTORY, or open it with ?durability=memory")
	}
	if s.draining {
		out = append(out, "it is draining: it gives jobs out and takes none until it is started again")
	}
	switch {
	case s.maxBody < maxBody:
		out = append(out, fmt.Sprintf("it takes bodies of %d bytes, less than the %d that were promised when the queue was opened; start it with -z %d", s.maxBody, maxBody, maxBody))
	case s.maxBody < defaultMaxBody:
		out = append(out, fmt.Sprintf("it takes bodies of %d bytes at most, and what is larger is refused, or lies in the transactional store alone; start it with -z %d, which is its default", s.maxBody, defaultMaxBody))
	}
	if s.buried > 0 {
		out = append(out, fmt.Sprintf("%d jobs are buried, which nobody will get until they are kicked", s.buried))
	}
	return out
}
