package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/fourfold-dev/fourfold/examples/internal/console"
)

// flags are what the command line says.
type flags struct {
	rounds, warm  int
	objects, lone int
	size          int
	callers       []int
	modes         []string
	json, serve   bool
	curve         bool
	openRate      int
	openSeconds   int
	grown         int
	backlog       int
	random        bool
	profiles      string
	servers       servers
}

const usage = `race does the fan-out of a check-in by hand and by Fourfold, in turn, and prints
how fast each was.

  race                          on four servers that it starts
  race -transitory URL -volatile URL -transactional URL -amorphous URL
                                on servers that run already; it leaves its tables there
  race -serve                   starts the servers, prints these flags, and waits

  -rounds N      laps of each entrant per number of callers, interleaved (5);
                 figures are medians
  -warm N        rounds before, which are not counted (1)
  -objects N     check-ins of a lap (6000)
  -lone N        check-ins of a lap with one caller (1500)
  -size N        bytes of a check-in as JSON, about (300)
  -callers LIST  numbers of callers (1,16,64,256)
  -modes LIST    entrants; see below (all but rowed and the raw ones)
  -pids LIST     processes of the servers, as transitory=123,…: their CPU is counted
  -profile DIR   a CPU profile of each lap goes there
  -json          one line of JSON per lap, instead of tables

  -curve         instead: the rate and the latency of Fourfold against callers,
                 bytes, tasks, derived rows, and stores that are slow
  -open RATE     instead: an open loop of so many check-ins a second, then 5.5 times
                 as many, then as before: how long the real-time task waits, from
                 the moment at which a check-in was meant to be sent
  -seconds N     of each of the three (20)
  -grown N       instead: Fourfold with 64 callers on stores that are nearly empty and,
                 in turn, on the same servers beside N stored objects, of the kinds
                 of -modes in equal parts (now,later unless named). They are copies
                 of what the layer wrote; the wide-column store gets a tenth of
                 them. MariaDB is started with a buffer pool larger than the data
  -backlog M     with -grown: M envelopes in the outbox, half of them due, of a kind
                 that nobody here serves, half of a kind of -modes, due tomorrow; and
                 as many marks of envelopes that are done (0)
  -random        the keys of objects and users do not ascend

Entrants by hand: hand-seq does one store after the other, hand-par all at once;
with -tuned, Cassandra's client sends at once, instead of after 200 us, its default.

Entrants of Fourfold:
  now     same moment: every store is written when Put returns, the follow-ups
          are accepted; compared to the best by hand
  later   accept, then drain: from the first Put to the last task done
  accept  accept rate: nobody works until all is accepted, in the outbox; what
          is left is drained, and timed apart
  queued  the same, accepted as jobs of the queue
  rowed   as accept, and the row is written in the commit that accepts

To hold the latency of their Puts against: raw-put puts one job, raw-tx writes a
row and an envelope in one transaction, and neither does anything else:
  race -callers 1 -modes raw-put,queued,raw-tx,rowed

Without servers, and without the programs to start them, only Fourfold runs, in
process. Exit status: 0, 1 when something failed or a store does not hold what was
put, 2 for a faulty command line.
`

// A faulty is an error of the command line: exit status 2.
type faulty struct{ error }

func (f faulty) Unwrap() error { return f.error }

func parseFlags(args []string, out io.Writer) (flags, error) {
	var f flags
	set := flag.NewFlagSet("race", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.IntVar(&f.rounds, "rounds", 5, "")
	set.IntVar(&f.warm, "warm", 1, "")
	set.IntVar(&f.objects, "objects", 6000, "")
	set.IntVar(&f.lone, "lone", 1500, "")
	set.IntVar(&f.size, "size", 0, "")
	set.BoolVar(&f.json, "json", false, "")
	set.BoolVar(&f.serve, "serve", false, "")
	set.BoolVar(&f.curve, "curve", false, "")
	set.IntVar(&f.openRate, "open", 0, "")
	set.IntVar(&f.openSeconds, "seconds", 20, "")
	set.IntVar(&f.grown, "grown", 0, "")
	set.IntVar(&f.backlog, "backlog", 0, "")
	set.BoolVar(&f.random, "random", false, "")
	set.StringVar(&f.profiles, "profile", "", "")
	callers := set.String("callers", "1,16,64,256", "")
	modes := set.String("modes", "", "")
	pids := set.String("pids", "", "")
	for purpose := range kinds {
		set.Func(purpose, "", func(url string) error { f.servers.set(purpose, url); return nil })
	}
	switch err := console.Parse(set, args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage)
		return f, err
	case err != nil:
		return f, faulty{err}
	case set.NArg() > 0:
		return f, faulty{fmt.Errorf("%q is not a flag", set.Arg(0))}
	}
	var err error
	if f.callers, err = numbers(*callers); err != nil {
		return f, faulty{err}
	}
	if *modes == "" {
		*modes = "hand-seq,hand-seq-tuned,hand-par,hand-par-tuned,now,later,accept,queued"
		if f.grown > 0 {
			*modes = "now,later"
		}
	}
	f.modes = strings.Split(*modes, ",")
	if f.servers.PIDs, err = processes(*pids); err != nil {
		return f, faulty{err}
	}
	return f, f.check()
}

func numbers(list string) (out []int, err error) {
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 4096 {
			return nil, fmt.Errorf("-callers takes numbers from 1 to 4096, as in 1,64, and not %q", text)
		}
		out = append(out, n)
	}
	return out, nil
}

func processes(list string) (map[string]int, error) {
	out := map[string]int{}
	if list == "" {
		return out, nil
	}
	for text := range strings.SplitSeq(list, ",") {
		purpose, number, _ := strings.Cut(text, "=")
		pid, err := strconv.Atoi(number)
		if err != nil || kinds[purpose] == nil {
			return nil, fmt.Errorf("-pids takes processes by purpose, as in transitory=123, and not %q", text)
		}
		out[purpose] = pid
	}
	return out, nil
}

// check lists what is wrong with the flags.
func (f *flags) check() error {
	var faults []string
	named := 0
	for _, url := range []string{f.servers.Transitory, f.servers.Volatile, f.servers.Transactional, f.servers.Amorphous} {
		if url != "" {
			named++
		}
	}
	if named%4 != 0 {
		faults = append(faults, "name all four servers, or none: by hand there is no store in process")
	}
	if f.rounds < 1 || f.warm < 0 || f.objects < 1 || f.lone < 1 || f.size < 0 || f.size > 60_000 {
		faults = append(faults, "-rounds, -objects and -lone are 1 at least, -warm 0, and -size up to 60000")
	}
	if f.openRate < 0 || f.openRate > 100_000 || f.openSeconds < 1 || f.curve && f.openRate > 0 {
		faults = append(faults, "-open is a rate up to 100000, -seconds 1 at least, and -curve is another measurement")
	}
	if f.grown < 0 || f.backlog < 0 || f.backlog > 0 && f.grown == 0 || f.grown > 0 && (f.curve || f.openRate > 0) {
		faults = append(faults, "-grown and -backlog are numbers of objects, -backlog goes with -grown, and -curve and -open are other measurements")
	}
	for _, mode := range f.modes {
		if !slices.ContainsFunc(entrants(), func(e entrant) bool { return e.name == mode }) {
			faults = append(faults, fmt.Sprintf("%q is no entrant; -help lists them", mode))
		}
	}
	if len(faults) > 0 {
		return faulty{errors.New(strings.Join(faults, "; "))}
	}
	return nil
}
