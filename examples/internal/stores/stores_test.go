package stores

import (
	"flag"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func TestArgsHoldNoPassword(t *testing.T) {
	var f Flags
	set := flag.NewFlagSet("", flag.ContinueOnError)
	f.Define(set)
	if err := set.Parse([]string{"-dir", "d", "-transactional", "mysql://u:secret@h/d"}); err != nil {
		t.Fatal(err)
	}
	if got, want := f.Args(), []string{"-dir", "d", "-transactional", "URL"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if f.Shared() || !f.Kept() {
		t.Errorf("shared %t, kept %t; want a directory that is kept", f.Shared(), f.Kept())
	}
}

// A URL that a shell's variable should have held and did not is no wish for the
// store in process.
func TestAnEmptyURLIsRefused(t *testing.T) {
	var f Flags
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	f.Define(set)
	if err := set.Parse([]string{"-volatile", ""}); err == nil {
		t.Error("an empty URL is taken for none")
	}
}

// A server that is not there can be started, or its flag left out; a directory
// that another process has can neither.
func TestAdviceIsOfServersOnly(t *testing.T) {
	const advice = "start it and run the same command again, or leave its flag out"
	down := fault.New(fault.ErrUnavailable, "", "open", "nobody answers, or somebody has it")
	f := Flags{Dir: "d"}
	if told, wrong := f.Explain(down); wrong || strings.Contains(told.Error(), advice) {
		t.Errorf("of a directory that is in use: %v, the command line's fault: %t", told, wrong)
	}
	f.Volatile = "memcached://localhost:1"
	if told, wrong := f.Explain(down); wrong || !strings.Contains(told.Error(), advice) {
		t.Errorf("of a server that is not there: %v, the command line's fault: %t", told, wrong)
	}
}
