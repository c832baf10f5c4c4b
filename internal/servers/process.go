package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// A process is a child that runs until it is ended, by itself or by its pid.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when the process is gone
}

// begin starts a program whose output goes to a file: a pipe would have to be
// drained, and would end with us.
func begin(command []string, log string) (*process, error) {
	output, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.Env = environment()
	cmd.SysProcAttr = dieWithUs()
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux tells a child of its parent's death when the thread ends that
		// started it, so that thread has to stay as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// environment is ours without what would change how a server runs.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH", "MYSQL_HOME", "MYSQL_TCP_PORT", "MYSQL_UNIX_PORT":
		default:
			env = append(env, v)
		}
	}
	return env
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// state is how the process ended.
func (p *process) state() fmt.Stringer {
	<-p.done
	return p.cmd.ProcessState
}

// kill also ends a process that is paused.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // an error says that it is gone already
	<-p.done
}

// terminate asks the process to end. When ctx ends first it goes on.
func (p *process) terminate(ctx context.Context) error {
	_ = p.cmd.Process.Signal(terminateSignal)
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *process) tail() string { return tail(p.log) }

// tail reads the last 8 KiB of a file.
func tail(path string) string {
	const most = 8 << 10
	f, err := os.Open(path)
	if err != nil {
		return "(nothing)"
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, 2)
	}
	text := make([]byte, most)
	n, _ := f.Read(text)
	if n == 0 {
		return "(nothing)"
	}
	return strings.TrimSpace(string(text[:n]))
}
