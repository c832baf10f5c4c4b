//go:build unix

package main

import (
	"os/exec"
	"syscall"
	"time"
)

// interruptTogether puts a program into a process group of its own, which is
// interrupted as one, and killed when it does not heed that.
func interruptTogether(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		group := -cmd.Process.Pid
		time.AfterFunc(cmd.WaitDelay*9/10, func() { _ = syscall.Kill(group, syscall.SIGKILL) })
		return syscall.Kill(group, syscall.SIGINT)
	}
}
