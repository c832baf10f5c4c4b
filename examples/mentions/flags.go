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
	mentions, listen, namespace string
	rate                        int
	json                        bool
	stores.Flags
}

const usage = `mentions follows who is mentioned in a stream of social posts, on four kinds of
persistence.

  mentions                       a made-up stream, in a few seconds
  mentions -mentions FILE        rows from a file, plain or gzip: a header line, then
                                 tweet_id,utc,group,entity with times as 2022-11-18T00:00:18.374Z
  mentions -listen :8080         clients watch live: a page at /, the state of all entities
                                 at /entities, server-sent events at /watch and
                                 /watch?entity=NAME. It goes on until Ctrl-C; the page
                                 shows everybody what comes in, so mind who can reach it

  -rate N         rows a second; default as fast as they are taken, with -listen 200
  -dir DIR        keep the data here; run again to continue, or to see it again.
                  Without it, the data goes to a temporary directory and is removed
  -json           print the totals as one JSON object on the last line
  -namespace NAME is a stream of its own on the same servers (default ff)

Stores are in process unless a URL names a server, any subset of:
  -transitory URL  -volatile URL  -transactional URL  -amorphous URL

Exit status: 0 when all that the stores hold is what the input implies, 1 when it
is not or something failed, 2 for a faulty command line or input, 130 when it was
stopped by Ctrl-C before all was done (run it again with the same -dir to continue).
`

// A faulty is an error of the command line or the input: exit status 2.
type faulty struct{ error }

func (f faulty) Unwrap() error { return f.error }

// watchedRate is how many rows a second come in when somebody watches.
const watchedRate = 200

func parseFlags(args []string, out io.Writer) (flags, error) {
	var f flags
	set := flag.NewFlagSet("mentions", flag.ContinueOnError)
	set.SetOutput(io.Discard) // errors are printed by run, help by us
	set.StringVar(&f.mentions, "mentions", "", "")
	set.StringVar(&f.listen, "listen", "", "")
	set.StringVar(&f.namespace, "namespace", "", "")
	f.Define(set)
	set.BoolVar(&f.json, "json", false, "")
	set.IntVar(&f.rate, "rate", 0, "")
	switch err := console.Parse(set, args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(out, usage)
		return f, err
	case err != nil:
		return f, faulty{err}
	case set.NArg() > 0:
		return f, faulty{fmt.Errorf("%q is not a flag; a file is named as in -mentions FILE", set.Arg(0))}
	case f.rate < 0:
		return f, faulty{fmt.Errorf("-rate %d: rows a second, 1 or more", f.rate)}
	}
	if f.listen != "" && f.rate == 0 {
		f.rate = watchedRate
	}
	return f, nil
}

// again is the command that continues this one.
func (f flags) again() string {
	parts := []string{"mentions"}
	if f.mentions != "" {
		parts = append(parts, "-mentions", f.mentions)
	}
	if f.namespace != "" {
		parts = append(parts, "-namespace", f.namespace)
	}
	return strings.Join(append(parts, f.Args()...), " ")
}
