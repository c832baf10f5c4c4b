package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// A grown holds a race against itself: on stores that are nearly empty, and beside
// a lot that is stored and waits, on the same servers and in turn, so that what
// else the machine does falls on both alike.
type grown struct {
	small, big     *race
	stdout, stderr io.Writer
	all            []result
}

// The sides of a lap, behind the name of its entrant.
const (
	sideBefore = " before" // nearly empty, and nothing is stored beside it either
	sideSmall  = " small"  // nearly empty, on servers that hold a lot for others
	sideGrown  = " grown"
)

// grow measures what it costs that much is stored.
func (r *race) grow(ctx context.Context, stdout, stderr io.Writer) (err error) {
	if !r.servers.given() {
		return errors.New("-grown fills the tables of servers, and there are none")
	}
	g := &grown{small: r, big: &race{flags: r.flags, servers: r.servers, namespace: "grown"}, stdout: stdout, stderr: stderr}
	if r.random {
		g.big.namespace = "grownrandom"
	}
	defer func() { err = errors.Join(err, g.big.close()) }()
	if err := g.big.open(ctx, ""); err != nil {
		return err
	}
	run := slices.DeleteFunc(entrants(), func(e entrant) bool {
		return !slices.Contains(r.modes, e.name) || r.system.kind(e.name) == nil
	})
	if err := g.laps(ctx, run, map[string]*race{sideBefore: r}); err != nil {
		return err
	}
	if err := g.fill(ctx, run); err != nil {
		return fmt.Errorf("to fill the stores: %w", err)
	}
	if err := g.laps(ctx, run, map[string]*race{sideSmall: r, sideGrown: g.big}); err != nil {
		return err
	}
	if !r.json {
		printTables(stdout, g.all)
		g.printRatios(run)
	}
	return nil
}

// laps runs every entrant on every side, and each round in the other order.
func (g *grown) laps(ctx context.Context, run []entrant, sides map[string]*race) error {
	names := slices.Sorted(maps.Keys(sides))
	for round := -g.small.warm; round < g.small.rounds; round++ {
		slices.Reverse(names)
		for _, e := range run {
			for _, side := range names {
				res, err := sides[side].lap(ctx, e, curveCallers, round)
				if err != nil {
					return fmt.Errorf("%s%s: %w", e.name, side, err)
				}
				res.Entrant += side
				if round < 0 {
					continue
				}
				g.all = append(g.all, res)
				if g.small.json {
					_ = json.NewEncoder(g.stdout).Encode(res)
					continue
				}
				fmt.Fprintf(g.stderr, "%-13s round %d: %6.0f a second\n", res.Entrant, round+1, res.Rate)
			}
		}
	}
	return nil
}

// printRatios prints what the medians of the grown side are to those beside it.
func (g *grown) printRatios(run []entrant) {
	keys := "ascending"
	if g.small.random {
		keys = "random"
	}
	rows := map[string]row{}
	for _, r := range rowsOf(g.all) {
		rows[r.Entrant] = r
	}
	for _, e := range run {
		big, small := rows[e.name+sideGrown], rows[e.name+sideSmall]
		fmt.Fprintf(g.stdout, "%s, %s keys, %d stored and %d waiting: %.2f of the rate", e.name, keys, g.small.grown, g.small.backlog, big.Rate/small.Rate)
		if e.idle {
			fmt.Fprintf(g.stdout, ", %.2f of that of the drain", big.Drain/small.Drain)
		}
		fmt.Fprintf(g.stdout, "; times the p50 %.2f", big.P50/small.P50)
		for _, process := range slices.Sorted(maps.Keys(big.CPU)) {
			if small.CPU[process] > 0 {
				fmt.Fprintf(g.stdout, ", the CPU %s %.2f", process, big.CPU[process]/small.CPU[process])
			}
		}
		fmt.Fprintln(g.stdout)
	}
}
