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
	"syscall"
	"time"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// errWrong: the stores hold something else than the input implies.
var errWrong = errors.New("the stores do not hold what the input implies")

// run is the program: it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	f, err := parseFlags(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	if err == nil {
		err = perform(ctx, f, stdout, newProgress(stderr))
	}
	var stopped *errStopped
	switch {
	case err == nil:
		return 0
	case errors.As(err, &stopped):
		fmt.Fprintf(stderr, "checkin: %v\n", stopped)
		return 130
	}
	fmt.Fprintf(stderr, "checkin: %v\n", err)
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

// errStopped is what a run that was stopped ends with.
type errStopped struct {
	put, all int
	again    string // the command that continues; empty when nothing is kept
}

func (e *errStopped) Error() string {
	text := fmt.Sprintf("stopped after %s of %s check-ins", comma(e.put), comma(e.all))
	if e.again == "" {
		return text + "; nothing is kept without -dir"
	}
	return text + "; all that was accepted is kept. To continue: " + e.again
}

// perform plays the game that the flags ask for and shows it.
func perform(ctx context.Context, f flags, out io.Writer, show *progress) error {
	started := time.Now()
	defer show.clear()
	input, err := f.town(show)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	dir, remove, err := f.directory()
	if err != nil {
		return err
	}
	defer remove()
	watch := newWatcher(input.Stretch)
	game, err := open(ctx, f.stores(dir), input, f.options(watch, show.out))
	if err != nil {
		return opening(err, dir)
	}
	defer game.layer.Close()

	feed := &feed{game: game, town: input, watch: watch, show: show}
	if err := feed.play(ctx); err != nil {
		if ctx.Err() != nil {
			return f.stopped(feed)
		}
		return err
	}
	return f.report(ctx, feed, out, started)
}

// report shows what came of it, and holds the stores to the input.
func (f flags) report(ctx context.Context, feed *feed, out io.Writer, started time.Time) error {
	stored, err := feed.game.readBack(ctx, feed.town, func(text string) { feed.show.say("%s", text) })
	if err != nil {
		if ctx.Err() != nil {
			return f.stopped(feed)
		}
		return err
	}
	feed.show.say("computing what the input implies")
	implied := impliedBooks(feed.town, feed.game.friends)
	feed.show.clear()
	scene := &scene{game: feed.game, town: feed.town, out: out}
	if err := scene.show(ctx); err != nil {
		return err
	}
	feed.watch.table(out)
	right := showBooks(out, compare(stored, implied)) && scene.right
	seconds := time.Since(started).Seconds()
	feed.summary(out, seconds)
	if f.json {
		if err := printJSON(out, stored, feed.town, seconds); err != nil {
			return err
		}
	}
	if !right {
		return errWrong
	}
	return nil
}

func (f flags) stopped(feed *feed) error {
	e := &errStopped{put: int(feed.before.Load() + feed.put.Load()), all: len(feed.town.Events)}
	if f.dir != "" {
		e.again = f.again()
	}
	return e
}

// town reads or makes the input.
func (f flags) town(show *progress) (*town.Town, error) {
	if f.events == "" {
		return town.Generate(town.Default), nil
	}
	show.say("reading %s", f.events)
	t, err := town.Load(town.Files{Events: f.events, Friends: f.friends, Venues: f.venues})
	if err != nil {
		return nil, err
	}
	show.clear()
	showRejects(show.out, t.Rejects)
	return t, nil
}

// directory is where the data goes, and how it is removed if it is not kept.
func (f flags) directory() (dir string, remove func(), err error) {
	if f.dir != "" {
		return f.dir, func() {}, nil
	}
	dir, err = os.MkdirTemp("", "checkin-")
	return dir, func() { os.RemoveAll(dir) }, err
}

// opening explains why the stores cannot be opened.
func opening(err error, dir string) error {
	if errors.Is(err, fault.ErrConflict) || errors.Is(err, fault.ErrBusy) {
		return fmt.Errorf("%s is in use: %w", dir, err)
	}
	return err
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
