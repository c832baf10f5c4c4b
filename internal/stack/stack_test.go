package stack_test

import (
	"testing"
	"unsafe"

	"github.com/fourfold-dev/fourfold/internal/stack"
)

// deep uses so many frames of 256 bytes.
//
//go:noinline
func deep(frames int) byte {
	var frame [256]byte
	frame[frames%len(frame)] = 1
	if frames == 0 {
		return frame[0]
	}
	return deep(frames-1) + frame[1]
}

// moves reports whether the stack of a new goroutine moves when it goes deep.
func moves(begin func()) bool {
	moved := make(chan bool)
	go func() {
		begin()
		var here byte
		before := uintptr(unsafe.Pointer(&here))
		deep(30)
		moved <- uintptr(unsafe.Pointer(&here)) != before
	}()
	return <-moved
}

func TestAGrownStackDoesNotMove(t *testing.T) {
	if !moves(func() {}) {
		t.Skip("this runtime begins with a stack that is large enough: Grow is of no use")
	}
	if moves(stack.Grow) {
		t.Error("the stack moved after Grow")
	}
}
