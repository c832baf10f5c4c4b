package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/fourfold-dev/fourfold/examples/internal/console"
	"github.com/fourfold-dev/fourfold/persistence"
)

// errWrong: the stores hold something else than the input implies.
var errWrong = errors.New("the stores do not hold what the input implies")

// A program is one run of it.
type program struct {
	flags
	out       io.Writer
	show      *console.Progress
	listening func(address string) // told where; nil: nobody asks
	ready     func()               // waited for before the stream begins; nil: at once
}

// run is the program: it returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	f, err := parseFlags(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		context.AfterFunc(ctx, stop)   // a second Ctrl-C ends the program at once
		signal.Ignore(syscall.SIGPIPE) // who reads only the head of what is shown still has the rest tidied up
		p := &program{flags: f, out: stdout, show: console.NewProgress("mentions", stderr)}
		err = p.run(ctx)
		p.show.Clear()
	}
	return status(stderr, err)
}

// status says what went wrong, and returns the exit status for it.
func status(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "mentions: %v\n", err)
	switch {
	case errors.As(err, new(*errStopped)):
		return 130
	case errors.As(err, new(faulty)):
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
	text := fmt.Sprintf("stopped after %s of %s rows", console.Comma(e.put), console.Comma(e.all))
	if e.again == "" {
		return text + "; nothing is kept without -dir or servers"
	}
	return text + "; all that was accepted is kept. To continue: " + e.again
}

// run follows the stream that the flags ask for, and holds the stores to it.
func (p *program) run(ctx context.Context) error {
	started := time.Now()
	stream, err := p.stream()
	if err != nil {
		return faulty{err}
	}
	dir, remove, err := p.Directory("mentions")
	if err != nil {
		return err
	}
	defer remove()
	feed := newFeed(stream, p.show, p.rate)
	// Opening is over in a moment, and is not left half done.
	monitor, err := open(context.WithoutCancel(ctx), p.Stores(dir), p.options(feed))
	if err != nil {
		told, wrong := p.Explain(err)
		if wrong {
			return faulty{told}
		}
		return told
	}
	defer monitor.layer.Close()
	feed.monitor = monitor
	stop, err := p.serve(ctx, monitor)
	if err != nil {
		return err
	}
	if p.ready != nil {
		p.ready()
	}
	if err = feed.play(ctx); err == nil {
		err = p.report(ctx, feed, started)
	}
	if err != nil && ctx.Err() != nil {
		e := &errStopped{put: feed.held + int(feed.put.Load()), all: len(stream.rows)}
		if p.Kept() {
			e.again = p.again()
		}
		return errors.Join(e, stop())
	}
	if err == nil && p.listen != "" {
		p.show.Note("all is done, and shown until Ctrl-C")
		<-ctx.Done()
	}
	return errors.Join(err, stop())
}

// stream reads or makes the input.
func (p *program) stream() (*stream, error) {
	if p.mentions == "" {
		return generate(madeTweets), nil
	}
	p.show.Say("reading %s", p.mentions)
	s, err := load(p.mentions)
	if err != nil {
		return nil, err
	}
	if s.bad > 0 {
		p.show.Note("%s of %s cannot be read and are left out:", console.Count(s.bad, "row", "rows"), p.mentions)
		for _, line := range s.rejects {
			fmt.Fprintf(p.show.Out, "  %s\n", line)
		}
		if more := s.bad - len(s.rejects); more > 0 {
			fmt.Fprintf(p.show.Out, "  and %s more\n", console.Comma(more))
		}
	}
	return s, nil
}

// options are the defaults, with the feed as observer. A replay has more in
// flight at a time: what is in flight together is written together.
func (p *program) options(f *feed) *persistence.Options {
	opts := &persistence.Options{
		Namespace: p.namespace, Observer: f,
		Logger: slog.New(slog.NewTextHandler(p.show.Out, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if p.rate == 0 {
		opts.Workers, opts.RealTimeWorkers = 256, 256
	}
	return opts
}

// serve serves watchers, if the flags ask for it, until stop.
func (p *program) serve(ctx context.Context, m *monitor) (stop func() error, err error) {
	if p.listen == "" {
		return func() error { return nil }, nil
	}
	address, stop, err := m.listen(ctx, p.listen)
	if err != nil {
		return nil, faulty{err}
	}
	p.show.Note("watch at http://%s/", address)
	if p.listening != nil {
		p.listening(address)
	}
	return stop, nil
}

// report shows what came of it, and holds the stores to the input.
func (p *program) report(ctx context.Context, f *feed, started time.Time) error {
	stored, err := f.monitor.readBack(ctx, p.show)
	if err != nil {
		return err
	}
	p.show.Clear()
	if err := f.monitor.showEntities(ctx, p.out); err != nil {
		return err
	}
	right := compare(p.out, stored, f.stream.implied())
	seconds := time.Since(started).Seconds()
	if put := f.put.Load(); put == 0 {
		fmt.Fprintf(p.out, "\nNothing was left to do; read back in %.1f s\n", seconds)
	} else {
		fmt.Fprintf(p.out, "\n%s rows put and all their tasks done, and read back, in %.1f s\n", console.Comma(put), seconds)
	}
	if p.json {
		if err := stored.printJSON(p.out, seconds, f.stream.bad); err != nil {
			return err
		}
	}
	if !right {
		return errWrong
	}
	return nil
}

// shown is how many entities a person is shown.
const shown = 5

// showEntities prints the entities that are mentioned most.
func (m *monitor) showEntities(ctx context.Context, out io.Writer) error {
	states, err := m.entities(ctx, shown)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "The most mentioned (counts: amorphous; latest: volatile; alerts: transactional)")
	for _, s := range states {
		fmt.Fprintf(out, "  %-24s %9s  latest %s  alerts at %v a minute\n",
			s.Entity, console.Comma(s.Mentions), s.Latest.UTC().Format("2006-01-02 15:04:05"), s.Alerts)
	}
	return nil
}
