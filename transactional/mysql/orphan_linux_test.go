package mysql_test

import (
	"os/exec"
	"syscall"
)

// dieWithUs has the kernel end a server when the thread that started it is
// gone: a test that panics stops nothing by itself.
func dieWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
