package servers

import (
	"context"
	"crypto/tls"
	"net"
	"path/filepath"
	"strconv"
	"time"
)

// Memcached is a cache server. It forgets everything when it ends.
type Memcached struct {
	// Unix listens at a unix socket in the server's directory, not at a port.
	Unix bool
	// TLS is how to speak to it when Args make it speak TLS (-Z); ServerName
	// must be set.
	TLS *tls.Config
	// Args are more arguments, such as -I 2m.
	Args []string
}

func (m Memcached) plan(_ context.Context, at place) (*launch, error) {
	program, err := find("memcached", "memcached", "memcached")
	if err != nil {
		return nil, err
	}
	l := &launch{
		name: "memcached", prefix: "memcached://", deadline: 30 * time.Second,
		address: net.JoinHostPort(at.host, strconv.Itoa(at.port)),
		command: []string{program, "-l", at.host, "-p", strconv.Itoa(at.port)},
		greet:   says("version", "VERSION "),
	}
	if m.Unix {
		l.address = filepath.Join(at.dir, "socket")
		l.command = []string{program, "-s", l.address}
	}
	if m.TLS != nil {
		l.greet = throughTLS(m.TLS, l.greet)
	}
	l.command = append(l.command, asRoot("-u", "root")...)
	l.command = append(l.command, m.Args...)
	return l, nil
}
