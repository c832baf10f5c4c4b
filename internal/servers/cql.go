package servers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// keyspace is what a URL of ours names.
const keyspace = "fourfold"

// What is needed of the native protocol, version 4, to tell whether a node
// works. The clients of the drivers do not serve: they keep what they learn of
// a cluster, and connect again by themselves.
const (
	opError        = 0x00
	opStartup      = 0x01
	opReady        = 0x02
	opAuthenticate = 0x03
	opQuery        = 0x07
	opResult       = 0x08

	consistencyOne = 0x0001
	consistencyAll = 0x0005
)

// inSession returns a greeting that begins a session, which a node takes when it
// has joined, and has words in it, unless the node wants a password first.
func inSession(words ...func(io.ReadWriter) error) func(io.ReadWriter) error {
	return func(conn io.ReadWriter) error {
		body := binary.BigEndian.AppendUint16(nil, 1)
		body = appendString(appendString(body, "CQL_VERSION"), "3.0.0")
		op, err := ask(conn, opStartup, body)
		if err != nil || op == opAuthenticate {
			return err
		}
		if op != opReady {
			return fmt.Errorf("it answers STARTUP with opcode %#x", op)
		}
		for _, word := range words {
			if err := word(conn); err != nil {
				return err
			}
		}
		return nil
	}
}

// createKeyspace makes the keyspace that URLs of ours name, where there is none.
func createKeyspace(replicas int) func(io.ReadWriter) error {
	return func(conn io.ReadWriter) error {
		return query(conn, consistencyOne, fmt.Sprintf(
			"CREATE KEYSPACE IF NOT EXISTS %s WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': %d}", keyspace, replicas))
	}
}

// seesAll holds when the node reaches every other: of this table each range
// lies on two nodes, and all of them must answer.
func seesAll(conn io.ReadWriter) error {
	return query(conn, consistencyAll, "SELECT session_id FROM system_traces.sessions")
}

func query(conn io.ReadWriter, consistency uint16, text string) error {
	body := binary.BigEndian.AppendUint32(nil, uint32(len(text)))
	body = append(body, text...)
	body = binary.BigEndian.AppendUint16(body, consistency)
	op, err := ask(conn, opQuery, append(body, 0))
	if err == nil && op != opResult {
		err = fmt.Errorf("it answers a query with opcode %#x", op)
	}
	return err
}

// ask sends a frame and reads the answer to it. An error that the node answers
// is an error.
func ask(conn io.ReadWriter, op byte, body []byte) (byte, error) {
	frame := []byte{4, 0, 0, 0, op}
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(body)))
	if _, err := conn.Write(append(frame, body...)); err != nil {
		return 0, err
	}
	var head [9]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return 0, err
	}
	const most = 1 << 20
	size := binary.BigEndian.Uint32(head[5:])
	if head[0] != 0x84 || size > most {
		return 0, errors.New("it does not speak version 4 of Cassandra's protocol")
	}
	answer := make([]byte, size)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return 0, err
	}
	if head[4] == opError {
		return 0, fmt.Errorf("it answers with an error: %s", message(answer))
	}
	return head[4], nil
}

// message picks the text out of an ERROR frame: a code, a length, the text.
func message(answer []byte) []byte {
	if len(answer) < 6 {
		return nil
	}
	n := int(binary.BigEndian.Uint16(answer[4:]))
	return answer[6:min(6+n, len(answer))]
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}
