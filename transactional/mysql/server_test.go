package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

// A server is a mariadbd of our own, which also speaks TLS.
type server struct {
	*servers.Server
	addr string
	ca   string // file with the certificate that signed the server's
	root *sql.DB
	dir  string // of the certificates
}

var (
	shared = sync.OnceValues(func() (*server, error) { return startServer() })
	second = sync.OnceValues(func() (*server, error) { return startServer() })
	ends   []func() // when all tests are over
	count  atomic.Int64
)

func TestMain(m *testing.M) {
	code := m.Run()
	for _, end := range ends {
		end()
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines are left:", err)
		code = 1
	}
	os.Exit(code)
}

// eventually asks until something holds: a real server takes part.
func eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// theServer starts the server that most tests share.
func theServer(t testing.TB) *server {
	t.Helper()
	s, err := shared()
	if missing, ok := errors.AsType[*servers.MissingError](err); ok {
		t.Skipf("NOT TESTED on a real server: %v", missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ownServer is a second server for tests that break it, one after the other.
// Global variables are set for the time of the test, and so are those that it
// sets itself.
func ownServer(t *testing.T, globals ...string) *server {
	theServer(t)
	s, err := second()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Resume()
		s.exec(t, "SET GLOBAL read_only = DEFAULT, max_connections = DEFAULT, max_allowed_packet = DEFAULT, innodb_flush_log_at_trx_commit = DEFAULT")
	})
	for _, g := range globals {
		s.exec(t, "SET GLOBAL "+g)
	}
	return s
}

func startServer(args ...string) (*server, error) {
	dir, err := os.MkdirTemp("", "mariadb")
	if err != nil {
		return nil, err
	}
	authority, err := servers.NewAuthority(dir)
	if err != nil {
		return nil, err
	}
	cert, err := authority.Sign("127.0.0.1", time.Now().Add(time.Hour))
	if err != nil {
		return nil, err
	}
	s, err := startWith(authority, cert, append([]string{"--innodb-buffer-pool-size=128M", "--max-connections=200"}, args...)...)
	if err == nil {
		ends = append(ends, s.stop)
	}
	return s, err
}

// startWith starts a server with a certificate.
func startWith(authority *servers.Authority, cert servers.Certificate, args ...string) (*server, error) {
	s := &server{ca: authority.Path, dir: filepath.Dir(authority.Path)}
	args = append([]string{"--ssl-ca=" + s.ca, "--ssl-cert=" + cert.Cert, "--ssl-key=" + cert.Key}, args...)
	var err error
	if s.Server, err = servers.Start(context.Background(), servers.MariaDB{Args: args}, nil); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	s.addr = s.Address()
	driver.SetLogger(&driver.NopLogger{})
	if s.root, err = sql.Open("mysql", "root@tcp("+s.addr+")/"); err != nil {
		return nil, err
	}
	return s, nil
}

// start starts the server again, and waits until it answers.
func (s *server) start() error { return s.Restart(context.Background()) }

func (s *server) kill() { s.Kill() }

func (s *server) stop() {
	s.root.Close()
	s.Close()
	os.RemoveAll(s.dir)
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
