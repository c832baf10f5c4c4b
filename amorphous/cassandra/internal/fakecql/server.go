// Package fakecql is a server that speaks enough of Cassandra's protocol,
// version 4, to say what a healthy server will not say on demand: timeouts of
// every kind, overload, silence, a connection that breaks before the answer.
// It holds no data: writes are acknowledged and reads are empty.
package fakecql

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// An Answer is what the server says to a statement.
type Answer struct {
	Code    int    // of an error; zero with an empty Message: success
	Message string // of an error
	Extra   []byte // what follows the message in errors of this code
	Silent  bool   // no answer at all
	Hangup  bool   // the connection is closed instead of an answer
}

// A Server listens on a port of its own. Answers is asked once per statement
// that is executed, alone or in a batch; nil means success.
type Server struct {
	Addr string // host and port, on 127.0.0.1

	mu       sync.Mutex
	answer   func(text string) *Answer
	executed []string
	levels   []int
	prepared map[string]string
	conns    map[net.Conn]bool
	closed   bool
	listener net.Listener
	done     sync.WaitGroup
}

// Start starts a server.
func Start() (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: l.Addr().String(), prepared: map[string]string{}, conns: map[net.Conn]bool{}, listener: l}
	s.done.Add(1)
	go s.accept()
	return s, nil
}

// Answer sets what is said from now on, and forgets what was executed.
func (s *Server) Answer(answer func(text string) *Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer, s.executed, s.levels = answer, nil, nil
}

// Executed are the statements that were executed since Answer.
func (s *Server) Executed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.executed...)
}

// Levels are the consistencies, by their codes, of the requests that Executed is
// about, but for the client's own questions.
func (s *Server) Levels() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]int(nil), s.levels...)
}

// connections is how many there are.
func (s *Server) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// hangUp ends every connection there is, and takes others.
func (s *Server) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Close ends every connection and waits for its goroutine.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.listener.Close()
	s.done.Wait()
}

func (s *Server) accept() {
	defer s.done.Done()
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			c.Close()
		} else {
			s.conns[c] = true
			s.done.Add(1)
			go s.serve(c)
		}
		s.mu.Unlock()
	}
}

func (s *Server) serve(c net.Conn) {
	defer s.done.Done()
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	for {
		f, err := readFrame(c)
		if err != nil {
			return
		}
		op, body, answered := s.respond(f)
		if f.version != 4 {
			f.stream = [2]byte{} // as Cassandra does: it cannot know where the other version has it
		}
		if op == hangup {
			return
		}
		if !answered {
			continue
		}
		if _, err := c.Write(f.reply(op, body)); err != nil {
			return
		}
	}
}

// hangup is not an opcode: the connection is closed.
const hangup = 0xff

func (s *Server) respond(f frame) (op byte, body []byte, answered bool) {
	if f.version != 4 {
		return opError, errorBody(&Answer{Code: 0x0a, Message: fmt.Sprintf("Invalid or unsupported protocol version (%d); supported versions are (3/v3, 4/v4)", f.version)}), true
	}
	p := &parser{rest: f.body}
	switch f.op {
	case opStartup, opRegister:
		return opReady, nil, true
	case opOptions:
		var b builder
		b.short(1)
		b.text("CQL_VERSION")
		b.short(1)
		b.text("3.4.5")
		return opSupported, b, true
	case opPrepare:
		return opResult, s.prepare(p.longText()), true
	case opQuery:
		text := p.longText()
		return s.query(text, p.short())
	case opExecute:
		text := s.text(p.shortID())
		return s.execute([]string{text}, p.short())
	case opBatch:
		texts := s.batch(p)
		return s.execute(texts, p.short())
	}
	return opError, errorBody(&Answer{Code: 0x0a, Message: "unknown opcode"}), true
}

// execute asks what to say to statements; the first that is not nil counts.
func (s *Server) execute(texts []string, level int) (op byte, body []byte, answered bool) {
	s.mu.Lock()
	answer := s.answer
	s.executed = append(s.executed, texts...)
	if !strings.Contains(texts[0], "system") {
		s.levels = append(s.levels, level)
	}
	s.mu.Unlock()
	for _, text := range texts {
		if answer == nil || strings.Contains(text, "system") {
			break // the client's own questions are always answered
		}
		switch a := answer(text); {
		case a == nil:
		case a.Silent:
			return 0, nil, false
		case a.Hangup:
			return hangup, nil, false
		default:
			return opError, errorBody(a), true
		}
	}
	return opResult, resultOf(texts[0]), true
}

func (s *Server) text(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.prepared[id]
}

func (s *Server) batch(p *parser) (texts []string) {
	p.byte()
	for range p.short() {
		if p.byte() == 0 {
			texts = append(texts, p.longText())
		} else {
			texts = append(texts, s.text(p.shortID()))
		}
		for range p.short() {
			p.value()
		}
		if p.bad {
			break
		}
	}
	return append(texts, "")
}

