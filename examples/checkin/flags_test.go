package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFaultyCommandLinesSayWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("Dear diary,\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		status int
		says   string
	}{
		{"-nonsense", 2, "-help"},
		{"-evnts " + text, 2, "did you mean -events?"},
		{"file.csv", 2, "-events FILE"},
		{"-events " + text, 2, "-friends"},
		{"-friends " + text, 2, "-events"},
		{"-venues " + text, 2, "-events"},
		{"-events " + dir + "/none -friends " + text, 2, "no such file"},
		{"-events " + text + " -friends " + text, 2, "no row can be read"},
		{"-put -work", 2, "different processes"},
		{"-work -transactional mysql://u@h/d", 2, "all four"},
		{"-transactional nowhere", 2, "transactional"},
		{"-amorphous nosuch://user:secret@host/x", 2, "nosuch"},
		{"-transactional mysql://user:secret@127.0.0.1:1/d", 1, "start it and run the same command again"},
	} {
		var out, errs bytes.Buffer
		if got := run(strings.Fields(c.args), &out, &errs); got != c.status {
			t.Errorf("%s: exit status %d, want %d", c.args, got, c.status)
		}
		said := errs.String()
		if !strings.Contains(said, c.says) || strings.Count(said, "\n") != 1 {
			t.Errorf("%s: says %q, want one line with %q", c.args, said, c.says)
		}
		if strings.Contains(said, "secret") {
			t.Errorf("%s: says a password: %q", c.args, said)
		}
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var out bytes.Buffer
	if got := run([]string{"--help"}, &out, &out); got != 0 {
		t.Errorf("-help: exit status %d, want 0", got)
	}
	for _, name := range []string{"events", "friends", "venues", "dir", "json", "namespace", "put", "work", "transitory", "volatile", "transactional", "amorphous"} {
		if !strings.Contains(out.String(), "-"+name) {
			t.Errorf("-help does not name -%s", name)
		}
	}
	if _, err := parseFlags([]string{"-h"}, &out); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}

func TestTheCommandToContinueHoldsNoPassword(t *testing.T) {
	f, err := parseFlags([]string{"-dir", "d", "-events", "e", "-friends", "f", "-transactional", "mysql://u:secret@h/d"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.again(), "checkin -events e -friends f -dir d -transactional URL"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
