package stores

import (
	"flag"
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
