package fakecql

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	gocql2 "github.com/apache/cassandra-gocql-driver/v2"
	"github.com/gocql/gocql"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra/gocqlv1"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func bytesOf(parts ...func(*builder)) []byte {
	var b builder
	for _, part := range parts {
		part(&b)
	}
	return b
}

func short(n int) func(*builder)   { return func(b *builder) { b.short(n) } }
func number(n int) func(*builder)  { return func(b *builder) { b.int(n) } }
func text(s string) func(*builder) { return func(b *builder) { b.text(s) } }
func one(n byte) func(*builder)    { return func(b *builder) { b.byte(n) } }

func timedOut(writeType string) *Answer {
	return &Answer{0x1100, "Operation timed out", bytesOf(short(6), number(0), number(1), text(writeType)), false, false}
}

// answers are the rows of the table of errors: what a server may say to a
// write, and to a read, and what becomes of it.
var answers = []struct {
	name        string
	answer      *Answer
	write, read error
}{
	{"Unavailable", &Answer{0x1000, "Cannot achieve consistency", bytesOf(short(6), number(2), number(1)), false, false}, fault.ErrUnavailable, fault.ErrUnavailable},
	{"Overloaded", &Answer{0x1001, "too busy", nil, false, false}, fault.ErrBusy, fault.ErrBusy},
	{"IsBootstrapping", &Answer{0x1002, "starting", nil, false, false}, fault.ErrUnavailable, fault.ErrUnavailable},
	{"Truncate", &Answer{0x1003, "no", nil, false, false}, fault.ErrRefused, fault.ErrRefused},
	{"WriteTimeout SIMPLE", timedOut("SIMPLE"), fault.ErrUnknown, nil},
	{"WriteTimeout BATCH", timedOut("BATCH"), fault.ErrUnknown, nil},
	{"WriteTimeout UNLOGGED_BATCH", timedOut("UNLOGGED_BATCH"), fault.ErrUnknown, nil},
	{"WriteTimeout COUNTER", timedOut("COUNTER"), fault.ErrUnknown, nil},
	{"WriteTimeout CAS", timedOut("CAS"), fault.ErrUnknown, nil},
	{"WriteTimeout VIEW", timedOut("VIEW"), fault.ErrUnknown, nil},
	{"WriteTimeout CDC", timedOut("CDC"), fault.ErrUnknown, nil},
	{"WriteTimeout BATCH_LOG", timedOut("BATCH_LOG"), fault.ErrBusy, nil},
	{"WriteFailure", &Answer{0x1500, "failed", bytesOf(short(6), number(0), number(1), number(1), text("SIMPLE")), false, false}, fault.ErrUnknown, nil},
	{"ReadTimeout", &Answer{0x1200, "Operation timed out", bytesOf(short(6), number(0), number(1), one(0)), false, false}, nil, fault.ErrBusy},
	{"ReadFailure", &Answer{0x1300, "too many tombstones", bytesOf(short(6), number(0), number(1), number(1), one(0)), false, false}, nil, fault.ErrBusy},
	{"FunctionFailure", &Answer{0x1400, "no", bytesOf(text("ks"), text("f"), short(0)), false, false}, fault.ErrRefused, fault.ErrRefused},
	{"Syntax", &Answer{0x2000, "line 1", nil, false, false}, fault.ErrRefused, fault.ErrRefused},
	{"Unauthorized", &Answer{0x2100, "no permission", nil, false, false}, fault.ErrMisconfigured, fault.ErrMisconfigured},
	{"Invalid", &Answer{0x2200, "nonsense", nil, false, false}, fault.ErrRefused, fault.ErrRefused},
	{"Invalid: no table", &Answer{0x2200, "unconfigured table ff_t", nil, false, false}, fault.ErrMisconfigured, fault.ErrMisconfigured},
	{"Invalid: no keyspace", &Answer{0x2200, "Keyspace ks does not exist", nil, false, false}, fault.ErrMisconfigured, fault.ErrMisconfigured},
	{"Invalid: batch", &Answer{0x2200, "Batch too large", nil, false, false}, fault.ErrTooLarge, nil},
	{"ConfigError", &Answer{0x2300, "no", nil, false, false}, fault.ErrMisconfigured, fault.ErrMisconfigured},
	{"ServerError", &Answer{0, "java.lang.NullPointerException", nil, false, false}, fault.ErrUnknown, fault.ErrBusy},
	{"the connection breaks before the answer", &Answer{Hangup: true}, fault.ErrUnknown, fault.ErrUnavailable},
	{"no answer", &Answer{Silent: true}, fault.ErrUnknown, fault.ErrUnavailable},
}

