package servers

import "syscall"

// dieWithUs gives a child a process group of its own, so that a Ctrl-C at the
// terminal reaches only us, who end it in order; and lets the kernel kill it
// when we die without having done so.
func dieWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
