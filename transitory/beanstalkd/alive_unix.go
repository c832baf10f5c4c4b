//go:build unix

package beanstalkd

import (
	"net"
	"syscall"
)

// alive looks whether an idle connection is still open, and has nothing to say:
// a server does not speak unless it is asked. A connection that cannot be
// looked at (TLS) counts as alive.
func alive(conn net.Conn) bool {
	sys, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return false
	}
	open := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	})
	return err == nil && open
}
