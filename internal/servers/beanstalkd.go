package servers

import (
	"context"
	"net"
	"path/filepath"
	"strconv"
	"time"
)

// Beanstalkd is a queue server. Its log (-b) lies in its directory, so that it
// comes back with its jobs; it syncs it as it does by default, at most every
// 50 ms.
type Beanstalkd struct {
	// Unix listens at a unix socket in the server's directory, not at a port.
	Unix bool
	// NoLog runs it without a log: a restart forgets everything.
	NoLog bool
	// Args are more arguments, such as -f0 or -z1000.
	Args []string
}

func (b Beanstalkd) plan(_ context.Context, at place) (*launch, error) {
	program, err := find("beanstalkd", "beanstalkd", "beanstalkd")
	if err != nil {
		return nil, err
	}
	l := &launch{
		name: "beanstalkd", prefix: "beanstalkd://", deadline: 30 * time.Second,
		address: net.JoinHostPort(at.host, strconv.Itoa(at.port)),
		command: []string{program, "-l", at.host, "-p", strconv.Itoa(at.port)},
		greet:   says("stats", "OK "),
	}
	if b.Unix {
		l.address = filepath.Join(at.dir, "socket")
		l.command = []string{program, "-l", "unix:" + l.address}
	}
	if !b.NoLog {
		l.command = append(l.command, "-b", at.dir)
	}
	l.command = append(l.command, b.Args...)
	return l, nil
}
