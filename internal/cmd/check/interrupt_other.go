//go:build !unix

package main

import "os/exec"

// interruptTogether leaves it at what exec does: the program alone is killed.
func interruptTogether(*exec.Cmd) {}
