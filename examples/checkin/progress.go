package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// A progress tells a person what is going on: on a terminal in one line that
// is written over, elsewhere in a line now and then.
type progress struct {
	out      io.Writer
	terminal bool

	mu    sync.Mutex
	shown time.Time
	open  bool // the terminal's line is not ended
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// How often a line is shown.
const (
	terminalEvery = 200 * time.Millisecond
	logEvery      = 10 * time.Second
)

// say shows a line, unless the last one is too recent.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	every := logEvery
	if p.terminal {
		every = terminalEvery
	}
	if p.shown.IsZero() && !p.terminal {
		p.shown = time.Now() // what takes less than logEvery needs no line
	}
	if time.Since(p.shown) < every {
		return
	}
	p.shown = time.Now()
	text := "checkin: " + fmt.Sprintf(format, args...)
	if !p.terminal {
		fmt.Fprintln(p.out, text)
		return
	}
	p.open = true
	fmt.Fprintf(p.out, "\r\x1b[K%s", text)
}

// note shows a line whatever the time, on a line of its own.
func (p *progress) note(format string, args ...any) {
	p.clear()
	fmt.Fprintf(p.out, "checkin: "+format+"\n", args...)
}

// clear takes the line off the terminal.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.open = false
	}
}
