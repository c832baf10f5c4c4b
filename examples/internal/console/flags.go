package console

import (
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/fourfold-dev/fourfold/internal/record"
)

// Parse parses a command line. Its error is flag.ErrHelp, or one line that says
// what to do: a flag that is not there is refused with the one that was meant.
func Parse(set *flag.FlagSet, args []string) error {
	err := set.Parse(args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	// The package flag has no other way to tell: a test holds its words.
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return fmt.Errorf("%w; -help lists the flags", err)
	}
	var names []string
	set.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if near := record.Nearest(name, names...); near != "" {
		return fmt.Errorf("unknown flag -%s; did you mean -%s?", name, near)
	}
	return fmt.Errorf("unknown flag -%s; -help lists the flags", name)
}
