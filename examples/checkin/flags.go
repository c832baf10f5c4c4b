package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/fourfold-dev/fourfold/examples/internal/console"
	"github.com/fourfold-dev/fourfold/examples/internal/stores"
)

// flags are what the command line says.
type flags struct {
	events, friends, venues string
	namespace               string
	json                    bool
	put, work               bool // only the one, while other processes do the other
	stores.Flags
}

const usage = `checkin plays a check-in game on four kinds of persistence.

  checkin                                   a made-up town, in a few seconds
  checkin -events FILE -friends FILE        check-ins from files

Files are plain or gzip, columns separated by tabs:
  -events FILE    uid, UTC time as 2010-10-12T00:21:28Z, latitude, longitude, venue id
  -friends FILE   a header line, then uid, fid: fid is told of uid's check-ins
  -venues FILE    venue id, name, latitude, longitude; names to show, may be left out
Rows that cannot be read are left out and counted; the first 20 of each file are
shown, with their line numbers

  -dir DIR        keep the data here; run again to continue, or to see it again.
                  Without it, the data goes to a temporary directory and is removed
  -json           print the totals as one JSON object on the last line

Stores are in process unless a URL names a server, any subset of:
  -transitory beanstalkd://HOST,...     -transactional mysql://USER@HOST/DATABASE
  -volatile memcached://HOST,...        -amorphous cassandra://HOST,.../KEYSPACE
  -namespace NAME is a game of its own on the same servers (default ff)

With all four on servers, several processes share a game, each with the same input:
  -put            put the check-ins, wait until all is done, and show it
  -work           work off what others put, until Ctrl-C; as many as you like,
                  and one that is killed is made up for by the others

Exit status: 0 when all that the stores hold is what the input implies, 1 when it
is not or something failed, 2 for a faulty command line or input, 130 when it was
stopped by Ctrl-C (run it again with the same -dir or servers to continue); -work
ends by Ctrl-C with 0.
`

// A faulty is an error of the command line or the input: exit status 2.
type faulty struct{ error }

func (f faulty) Unwrap() error { return f.error }

func parseFlags(args []string, out io.Writer) (flags, error) {
	var f flags
	set := flag.NewFlagSet("checkin", flag.ContinueOnError)
	set.SetOutput(io.Discard) // errors are printed by run, help by us
	for name, value := range map[string]*string{
		"events": &f.events, "friends": &f.friends, "venues": &f.venues, "namespace": &f.namespace,
	} {
		set.StringVar(value, name, "", "")
	}
	f.Define(set)
	set.BoolVar(&f.json, "json", false, "")
	set.BoolVar(&f.put, "put", false, "")
	set.BoolVar(&f.work, "work", false, "")
	switch err := console.Parse(set, args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage)
		return f, err
	case err != nil:
		return f, faulty{err}
	case set.NArg() > 0:
		return f, faulty{fmt.Errorf("%q is not a flag; files are named as in -events FILE", set.Arg(0))}
	}
	return f, f.check()
}

// check refuses what is only half of a request.
func (f flags) check() error {
	var faults []string
	if (f.events == "") != (f.friends == "") {
		faults = append(faults, "-events and -friends go together: -events holds what happened, -friends who is told")
	}
	if f.venues != "" && f.events == "" {
		faults = append(faults, "-venues names the venues of -events, which is missing")
	}
	if f.put && f.work {
		faults = append(faults, "-put and -work are for different processes; without either, one process does both")
	}
	if (f.put || f.work) && !f.Shared() {
		faults = append(faults, "-put and -work need all four stores on servers: what lies in process, another process does not see")
	}
	if len(faults) > 0 {
		return faulty{errors.New(strings.Join(faults, "; "))}
	}
	return nil
}

// again is the command that continues this one.
func (f flags) again() string {
	parts := []string{"checkin"}
	for _, p := range []struct{ flag, value string }{
		{"-events", f.events}, {"-friends", f.friends}, {"-venues", f.venues}, {"-namespace", f.namespace},
	} {
		if p.value != "" {
			parts = append(parts, p.flag, p.value)
		}
	}
	parts = append(parts, f.Args()...)
	if f.put {
		parts = append(parts, "-put")
	}
	return strings.Join(parts, " ")
}
