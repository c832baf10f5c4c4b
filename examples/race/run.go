package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/fourfold-dev/fourfold/persistence/persistencetest"
)

// run is the program: it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	f, err := parseFlags(args, stdout)
	if err == nil {
		err = perform(ctx, f, stdout, stderr)
	}
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(stderr, "race:", err)
	if errors.As(err, new(faulty)) {
		return 2
	}
	return 1
}

func perform(ctx context.Context, f flags, stdout, stderr io.Writer) error {
	s := f.servers
	if !s.given() {
		fmt.Fprintln(stderr, "starting the four servers")
		started, stop, err := startServers(ctx, f.kinds(), stderr)
		switch {
		case err == nil:
			defer stop()
			s = started
		case lacks(err) && !f.serve:
			fmt.Fprintln(stderr, "no servers, so only Fourfold runs, in process:", strings.ReplaceAll(err.Error(), "\n", "; "))
		default:
			return err
		}
	}
	if f.serve {
		fmt.Fprintln(stdout, s.command())
		<-ctx.Done()
		return nil
	}
	dir, err := os.MkdirTemp("", "race-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := &race{flags: f, servers: s}
	if f.curve {
		r.faults = persistencetest.NewFaults()
	}
	if err := r.open(ctx, dir); err != nil {
		return errors.Join(err, r.close())
	}
	return errors.Join(r.perform(ctx, stdout, stderr), r.close())
}

// perform measures what the flags ask for, and prints it.
func (r *race) perform(ctx context.Context, stdout, stderr io.Writer) error {
	switch {
	case r.curve:
		c, err := declareCurve(ctx, r)
		if err != nil {
			return err
		}
		return c.draw(ctx, stdout, stderr)
	case r.openRate > 0:
		return r.openLoop(ctx, stdout)
	case r.grown > 0:
		return r.grow(ctx, stdout, stderr)
	}
	run := slices.DeleteFunc(entrants(), func(e entrant) bool {
		return !slices.Contains(r.modes, e.name) || !r.servers.given() && r.system.kind(e.name) == nil
	})
	var all []result
	err := r.contest(ctx, run, func(res result) {
		all = append(all, res)
		if r.json {
			_ = json.NewEncoder(stdout).Encode(res)
			return
		}
		fmt.Fprintf(stderr, "%-15s %4d callers, round %d: %6.0f a second\n", res.Entrant, res.Callers, res.Round+1, res.Rate)
	})
	if !r.json {
		printTables(stdout, all)
	}
	return err
}
