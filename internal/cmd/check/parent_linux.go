package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// A SIGTERM for "go run" ends go and not the program that it runs, which would
// go on, with its servers, and nobody to end it. So the kernel is asked to pass
// the parent's end on, which it does for each of the parent's threads that we are
// handed to while it ends. This side of it is kept by thread too, and this runs
// on the main one, which stays to the end.
func init() {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", os.Getppid()))
	if err == nil && strings.TrimSpace(string(name)) == "go" {
		_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGTERM), 0)
	}
}
