package live

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/amorphous/cassandra"
	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// canary is a password that must be seen nowhere.
const canary = "canary-secret"

// name is the one that the node's certificate is for.
const name = "cql.example.org"

// guarded starts a node that speaks TLS only, wants a password, and has the
// keyspace and a user whose password is the canary.
func guarded(t *testing.T) (node *servers.Server, authority *servers.Authority) {
	t.Helper()
	authority, err := servers.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := authority.Sign(name, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	node = servers.Test(t, servers.Cassandra{Heap: 512, TLS: authority.Client(name), YAML: `
authenticator: {class_name: PasswordAuthenticator}
authorizer: {class_name: CassandraAuthorizer}
role_manager: {class_name: CassandraRoleManager}
client_encryption_options:
  enabled: true
  optional: false
  ssl_context_factory: {class_name: org.apache.cassandra.security.PEMBasedSslContextFactory}
  keystore: ` + cert.Both + "\n"})
	cluster := gocqlCluster(node.Address(), authority, "cassandra", "cassandra")
	for end := time.Now().Add(30 * time.Second); ; {
		session, err := cluster.CreateSession()
		if err == nil {
			defer session.Close()
			for _, text := range []string{
				"CREATE KEYSPACE music WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
				"CREATE ROLE app WITH PASSWORD = '" + canary + "' AND LOGIN = true",
				"GRANT ALL ON KEYSPACE music TO app",
			} {
				if err := session.Query(text).Exec(); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
			}
			return node, authority
		}
		if time.Now().After(end) { // the first user is made a moment after the node answers
			t.Fatal(err)
		}
	}
}

// TestGuarded: TLS is verified, passwords come from three places and are seen
// nowhere, and what is refused says so as a misconfiguration.
func TestGuarded(t *testing.T) {
	node, authority := guarded(t)
	_, port, _ := strings.Cut(node.Address(), ":")
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FOURFOLD_TEST_PASSWORD", canary)
	t.Setenv("FOURFOLD_TEST_WRONG", canary+"-wrong")
	other, err := servers.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ca, verified := "ca="+authority.Path, "servername="+name+"&ca="+authority.Path
	for _, c := range []struct {
		name, url string
		good      bool
	}{
		{"the password is in the URL", "app:" + canary + "@127.0.0.1:" + port + "/music?" + verified, true},
		{"the password is in the environment", "app@127.0.0.1:" + port + "/music?password-env=FOURFOLD_TEST_PASSWORD&" + verified, true},
		{"the password is in a file", "app@127.0.0.1:" + port + "/music?password-file=" + file + "&" + verified, true},
		{"a wrong password", "app@127.0.0.1:" + port + "/music?password-env=FOURFOLD_TEST_WRONG&" + verified, false},
		{"no password", "127.0.0.1:" + port + "/music?" + verified, false},
		{"an unknown authority", "app:" + canary + "@127.0.0.1:" + port + "/music?tls=true&servername=" + name, false},
		{"another authority", "app:" + canary + "@127.0.0.1:" + port + "/music?servername=" + name + "&ca=" + other.Path, false},
		{"the certificate of another host", "app:" + canary + "@127.0.0.1:" + port + "/music?" + ca, false},
		{"another name than asked for", "app:" + canary + "@127.0.0.1:" + port + "/music?servername=cql.example.com&" + ca, false},
		{"a certificate that has expired", "app:" + canary + "@" + expired(t, authority) + "/music?" + "ca=" + authority.Path + "&servername=expired." + name, false},
		{"a keyspace that is not there", "app:" + canary + "@127.0.0.1:" + port + "/nobody_made_this?" + verified, false},
	} {
		t.Run(c.name, func(t *testing.T) { testGuard(t, "cassandra://"+c.url+"&connect_timeout=10s", c.good) })
	}
	t.Run("plaintext to a server that speaks TLS", func(t *testing.T) {
		store := open(t, "cassandra://app:"+canary+"@"+node.Address()+"/music?connect_timeout=1s")
		if r := store.Check(t.Context()); r.Reachable {
			t.Errorf("%v", r)
		}
	})
	t.Run("the log", func(t *testing.T) { testLogKeepsPasswords(t, node, authority) })
}

// expired listens with a certificate that was good an hour ago.
func expired(t *testing.T, authority *servers.Authority) (address string) {
	t.Helper()
	cert, err := authority.Sign("expired."+name, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert.Cert, cert.Key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(io.Discard, conn)
			}()
		}
	}()
	return l.Addr().String()
}

// testGuard uses a store by a URL, which must work, or be refused as something
// that an operator has to mend, and never say the password.
func testGuard(t *testing.T, url string, good bool) {
	store := open(t, url)
	table := amorphous.Table{Name: "guarded"}
	err := store.CreateSchema(t.Context(), table)
	if err == nil {
		err = store.Write(t.Context(), table, amorphous.Row{Partition: "p", ID: "i", Shape: 1, Stamp: amorphous.Stamp{Version: 1}, Body: []byte("{}")})[0]
	}
	report := store.Check(t.Context())
	if good && (err != nil || !report.OK()) {
		t.Errorf("%v; %v", err, report)
	}
	if !good && (fault.ClassOf(err) != fault.ErrMisconfigured || report.OK()) {
		t.Errorf("want ErrMisconfigured: %v; %v", err, report)
	}
	if said := fmt.Sprintf("%v %+v %#v %v %+v", err, err, err, report, report); strings.Contains(said, canary) {
		t.Errorf("a password is in %s", said)
	}
}

// testLogKeepsPasswords: what the client says while a node dies holds no
// password.
func testLogKeepsPasswords(t *testing.T, node *servers.Server, authority *servers.Authority) {
	var log book
	store, err := amorphous.Open(t.Context(), cassandra.Open(cassandra.Options{
		Hosts: []string{node.Address()}, Keyspace: "music", Username: "app", TLS: authority.Client(name), ConnectTimeout: time.Second,
		Password: passwordOf(canary), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := store.Check(t.Context()); !r.OK() {
		t.Errorf("%v", r)
	}
	node.Kill()
	for end := time.Now().Add(20 * time.Second); store.Check(t.Context()).Reachable; {
		if time.Now().After(end) {
			t.Fatal("a node that is dead is still reached")
		}
	}
	store.Close()
	said := log.String()
	if said == "" {
		t.Error("the client said nothing: nothing is shown")
	}
	if strings.Contains(said, canary) {
		t.Errorf("a password is in %s", said)
	}
}

// A book is a log that is read while others write.
type book struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *book) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
