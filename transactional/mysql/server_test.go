package mysql_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

// A server is a mariadbd of our own, or the one that FOURFOLD_TEST_MYSQL names
// (host:port, user root without a password).
type server struct {
	dir  string
	addr string
	ca   string // file with the certificate that signed the server's
	cmd  *exec.Cmd
	over chan struct{} // closed when the process has ended
	root *sql.DB
}

var (
	once    sync.Once
	shared  *server
	sharedE error
	count   atomic.Int64
)

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		shared.stop()
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines are left:", err)
		code = 1
	}
	os.Exit(code)
}

// theServer starts the server that most tests share.
func theServer(t testing.TB) *server {
	t.Helper()
	if _, err := exec.LookPath("mariadbd"); err != nil {
		t.Skip("SKIPPED, NOT PROVED: mariadbd is not on PATH, so nothing of this package runs against a server")
	}
	once.Do(func() { shared, sharedE = startServer() })
	if sharedE != nil {
		t.Fatal(sharedE)
	}
	return shared
}

// ownServer starts a server for a test that breaks it.
func ownServer(t *testing.T, args ...string) *server {
	theServer(t)
	s, err := startServer(args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return s
}

func startServer(args ...string) (*server, error) {
	dir, err := os.MkdirTemp("", "mariadb")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir}
	install := exec.Command("mariadb-install-db", "--no-defaults", "--datadir="+filepath.Join(dir, "data"),
		"--auth-root-authentication-method=normal", "--skip-test-db", "--user=root")
	if out, err := install.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mariadb-install-db: %w: %s", err, out)
	}
	if err := s.certify(); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.addr = listener.Addr().String()
	listener.Close()
	if err := s.start(args...); err != nil {
		return nil, err
	}
	return s, nil
}

// start starts the process and waits until it answers.
func (s *server) start(args ...string) error {
	_, port, _ := net.SplitHostPort(s.addr)
	file := func(name string) string { return filepath.Join(s.dir, name) }
	log, err := os.OpenFile(file("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command("mariadbd", append([]string{
		"--no-defaults", "--user=root", "--datadir=" + file("data"), "--socket=" + file("sock"), "--pid-file=" + file("pid"),
		"--bind-address=127.0.0.1", "--port=" + port, "--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=128M",
		"--ssl-ca=" + s.ca, "--ssl-cert=" + file("cert.pem"), "--ssl-key=" + file("key.pem"), "--max-connections=200",
	}, args...)...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.launch(); err != nil {
		return err
	}
	if s.root == nil {
		if s.root, err = sql.Open("mysql", "root@tcp("+s.addr+")/"); err != nil {
			return err
		}
		driver.SetLogger(&driver.NopLogger{})
	}
	for deadline := time.Now().Add(60 * time.Second); ; {
		if err = s.root.Ping(); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			out, _ := os.ReadFile(file("log"))
			return fmt.Errorf("mariadbd does not answer: %w: %s", err, out)
		}
		time.Sleep(20 * time.Millisecond) // a process is starting: nothing tells when it is ready
	}
}

// launch starts the process from a thread that stays until it has ended.
func (s *server) launch() error {
	cmd, started := s.cmd, make(chan error)
	s.over = make(chan struct{})
	go func(over chan struct{}) {
		defer close(over)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		dieWithUs(cmd)
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
	}(s.over)
	return <-started
}

func (s *server) kill() {
	s.cmd.Process.Kill()
	<-s.over
}

func (s *server) stop() {
	s.root.Close()
	s.kill()
	os.RemoveAll(s.dir)
}

// certify makes a certificate for 127.0.0.1, and the one that signs it.
func (s *server) certify() error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	s.ca = filepath.Join(s.dir, "ca.pem")
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: caDER}, "cert.pem": {Type: "CERTIFICATE", Bytes: leafDER}, "key.pem": {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// database makes an empty database and returns its name.
func (s *server) database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("t%d", count.Add(1))
	s.exec(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { s.root.Exec("DROP DATABASE IF EXISTS " + name) })
	return name
}

func (s *server) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	if _, err := s.root.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func (s *server) url(name string) string { return "mysql://root@" + s.addr + "/" + name }

// pool opens a caller's own *sql.DB.
func (s *server) pool(t *testing.T, name, params string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", "root@tcp("+s.addr+")/"+name+params)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	t.Cleanup(func() { db.Close() })
	return db
}

// open opens a store by a source, with tables in it.
func open(t *testing.T, source transactional.Source, tables ...*transactional.Table) *transactional.Store {
	t.Helper()
	store, err := transactional.Open(t.Context(), source, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	if err := store.CreateSchema(context.Background(), tables...); err != nil {
		t.Fatal(err)
	}
	return store
}

// fresh opens a store on an empty database of the shared server.
func fresh(t *testing.T, opts *mysql.Options, tables ...*transactional.Table) (*server, string, *transactional.Store) {
	t.Helper()
	s := theServer(t)
	name := s.database(t)
	return s, name, open(t, mysql.Open(s.url(name), opts), tables...)
}
