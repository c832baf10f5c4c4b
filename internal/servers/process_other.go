//go:build !unix

package servers

import (
	"errors"
	"os"
	"syscall"
)

func dieWithUs() *syscall.SysProcAttr { return nil }

// There is no way to pause a process here, and asking fails.
var (
	pauseSignal     = os.Interrupt
	resumeSignal    = os.Interrupt
	terminateSignal = os.Kill
)

// lock never says that a directory is free to be removed.
func lock(*os.File) error { return errors.ErrUnsupported }