// TestAnswers_E1_E3_E4_E5_E10 says to both clients what a healthy server does not say on
// demand.
func TestAnswers_E1_E3_E4_E5_E10(t *testing.T) {
	server, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	clients := map[string]func(t *testing.T) (amorphous.Source, func()){
		"v2": func(t *testing.T) (amorphous.Source, func()) {
			cluster := gocql2.NewCluster(server.Addr)
			cluster.RetryPolicy = &gocql2.SimpleRetryPolicy{NumRetries: 3} // the store must not obey it
			cluster.ReconnectInterval, cluster.Logger = 50*time.Millisecond, nopLogger{}
			session, err := cluster.CreateSession()
			if err != nil {
				t.Fatal(err)
			}
			return cassandra.FromSession(session, "ks", &cassandra.SessionOptions{Timeout: 400 * time.Millisecond, Hedge: -1}), session.Close
		},
		"v1": func(t *testing.T) (amorphous.Source, func()) {
			gocql.Logger = nopLogger{}
			cluster := gocql.NewCluster(server.Addr)
			cluster.RetryPolicy = &gocql.SimpleRetryPolicy{NumRetries: 3}
			cluster.ReconnectInterval, cluster.ProtoVersion = 50*time.Millisecond, 4
			session, err := cluster.CreateSession()
			if err != nil {
				t.Fatal(err)
			}
			return gocqlv1.FromSession(session, "ks", &gocqlv1.Options{Timeout: 400 * time.Millisecond, Hedge: -1}), session.Close
		},
	}
	for name, connect := range clients {
		t.Run(name, func(t *testing.T) {
			server.Answer(nil)
			source, done := connect(t)
			defer done()
			store, err := amorphous.Open(t.Context(), source, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			for _, a := range answers {
				t.Run(a.name, func(t *testing.T) {
					if a.write != nil {
						checkAnswer(t, server, a.answer, a.write, "UPDATE", func() error { return write(t, store) })
					}
					if a.read != nil {
						checkAnswer(t, server, a.answer, a.read, "SELECT", func() error { return read(t, store) })
					}
				})
			}
		})
	}
}

var plain = amorphous.Table{Name: "t"}

func write(t *testing.T, store *amorphous.Store) error {
	return store.Write(t.Context(), plain, amorphous.Row{Partition: "p", ID: "i", Shape: 1, Stamp: amorphous.Stamp{Version: 1}, Body: []byte("{}")})[0]
}

func read(t *testing.T, store *amorphous.Store) error {
	_, err := store.Read(t.Context(), plain, amorphous.Address{Partition: "p", ID: "i"})
	return err
}

// checkAnswer makes the store hear an answer once it works, and checks class,
// outcome, the client's own error, and that nothing repeated the statement.
func checkAnswer(t *testing.T, server *Server, answer *Answer, want error, verb string, op func() error) {
	t.Helper()
	server.Answer(nil)
	deadline := time.Now().Add(10 * time.Second)
	for op() != nil { // an earlier answer may have cost the connection
		if time.Now().After(deadline) {
			t.Fatal("the client does not connect again")
		}
	}
	server.Answer(func(string) *Answer { return answer })
	err := op()
	if !errors.Is(err, want) || fault.ClassOf(err) != want {
		t.Errorf("%s: got %v, want %v", verb, err, want)
	}
	if unknown := fault.OutcomeOf(err) == fault.OutcomeUnknown; unknown != (want == fault.ErrUnknown) {
		t.Errorf("%s: outcome of %v", verb, err)
	}
	times := 0
	for _, text := range server.Executed() {
		if strings.HasPrefix(text, verb) {
			times++
		}
	}
	if times != 1 {
		t.Errorf("nothing beneath the store repeats a statement: it was executed %d times", times)
	}
}

// TestBatchSplits_E6: a batch that is refused is taken apart, and only the bad
// row fails.
func TestBatchSplits_E6(t *testing.T) {
	server, store := fake(t)
	server.Answer(func(text string) *Answer {
		if len(server.Executed()) > 4 { // the batch; its statements are four
			return nil
		}
		return &Answer{Code: 0x2200, Message: "Batch too large"}
	})
	var rows []amorphous.Row
	for _, id := range []string{"a", "b", "c", "d"} {
		rows = append(rows, amorphous.Row{Partition: "p", ID: id, Shape: 1, Stamp: amorphous.Stamp{Version: 1}})
	}
	for i, err := range store.Write(t.Context(), plain, rows...) {
		if err != nil {
			t.Errorf("row %d: %v", i, err)
		}
	}
}

// TestWriteAbandoned: a caller that leaves while no answer has come does not
// know the outcome, and leaves in time.
func TestWriteAbandoned(t *testing.T) {
	server, store := fake(t)
	if err := write(t, store); err != nil {
		t.Fatal(err)
	}
	server.Answer(func(string) *Answer { return &Answer{Silent: true} })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := store.Write(ctx, plain, amorphous.Row{Partition: "p", ID: "i", Shape: 1, Stamp: amorphous.Stamp{Version: 1}})[0]
	if !fault.Unknown(err) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an abandoned write: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = store.Read(ctx, plain, amorphous.Address{Partition: "p", ID: "i"})
	if fault.ClassOf(err) != nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an abandoned read passes its context's error untouched: %v", err)
	}
}

