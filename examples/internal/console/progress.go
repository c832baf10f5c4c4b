// Package console is what the example programs show a person while they work.
package console

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// A Progress tells a person what is going on: on a terminal in one line that
// is written over, elsewhere in a line now and then. It is safe for concurrent
// use.
type Progress struct {
	Out      io.Writer // never nil; not closed
	name     string
	terminal bool

	mu    sync.Mutex
	shown time.Time
	open  bool // the terminal's line is not ended
}

// NewProgress returns the progress of a program, whose name begins each line.
func NewProgress(name string, out io.Writer) *Progress {
	p := &Progress{Out: out, name: name + ": "}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// How often a line is shown.
const (
	TerminalEvery = 200 * time.Millisecond
	LogEvery      = 2 * time.Second
)

// Say shows a line, unless the last one is too recent.
func (p *Progress) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	every := LogEvery
	if p.terminal {
		every = TerminalEvery
	}
	if p.shown.IsZero() && !p.terminal {
		p.shown = time.Now() // what takes less than LogEvery needs no line
	}
	if time.Since(p.shown) < every {
		return
	}
	p.shown = time.Now()
	text := p.name + fmt.Sprintf(format, args...)
	if !p.terminal {
		fmt.Fprintln(p.Out, text)
		return
	}
	p.open = true
	fmt.Fprintf(p.Out, "\r\x1b[K%s", text)
}

// Note shows a line whatever the time, on a line of its own.
func (p *Progress) Note(format string, args ...any) {
	p.Clear()
	fmt.Fprintf(p.Out, p.name+format+"\n", args...)
}

// Clear takes the line off the terminal.
func (p *Progress) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		fmt.Fprint(p.Out, "\r\x1b[K")
		p.open = false
	}
}
