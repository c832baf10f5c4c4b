package servers

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// greet dials the server and has a word with it.
func (s *Server) greet(ctx context.Context, word func(io.ReadWriter) error) error {
	network := "tcp"
	if strings.HasPrefix(s.launch.address, "/") {
		network = "unix"
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, s.launch.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	return word(conn)
}

// throughTLS has a word by TLS.
func throughTLS(config *tls.Config, word func(io.ReadWriter) error) func(io.ReadWriter) error {
	return func(conn io.ReadWriter) error { return word(tls.Client(conn.(net.Conn), config)) }
}

// says returns a greeting for servers that answer a line with a line.
func says(ask, answer string) func(io.ReadWriter) error {
	return func(conn io.ReadWriter) error {
		if _, err := io.WriteString(conn, ask+"\r\n"); err != nil {
			return err
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil && !strings.HasPrefix(line, answer) {
			err = fmt.Errorf("it answers %q", line)
		}
		return err
	}
}

// greetMySQL reads the packet by which a server begins a connection. It comes
// when the server takes connections, which is after its start-up statements.
func greetMySQL(conn io.ReadWriter) error {
	var head [5]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	if head[4] != 10 { // the version of the protocol, or 255 for an error
		return errors.New("it does not begin with the greeting of MySQL's protocol")
	}
	return nil
}
