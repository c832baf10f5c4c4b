package console

import (
	"errors"
	"flag"
	"io"
	"testing"
)

func TestAnUnknownFlagIsRefusedWithTheOneThatWasMeant(t *testing.T) {
	for args, want := range map[string]string{
		"-evnts":     "unknown flag -evnts; did you mean -events?",
		"--Events=x": "unknown flag -Events; did you mean -events?",
		"-transac=mysql://u:secret@host/database": "unknown flag -transac; did you mean -transactional?",
		"-nonsense":  "unknown flag -nonsense; -help lists the flags",
		"-rate=fast": `invalid value "fast" for flag -rate: parse error; -help lists the flags`,
		"-events":    "flag needs an argument: -events; -help lists the flags",
		"-rate=7":    "",
	} {
		set := flag.NewFlagSet("program", flag.ContinueOnError)
		set.SetOutput(io.Discard)
		set.String("events", "", "")
		set.String("transactional", "", "")
		set.Int("rate", 0, "")
		got := ""
		if err := Parse(set, []string{args}); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", args, got, want)
		}
	}
	set := flag.NewFlagSet("program", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	if err := Parse(set, []string{"-help"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-help: %v", err)
	}
}
