package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestParseList(t *testing.T) {
	list := "FuzzA\nFuzzB\nok  \texample.org/x\t0.01s\n?   \texample.org/none\t[no test files]\nok  \texample.org/y\t(cached)\nFuzzC\nok  \texample.org/z\t0.01s\n"
	want := []fuzzTarget{{"example.org/x", "FuzzA"}, {"example.org/x", "FuzzB"}, {"example.org/z", "FuzzC"}}
	if got := parseList(list); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

const passing = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestS/part","Output":"    suite.go:7: lacks: a promise\n"}
{"Action":"skip","Package":"p","Test":"TestS/part"}
{"Action":"pass","Package":"p","Test":"TestS"}
{"Action":"output","Package":"p","Test":"TestChild","Output":"    x_test.go:9: the process that TestCrash kills\n"}
{"Action":"skip","Package":"p","Test":"TestChild"}
{"Action":"pass","Package":"p","Elapsed":2}
`

func TestVerdict(t *testing.T) {
	broken := errors.New("exit status 1")
	tests := map[string]struct {
		events string
		strict bool
		runErr error
		want   string // part of the error; empty for none
		prints string
	}{
		"passes":             {events: passing, strict: true, prints: "skipped: p TestS/part: lacks: a promise"},
		"nothing has run":    {events: `{"Action":"skip","Package":"p"}`, want: "not one test"},
		"a run that breaks":  {events: passing, runErr: broken, want: "exit status 1"},
		"a line of no event": {events: "go: no such module\n" + passing, prints: "no such module"},
		"a suite that was skipped": {
			events: passing + `{"Action":"output","Package":"q","Test":"TestSuite","Output":"    x_test.go:3: no server\n"}` + "\n" +
				`{"Action":"skip","Package":"q","Test":"TestSuite"}`,
			strict: true, want: "must run and was skipped: q TestSuite", prints: "no server",
		},
		"the same outside CI": {events: passing + `{"Action":"skip","Package":"q","Test":"TestSuite"}`},
		"a failing test": {
			events: passing + `{"Action":"output","Package":"q","Test":"TestB","Output":"the reason\n"}` + "\n" +
				`{"Action":"fail","Package":"q","Test":"TestB"}` + "\n" + `{"Action":"fail","Package":"q"}`,
			runErr: broken, want: "q", prints: "the reason",
		},
		"a test that a crash cut off": {
			events: passing + `{"Action":"output","Package":"q","Test":"TestB","Output":"panic: x\n"}` + "\n" + `{"Action":"fail","Package":"q"}`,
			runErr: broken, want: "q", prints: "panic: x",
		},
		"a package that does not build": {
			events: `{"Action":"build-output","Output":"undefined: x\n"}` + "\n" + `{"Action":"fail","Package":"q"}`,
			runErr: broken, want: "q", prints: "undefined: x",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			r := newResults(&out)
			if err := r.read(strings.NewReader(test.events)); err != nil {
				t.Fatal(err)
			}
			r.summarize()
			err := r.verdict(test.strict, test.runErr)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("verdict %v, want %q", err, test.want)
			}
			if !strings.Contains(out.String(), test.prints) || strings.Contains(out.String(), "chatter") {
				t.Errorf("printed %q, want %q in it, and nothing of tests that passed", out.String(), test.prints)
			}
		})
	}
}

func TestAFailedStepFailsTheRunAndStopsNothing(t *testing.T) {
	var out strings.Builder
	ran := 0
	fails := func(context.Context, *checker) error { ran++; return errors.New("broken") }
	holds := func(context.Context, *checker) error { ran++; return nil }
	c := &checker{out: &out}
	if c.run(t.Context(), []step{{"a", "", fails}, {"b", "", holds}}) || ran != 2 {
		t.Errorf("%d steps ran, %s", ran, out.String())
	}
	if !strings.Contains(out.String(), "FAILED: broken") {
		t.Errorf("the table says %s", out.String())
	}
	c.out = io.Discard
	if !c.run(t.Context(), []step{{"b", "", holds}}) {
		t.Error("a run whose steps hold must hold")
	}
}

func TestChoose(t *testing.T) {
	if s, err := choose(nil); err != nil || len(s) != len(steps) {
		t.Errorf("%d steps, %v; all by default", len(s), err)
	}
	if s, err := choose([]string{"vet", "format"}); err != nil || len(s) != 2 || s[0].name != "format" {
		t.Errorf("%v, %v; want format and vet, in this order", s, err)
	}
	if _, err := choose([]string{"vett"}); err == nil {
		t.Error("an unknown step must be refused")
	}
}
