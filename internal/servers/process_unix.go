//go:build unix && !linux

package servers

import "syscall"

// dieWithUs gives a child a process group of its own, so that a Ctrl-C at the
// terminal reaches only us, who end it in order.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
