package servers

import (
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
)

// A canned connection takes what it is sent, and answers what it has.
type canned struct {
	io.Reader
	sent bytes.Buffer
}

func (c *canned) Write(b []byte) (int, error) { return c.sent.Write(b) }

func frame(op byte, body string) string {
	head := binary.BigEndian.AppendUint32([]byte{0x84, 0, 0, 0, op}, uint32(len(body)))
	return string(head) + body
}

func TestANodeIsBelievedByItsAnswers(t *testing.T) {
	refusal := string(appendString([]byte{0, 0, 0x10, 0}, "not all nodes are alive"))
	tests := map[string]struct{ answers, want string }{
		"takes a session and a query": {frame(opReady, "") + frame(opResult, "x"), ""},
		"wants a password":            {frame(opAuthenticate, ""), ""},
		"refuses the query":           {frame(opReady, "") + frame(opError, refusal), "not all nodes are alive"},
		"refuses without a text":      {frame(opReady, "") + frame(opError, "\x00"), "error"},
		"answers something else":      {frame(opResult, ""), "STARTUP"},
		"speaks another protocol":     {"HTTP/1.1 400 Bad Request", "version 4"},
		"goes away":                   {frame(opReady, ""), "EOF"},
		"announces a gigabyte":        {"\x84\x00\x00\x00\x02\xff\xff\xff\xff", "version 4"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			conn := &canned{Reader: strings.NewReader(test.answers)}
			err := inSession(createKeyspace(3))(conn)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
			if name == "takes a session and a query" && !strings.Contains(conn.sent.String(), "'datacenter1': 3") {
				t.Errorf("sent %q", conn.sent.String())
			}
		})
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(frame(opReady, "") + frame(opResult, "x")))
	f.Add([]byte(frame(opError, "\x00\x00\x00\x00\x00\x05hello")))
	f.Fuzz(func(t *testing.T, answers []byte) {
		conn := &canned{Reader: bytes.NewReader(answers)}
		if err := inSession(seesAll)(conn); err == nil && (len(answers) < 9 || answers[0] != 0x84) {
			t.Error("whatever a server answers, only frames of the protocol make it one that works")
		}
	})
}
