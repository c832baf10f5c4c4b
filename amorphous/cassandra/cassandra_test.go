package cassandra

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"go.uber.org/goleak"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra/internal/cql"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseURL(t *testing.T) {
	got, err := parseURL("cassandra://ann:p%40ss@h1,h2:9043/music?consistency=local_quorum&read=one&dc=dc1&timeout=2s&connect_timeout=1s&coalesce=200us&conns=3&in_flight=64&tls=true&servername=cql.example.org")
	if err != nil {
		t.Fatal(err)
	}
	if got.TLS == nil || got.TLS.InsecureSkipVerify || got.TLS.ServerName != "cql.example.org" {
		t.Error("tls=true verifies the server")
	}
	if password, err := got.Password(t.Context()); password != "p@ss" || err != nil {
		t.Errorf("password %q, %v", password, err)
	}
	got.TLS, got.Password = nil, nil
	if got.ReadConsistency = strings.ToLower(got.ReadConsistency); got.WriteConsistency != "local_quorum" {
		t.Errorf("write consistency %q", got.WriteConsistency)
	}
	want := Options{Hosts: []string{"h1", "h2:9043"}, Keyspace: "music", Username: "ann",
		LocalDC: "dc1", Timeout: 2 * time.Second, ConnectTimeout: time.Second, Coalesce: 200 * time.Microsecond, Conns: 3, InFlight: 64}
	got.WriteConsistency, got.ReadConsistency = "", ""
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestBadURLs(t *testing.T) {
	for _, text := range []string{
		"cassandra://", "cassandra://h", "cassandra://h/", "cassandra:///k", "cassandra://ann:canary@/k", "cassandra://ann:can%zzary@h/k",
		"cassandra://h:x/k", "cassandra://h:99999/k", "cassandra://:9042/k", "cassandra://h/k-k", "cassandra://h/" + strings.Repeat("k", 49),
		"cassandra://h/k?consistency=most", "cassandra://h/k?timeout=soon", "cassandra://h/k?timeout=-1s", "cassandra://h/k?canary=1", "cassandra://h/k?tls=perhaps",
		"cassandra://h/k?conns=-1", "cassandra://h/k?%zz", "cassandra://h/k?tls=true&plaintext=true", "cassandra://h/k?ca=/nonexistent",
		"cassandra://127.0.0.1/k?tls=true&plaintext=true", "cassandra://127.0.0.1/k?tls=true;ca=canary", "cassandra://127.0.0.1/k?dc=canary&dc=b",
		"cassandra://127.0.0.1/k#canary?tls=true", "cassandra://ann:can#ary@127.0.0.1/k", "cassandra://:canary@h/k", "cassandra://h/k?password-env=CANARY",
	} {
		_, err := amorphous.Open(t.Context(), amorphous.URL(text), nil)
		if fault.ClassOf(err) != fault.ErrInvalid || strings.Contains(fmt.Sprintf("%v %+v", err, err), "canary") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// FuzzParseURL: an error of one class that quotes nothing, or options that the
// client's configuration can be made of.
func FuzzParseURL(f *testing.F) {
	f.Add("cassandra://ann:secret@h1,h2:9043/music?consistency=one")
	f.Add("cassandra://[::1]:9042/k?tls=true")
	f.Add("cassandra://@/?")
	f.Fuzz(func(t *testing.T, text string) {
		opts, err := parseURL(text)
		if err == nil {
			_, err = opts.cluster("")
		}
		if err != nil && !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("class of %v", err)
		}
	})
}

func TestSources(t *testing.T) {
	ctx := t.Context()
	for name, source := range map[string]amorphous.Source{
		"no host":         Open(Options{Keyspace: "k"}),
		"no keyspace":     Open(Options{Hosts: []string{"h"}}),
		"no session":      FromSession(nil, "k", nil),
		"bad keyspace":    FromSession(new(gocql.Session), `k"; DROP`, nil),
		"bad consistency": FromSession(new(gocql.Session), "k", &SessionOptions{WriteConsistency: "any"}),
	} {
		if _, err := amorphous.Open(ctx, source, nil); fault.ClassOf(err) != fault.ErrInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestConfiguration pins what of the client's defaults must not be its own.
func TestConfiguration(t *testing.T) {
	opts := Options{Hosts: []string{"h"}, Keyspace: "k", Username: "ann"}
	c, err := opts.cluster("canary")
	if err != nil {
		t.Fatal(err)
	}
	auth := c.Authenticator.(gocql.PasswordAuthenticator)
	switch {
	case c.RetryPolicy != nil:
		t.Error("nothing beneath the store repeats a statement")
	case c.ProtoVersion != 0:
		t.Error("versions of the protocol are negotiated")
	case c.Consistency == gocql.Any || c.NumConns < 2 || c.NumConns > 4:
		t.Errorf("consistency %v, %d connections per host", c.Consistency, c.NumConns)
	case c.WriteCoalesceWaitTime != 0:
		t.Error("a lone caller does not wait for others")
	case c.ReconnectInterval > time.Second:
		t.Error("a server that returns is used at once")
	case len(auth.AllowedAuthenticators) == 0:
		t.Error("the password goes to a known authenticator only")
	case reflect.TypeOf(c.PoolConfig.HostSelectionPolicy) != reflect.TypeOf(gocql.TokenAwareHostPolicy(nil)):
		t.Errorf("requests go to a node that has the row, and not by a %T", c.PoolConfig.HostSelectionPolicy)
	case c.Logger.(logger).to != nil:
		t.Errorf("what the client says goes to our logger, and not to a %T", c.Logger)
	}
	other, err := opts.cluster("canary")
	if err != nil || c.PoolConfig.HostSelectionPolicy == other.PoolConfig.HostSelectionPolicy {
		t.Errorf("a policy object serves one session only: %v", err)
	}
}

// TestPlaintextOnlyByName: a server on another machine is reached by TLS, and
// its certificate verified.
func TestPlaintextOnlyByName(t *testing.T) {
	for text, want := range map[string]bool{
		"cassandra://127.0.0.1/k": false, "cassandra://localhost,127.0.0.2:9043/k": false, "cassandra://[::1]:9042/k": false,
		"cassandra://db.example.org/k": true, "cassandra://ann:p@10.0.0.1/k": true, "cassandra://127.0.0.1,10.0.0.1/k": true,
		"cassandra://localhost.example.org/k": true, "cassandra://db/k?plaintext=true": false, "cassandra://127.0.0.1/k?tls=true": true,
	} {
		opts, err := parseURL(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		c, err := opts.cluster("")
		if err != nil || (c.SslOpts != nil) != want {
			t.Errorf("%s: TLS %v, want %v: %v", text, c.SslOpts != nil, want, err)
		}
		if c.SslOpts != nil && (!c.SslOpts.EnableHostVerification || c.SslOpts.InsecureSkipVerify || c.SslOpts.MinVersion < tls.VersionTLS12) {
			t.Errorf("%s: the servers' certificates are not verified", text)
		}
	}
}

func TestUnknownParametersAreRefusedWithASuggestion(t *testing.T) {
	for name, says := range map[string]string{"consistancy": "did you mean consistency?", "plain_text": "did you mean plaintext?", "zzz": "there are consistency"} {
		if _, err := parseURL("cassandra://h/k?" + name + "=1"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
	}
}

func TestPasswords(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("canary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FOURFOLD_TEST_PASSWORD", "canary")
	for _, query := range []string{"ann:canary@h/k?", "ann@h/k?password-env=FOURFOLD_TEST_PASSWORD", "ann@h/k?password-file=" + file} {
		opts, err := parseURL("cassandra://" + query)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := opts.Password(t.Context()); got != "canary" || err != nil {
			t.Errorf("%s: %q, %v", query, got, err)
		}
		if text := fmt.Sprintf("%v %+v %#v", opts, opts, opts); strings.Contains(text, "canary") {
			t.Errorf("a password is in %s", text)
		}
	}
	store, err := amorphous.Open(t.Context(), amorphous.URL("cassandra://ann@127.0.0.1:1/k?password-env=FOURFOLD_TEST_NO_SUCH"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Read(t.Context(), amorphous.Table{Name: "t"}, amorphous.Address{Partition: "p", ID: "i"}); fault.ClassOf(err) != fault.ErrMisconfigured {
		t.Errorf("a password that is not there: %v", err)
	}
}

// TestAdaptersAreApart: who uses one client does not link the other.
func TestAdaptersAreApart(t *testing.T) {
	const v1, v2 = `"github.com/gocql/gocql"`, `"github.com/apache/cassandra-gocql-driver/v2"`
	for dir, forbidden := range map[string][]string{".": {v1, `"github.com/fourfold-dev/fourfold/amorphous/cassandra/gocqlv1"`},
		"gocqlv1": {v2, `"github.com/fourfold-dev/fourfold/amorphous/cassandra"`}, "internal/cql": {v1, v2}} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", dir, files, err)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range parsed.Imports {
				if !strings.HasSuffix(file, "_test.go") && slices.Contains(forbidden, i.Path.Value) {
					t.Errorf("%s imports %s", file, i.Path.Value)
				}
			}
		}
	}
}

func TestLogger(t *testing.T) {
	var out strings.Builder
	l := logger{slog.New(slog.NewTextHandler(&out, nil)), cql.NewLines(0)}
	l.Error("broke", gocql.NewLogFieldString("host", "h1"))
	l.Warning("hm")
	l.Info("quiet")
	l.Debug("quieter")
	if s := out.String(); !strings.Contains(s, "broke") || !strings.Contains(s, "host=h1") || strings.Contains(s, "ERROR") || strings.Contains(s, "quiet") {
		t.Errorf("log: %s", s)
	}
	logger{}.Error("nobody listens")

	l.lines.End()
	before := out.Len()
	if l.Error("the connection was closed"); out.Len() > before {
		t.Errorf("it is logged that a closed session has no connections: %s", out.String()[before:])
	}
}

func ExampleOpen() {
	// Opening needs no server; using the store does.
	store, err := amorphous.Open(context.Background(), Open(Options{
		Hosts: []string{"127.0.0.1:1"}, Keyspace: "music", ConnectTimeout: time.Second,
	}), nil)
	if err != nil {
		panic(err)
	}
	defer store.Close()
	for _, statement := range store.Schema(amorphous.Table{Name: "plays"}) {
		fmt.Println(statement)
	}
	report := store.Check(context.Background())
	fmt.Println(report.Driver, report.Reachable)
	// Output:
	// CREATE TABLE IF NOT EXISTS "music"."ff_plays" (part text, ord blob, id text, shape bigint, cell blob, PRIMARY KEY ((part), ord, id, shape))
	// cassandra false
}