func errorBody(a *Answer) []byte {
	var b builder
	b.int(a.Code)
	b.text(a.Message)
	return append(b, a.Extra...)
}

// query answers what clients ask of a server when they connect.
func (s *Server) query(text string, level int) (op byte, body []byte, answered bool) {
	switch {
	case strings.Contains(text, "system.local"):
		return opResult, localRow(selected(text)), true
	case strings.HasPrefix(text, "USE "):
		var b builder
		b.int(resultSetKeyspace)
		b.text(strings.Trim(text[4:], `"`))
		return opResult, b, true
	case strings.Contains(text, "system"):
		return opResult, resultOf("SELECT x FROM y"), true
	}
	return s.execute([]string{text}, level)
}

// placeholder finds what a question mark stands for by the name before it.
var placeholder = regexp.MustCompile(`(\w+)\)?\s*(?:>=|<=|=|>|<)?\s*\(?\s*\?`)

func (s *Server) prepare(text string) []byte {
	s.mu.Lock()
	id := fmt.Sprint(len(s.prepared))
	s.prepared[id] = text
	s.mu.Unlock()
	var b builder
	b.int(resultPrepared)
	b.text(id)
	b.int(1) // one table for all columns
	count := strings.Count(text, "?")
	b.int(count)
	b.int(0) // no routing
	b.text("ks")
	b.text("t")
	names := placeholder.FindAllStringSubmatch(text, -1)
	for i := range count {
		name := "blob"
		if i < len(names) && len(names) == count {
			name = names[i][1]
		}
		b.text(name)
		b.short(typeOf(name))
	}
	if columns := selected(text); columns != nil {
		return append(b, metadata(columns)...)
	}
	b.int(4) // no metadata
	b.int(0)
	return b
}

func typeOf(name string) int {
	switch strings.ToLower(name) {
	case "timestamp", "shape", "writetime":
		return typeBigint
	case "ttl":
		return typeInt
	case "part", "id", "keyspace_name", "token":
		return typeVarchar
	}
	return typeBlob
}

// selected are the columns of a query, nil for other statements.
func selected(text string) []string {
	rest, ok := strings.CutPrefix(text, "SELECT ")
	if !ok {
		return nil
	}
	list, _, _ := strings.Cut(rest, " FROM ")
	return strings.Split(strings.TrimPrefix(list, "DISTINCT "), ", ")
}

func metadata(columns []string) []byte {
	var b builder
	b.int(1)
	b.int(len(columns))
	b.text("ks")
	b.text("t")
	for _, name := range columns {
		b.text(name)
		plain, _, _ := strings.Cut(name, "(")
		b.short(typeOf(plain))
	}
	return b
}

// resultOf is the successful answer: no rows, or nothing.
func resultOf(text string) []byte {
	var b builder
	columns := selected(text)
	if columns == nil {
		b.int(resultVoid)
		return b
	}
	b.int(resultRows)
	b = append(b, metadata(columns)...)
	b.int(0)
	return b
}

// localRow is what the server says of itself, or of it the columns asked for.
func localRow(only []string) []byte {
	address := []byte{127, 0, 0, 1}
	id := make([]byte, 16)
	id[6], id[8], id[15] = 0x40, 0x80, 1
	var tokens builder
	tokens.int(1)
	tokens.value([]byte("0"))
	columns := []struct {
		name  string
		kind  int
		value []byte
	}{
		{"key", typeVarchar, []byte("local")}, {"cluster_name", typeVarchar, []byte("fake")},
		{"data_center", typeVarchar, []byte("dc1")}, {"rack", typeVarchar, []byte("r1")},
		{"release_version", typeVarchar, []byte("4.1.0")}, {"partitioner", typeVarchar, []byte("org.apache.cassandra.dht.Murmur3Partitioner")},
		{"host_id", typeUUID, id}, {"schema_version", typeUUID, id},
		{"broadcast_address", typeInet, address}, {"listen_address", typeInet, address}, {"rpc_address", typeInet, address},
		{"tokens", typeSet, tokens},
	}
	if only[0] != "*" {
		kept := columns[:0]
		for _, c := range columns {
			if slices.Contains(only, c.name) {
				kept = append(kept, c)
			}
		}
		columns = kept
	}
	var b builder
	b.int(resultRows)
	b.int(1)
	b.int(len(columns))
	b.text("system")
	b.text("local")
	for _, c := range columns {
		b.text(c.name)
		b.short(c.kind)
		if c.kind == typeSet {
			b.short(typeVarchar)
		}
	}
	b.int(1)
	for _, c := range columns {
		b.value(c.value)
	}
	return b
}