// TestNoServer_E13: opening does not need the server, and until it is there every
// call is unavailable, nothing was sent, and Check says so.
func TestNoServer_E13(t *testing.T) {
	server, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	store, err := amorphous.Open(t.Context(), amorphous.URL("cassandra://"+server.Addr+"/ks?connect_timeout=2s"), nil)
	if err != nil {
		t.Fatalf("opening does not need the server: %v", err)
	}
	defer store.Close()
	for range 3 {
		if err := write(t, store); fault.ClassOf(err) != fault.ErrUnavailable {
			t.Errorf("a write without a server: %v", err)
		}
	}
	if report := store.Check(t.Context()); report.Reachable || len(report.Problems) == 0 {
		t.Errorf("a report without a server: %+v", report)
	}
}

// TestTheFirstContactPointIsDown_E13: the next one is asked.
func TestTheFirstContactPointIsDown_E13(t *testing.T) {
	for _, first := range []string{"refuses", "says nothing"} {
		t.Run(first, func(t *testing.T) {
			dead, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			if first == "refuses" {
				dead.Close()
			}
			defer dead.Close()
			alive, err := Start()
			if err != nil {
				t.Fatal(err)
			}
			defer alive.Close()
			store, err := amorphous.Open(t.Context(), amorphous.URL("cassandra://"+dead.Addr().String()+","+alive.Addr+"/ks?connect_timeout=1s"), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			for range 3 {
				if err := write(t, store); err != nil {
					t.Errorf("a write while one of two contact points %s: %v", first, err)
				}
			}
			if len(alive.Executed()) == 0 {
				t.Error("nothing came to the contact point that is alive")
			}
		})
	}
}

func fake(t *testing.T) (*Server, *amorphous.Store) {
	t.Helper()
	server, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	store, err := amorphous.Open(t.Context(), amorphous.URL("cassandra://"+server.Addr+"/ks?timeout=500ms"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Answer(nil)
		store.Close()
		server.Close()
	})
	return server, store
}

type nopLogger struct{}

func (nopLogger) Error(string, ...gocql2.LogField)   {}
func (nopLogger) Warning(string, ...gocql2.LogField) {}
func (nopLogger) Info(string, ...gocql2.LogField)    {}
func (nopLogger) Debug(string, ...gocql2.LogField)   {}
func (nopLogger) Print(...any)                       {}
func (nopLogger) Printf(string, ...any)              {}
func (nopLogger) Println(...any)                     {}

// FuzzFrame: whatever bytes come, the server answers or hangs up, and
// allocates no more than a frame may hold.
func FuzzFrame(f *testing.F) {
	f.Add(byte(opBatch), []byte{0, 0, 1, 0, 0, 0, 0, 4, 'x', 'y', 'z', 'w', 0, 0})
	f.Add(byte(opExecute), []byte{0xff, 0xff})
	f.Add(byte(opQuery), []byte{0x7f, 0xff, 0xff, 0xff})
	f.Add(byte(opPrepare), []byte{})
	f.Fuzz(func(t *testing.T, op byte, body []byte) {
		s := &Server{prepared: map[string]string{}}
		s.respond(frame{version: 4, op: op, body: body})
	})
}
