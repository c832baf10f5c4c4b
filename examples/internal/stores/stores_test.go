package stores

import (
	"flag"
	"io"
	"slices"
	"testing"
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
