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
	"runtime/debug"
	"syscall"
	"time"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
	"github.com/fourfold-dev/fourfold/examples/internal/console"
)

// errWrong: the stores hold something else than the input implies.
var errWrong = errors.New("the stores do not hold what the input implies")

// A program is one run of it.
type program struct {
	flags
	out  io.Writer
	show *console.Progress
	// observe chooses who is told of what the layer does; nil: the watcher.
	observe func(*watcher) any
	lease   time.Duration // zero: the layer's default
}

// run is the program: it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	f, err := parseFlags(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return status(stderr, err)
	}
	p := &program{flags: f, out: stdout, show: console.NewProgress("checkin", stderr)}
	return status(stderr, p.run())
}

// status says what went wrong, and returns the exit status for it.
func status(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "checkin: %v\n", err)
	var stopped *errStopped
	switch {
	case errors.As(err, &stopped):
		return 130
	case errors.As(err, new(faulty)):
		return 2
	}
	return 1
}

// collect is the garbage that a replay lets grow beside what it holds, in percent:
// the check-ins of a whole file, and their friends, are a hundred megabytes.
const collect = 50

// run plays until all is done, or until Ctrl-C.
func (p *program) run() error {
	if p.events != "" && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collect)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)   // a second Ctrl-C ends the program at once
	signal.Ignore(syscall.SIGPIPE) // who reads only the head of what is shown still has the rest tidied up
	defer p.show.Clear()
	return p.perform(ctx)
}

// errStopped is what a run that was stopped ends with.
type errStopped struct {
	put, all int
	again    string // the command that continues; empty when nothing is kept
}

func (e *errStopped) Error() string {
	text := fmt.Sprintf("stopped after %s of %s check-ins", console.Comma(e.put), console.Comma(e.all))
	if e.again == "" {
		return text + "; nothing is kept without -dir or servers"
	}
	return text + "; all that was accepted is kept. To continue: " + e.again
}

// perform plays the game that the flags ask for and shows it.
func (p *program) perform(ctx context.Context) error {
	started := time.Now()
	input, err := p.town()
	if err != nil {
		return faulty{err}
	}
	dir, remove, err := p.Directory("checkin")
	if err != nil {
		return err
	}
	defer remove()
	watch := newWatcher(input.Stretch)
	// Opening is over in a moment, and is not left half done.
	game, err := open(context.WithoutCancel(ctx), p.Stores(dir), input, p.options(watch))
	if err != nil {
		told, wrong := p.Explain(err)
		if wrong {
			return faulty{told}
		}
		return told
	}
	defer game.layer.Close()
	if p.work {
		return p.workOff(ctx, game, watch, input)
	}
	feed := &feed{game: game, town: input, watch: watch, show: p.show, putOnly: p.put}
	if err = feed.play(ctx); err == nil {
		err = p.report(ctx, feed, started)
	}
	if err != nil && ctx.Err() != nil {
		return p.stopped(feed)
	}
	return err
}

// report shows what came of it, and holds the stores to the input.
func (p *program) report(ctx context.Context, feed *feed, started time.Time) error {
	stored, err := feed.game.readBack(ctx, feed.town, p.show)
	if err != nil {
		return err
	}
	p.show.Say("computing what the input implies")
	implied := impliedBooks(feed.town)
	p.show.Clear()
	scene := &scene{game: feed.game, town: feed.town, out: p.out}
	if err := scene.show(ctx); err != nil {
		return err
	}
	feed.watch.table(p.out)
	right := showBooks(p.out, compare(stored, implied)) && scene.right
	seconds := time.Since(started).Seconds()
	feed.summary(p.out, seconds)
	if p.json {
		if err := printJSON(p.out, stored, feed.town, seconds); err != nil {
			return err
		}
	}
	if !right {
		return errWrong
	}
	return nil
}

func (p *program) stopped(feed *feed) error {
	e := &errStopped{put: int(feed.before.Load() + feed.put.Load()), all: len(feed.town.Events)}
	if p.Kept() {
		e.again = p.again()
	}
	return e
}

// town reads or makes the input.
func (p *program) town() (*town.Town, error) {
	if p.events == "" {
		return town.Generate(town.Default), nil
	}
	p.show.Say("reading %s", p.events)
	t, err := town.Load(town.Files{Events: p.events, Friends: p.friends, Venues: p.venues})
	if err != nil {
		return nil, err
	}
	p.show.Clear()
	showRejects(p.show.Out, t.Rejects)
	return t, nil
}

func printJSON(out io.Writer, b *books, t *town.Town, seconds float64) error {
	line, err := json.Marshal(struct {
		Checkins      int64   `json:"checkins"`
		Notifications int64   `json:"notifications"`
		MaxFanout     int64   `json:"max_fanout"`
		Activity      int64   `json:"activity"`
		Visits        int64   `json:"visits"`
		Players       int64   `json:"players"`
		Points        int64   `json:"points"`
		Badges        int64   `json:"badges"`
		Mayors        int64   `json:"mayors"`
		BadRows       int     `json:"bad_rows"`
		Seconds       float64 `json:"seconds"`
	}{
		b.checkins.rows, b.notifications.rows, b.maxFanout, b.activity.rows, b.visits.rows, b.players.rows,
		b.points, b.awards.rows, b.venues.rows, t.Rejects.Count, float64(int(seconds*1000)) / 1000,
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, string(line))
	return err
}
