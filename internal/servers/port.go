package servers

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
)

var errPortTaken = errors.New("somebody else has taken its port")

// freePort returns a port that nobody listens at, on any of the hosts.
//
// It lies below the ports that the kernel gives to outgoing connections. A
// client that redials a killed server's port from that range can be given the
// very same port as its own, and is then connected with itself, which looks
// like a server that echoes, and keeps the real one from coming back.
func freePort(hosts ...string) (int, error) {
	const lowest = 20000
	highest := ephemeral()
	if highest < lowest+1000 {
		highest = 65535
	}
	var last error
	for range 100 {
		port := lowest + rand.IntN(highest-lowest)
		if last = free(port, hosts); last == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("servers: there is no free port on %v: %w", hosts, last)
}

func free(port int, hosts []string) error {
	for _, host := range hosts {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return err
		}
		l.Close()
	}
	return nil
}

// ephemeral is the first port that the kernel gives to outgoing connections.
func ephemeral() int {
	text, _ := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if fields := bytes.Fields(text); len(fields) == 2 {
		if n, err := strconv.Atoi(string(fields[0])); err == nil {
			return n
		}
	}
	return 32768
}
