//go:build unix

package servers

import (
	"os"
	"syscall"
)

var (
	pauseSignal     os.Signal = syscall.SIGSTOP
	resumeSignal    os.Signal = syscall.SIGCONT
	terminateSignal os.Signal = syscall.SIGTERM
)

// lock takes a lock that ends with this process, or says that another has it.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
