package mysql

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

const canary = "canary-secret"

func TestURLs(t *testing.T) {
	for _, bad := range []string{
		"mysql://app:" + canary + "@host", "mysql://app:" + canary + "@host/", "mysql://app:" + canary + "@host/a/b",
		"mysql://app:" + canary + "@host:port/db", "mysql://app:" + canary + "%zz@host/db", "mysql:" + canary,
		"mysql://app:" + canary + "@host/db?" + "conns=many", "mysql://app:" + canary + "@host/db?conns=1", "mysql://app:" + canary + "@host/db?nosuch=1",
		"mysql://app:" + canary + "@host/db?tls=perhaps", "mysql://app:" + canary + "@host/db?durability=replicated",
		"mysql://app:" + canary + "@host/db?tls=true&plaintext=true", "mysql://app:" + canary + "@host/db?ca=/nonexistent",
		"mysql://app:" + canary + "@127.0.0.1/db?tls=true;ca=/nonexistent", "mysql://app:" + canary + "@127.0.0.1/db?password-file=%zz",
		"mysql://app:" + canary + "@127.0.0.1/db?nosuch=%zz&tls=true", "mysql://app:" + canary + "@127.0.0.1/db#fragment?nosuch=1",
		"mysql://app:" + canary + "@h1,h2/db?tls=true", "mysql://app:" + canary + "@127.0.0.1/db?tls=true&tls=false", "mysql://app:" + canary + "@127.0.0.1/db?conns=3#4",
	} {
		_, err := Open(bad, nil).OpenDriver(t.Context())
		if !errors.Is(err, fault.ErrInvalid) {
			t.Errorf("%q: a faulty URL is ErrInvalid: %v", bad, err)
		}
		if err != nil && strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), canary) {
			t.Errorf("a password is in %v", err)
		}
	}
	for option, says := range map[string]string{"plain-text": "did you mean plaintext?", "pasword-env": "did you mean password-env?", "zzz": "there are password-env"} {
		if _, err := Open("mysql://a@h/db?"+option+"=1", nil).OpenDriver(t.Context()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", option, err, says)
		}
	}
}

// TestPlaintextOnlyByName: a server on another machine is reached by TLS.
func TestPlaintextOnlyByName(t *testing.T) {
	for url, want := range map[string]bool{
		"mysql://a@127.0.0.1/db": false, "mysql://a@localhost/db": false, "mysql://a@[::1]:3306/db": false, "mysql:///db": false,
		"mysql://a@db.example.org/db": true, "mysql://a@10.0.0.1/db": true, "mysql://a@db.example.org/db?plaintext=true": false,
		"mysql://a@localhost/db?tls=true": true, "mysql://a@db/db?socket=/run/sock": false, "mysql://a@localhost.example.org/db": true,
	} {
		var opts Options
		cfg, err := parseURL(url, &opts)
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		if (cfg.TLS != nil) != want {
			t.Errorf("%s: TLS %v, want %v", url, cfg.TLS != nil, want)
		}
		if cfg.TLS != nil && (cfg.TLS.InsecureSkipVerify || cfg.TLS.ServerName == "" || cfg.TLS.MinVersion < tls.VersionTLS12) {
			t.Errorf("%s: the server's certificate is not verified", url)
		}
		if cfg.AllowFallbackToPlaintext || cfg.MultiStatements || cfg.AllowAllFiles || cfg.InterpolateParams || cfg.AllowCleartextPasswords {
			t.Errorf("%s: an unsafe option is on", url)
		}
	}
}

func TestPasswords(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("FOURFOLD_TEST_PASSWORD", canary)
	for _, url := range []string{
		"mysql://a:" + canary + "@h/db", "mysql://a@h/db?password-env=FOURFOLD_TEST_PASSWORD", "mysql://a@h/db?password-file=" + file,
	} {
		var opts Options
		cfg, err := parseURL(url, &opts)
		if err != nil {
			t.Fatal(err)
		}
		got, err := opts.Password(t.Context())
		if err != nil || got != canary {
			t.Errorf("%s: %q, %v", url, got, err)
		}
		if text := fmt.Sprintf("%+v %#v %s", opts, opts, cfg.FormatDSN()); strings.Contains(text, canary) {
			t.Errorf("a password is in %s", text)
		}
	}
	for _, query := range []string{"password-env=FOURFOLD_TEST_NO_SUCH", "password-file=/nonexistent"} {
		d, err := Open("mysql://a@127.0.0.1:1/db?"+query, nil).OpenDriver(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := d.View(t.Context(), func(transactional.Conn) error { return nil }); !errors.Is(err, fault.ErrMisconfigured) {
			t.Errorf("%s: a password that is not there is ErrMisconfigured: %v", query, err)
		}
		d.Close()
	}
}

// TestUnreachable: a server that is not there is ErrUnavailable, and nobody's
// password is in what is said about it.
func TestUnreachable(t *testing.T) {
	var log strings.Builder
	d, err := Open("mysql://app:"+canary+"@127.0.0.1:1/db", &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}).OpenDriver(t.Context())
	if err != nil {
		t.Fatalf("opening does not need the server: %v", err)
	}
	defer d.Close()
	err = d.Run(t.Context(), func(transactional.Conn) error { t.Error("the unit runs"); return nil })
	if !errors.Is(err, fault.ErrUnavailable) || fault.Unknown(err) {
		t.Errorf("got %v", err)
	}
	r := d.Check(t.Context())
	if r.Reachable || r.OK() {
		t.Errorf("Check says %v", r)
	}
	if text := fmt.Sprintf("%v %+v %v %+v %s", err, err, r, d, log.String()); strings.Contains(text, canary) {
		t.Errorf("a password is in %s", text)
	}
}

// TestPool: connections are bounded, and every wait of the client library has an
// end; what it has to say goes to our logger.
func TestPool(t *testing.T) {
	d, err := Open("mysql://a@h/db?conns=5", nil).OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if n := d.(*database).db.Stats().MaxOpenConnections; n != 5 {
		t.Errorf("%d connections at most, want 5", n)
	}
	var given Options
	cfg, err := parseURL("mysql://a@h/db", &given)
	if err != nil {
		t.Fatal(err)
	}
	opts, err := given.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connectorOf(cfg, opts); err != nil {
		t.Fatal(err)
	}
	if cfg.Timeout <= 0 || cfg.ReadTimeout <= 0 || cfg.WriteTimeout <= 0 {
		t.Errorf("a wait has no end: %v to dial, %v to read, %v to write", cfg.Timeout, cfg.ReadTimeout, cfg.WriteTimeout)
	}
	var log strings.Builder
	logger{slog.New(slog.NewTextHandler(&log, nil))}.Print("unexpected", "EOF")
	if _, ours := cfg.Logger.(logger); !ours || !strings.Contains(log.String(), "unexpected") {
		t.Errorf("the client's logger is a %T, and the log has %q", cfg.Logger, log.String())
	}
}

// newConns are connections that do nothing.
type newConns struct{ driver.Conn }

func (c newConns) Connect(context.Context) (driver.Conn, error) { return c, nil }
func (c newConns) Driver() driver.Driver                        { return nil }
func (c newConns) Close() error                                 { return nil }

// TestCallersPoolBoundsItself: a pool that the caller hands over has the bound
// that he has set, unless the options name another one.
func TestCallersPoolBoundsItself(t *testing.T) {
	for _, c := range []struct{ pool, option, want int }{{0, 0, DefaultMaxConns}, {30, 0, 30}, {30, 8, 8}, {0, 8, 8}} {
		db := sql.OpenDB(newConns{})
		defer db.Close()
		db.SetMaxOpenConns(c.pool)
		d, err := FromDB(db, &Options{MaxConns: c.option}).OpenDriver(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := d.(*database).opts.MaxConns; got != c.want {
			t.Errorf("a pool of %d and an option of %d: %d, want %d", c.pool, c.option, got, c.want)
		}
	}
	db := sql.OpenDB(newConns{})
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := FromDB(db, nil).OpenDriver(t.Context()); fault.ClassOf(err) != fault.ErrInvalid {
		t.Errorf("a pool of one connection: %v", err)
	}
}

// TestConnectionsAreKept: a burst opens what it needs and leaves it to the next
// one, but a connection neither grows old nor lies idle for as long as the
// server would let it.
func TestConnectionsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts, err := (&Options{MaxConns: 5}).withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		db := pool(newConns{}, opts)
		defer db.Close()
		burst := func() {
			t.Helper()
			taken := make([]*sql.Conn, opts.MaxConns)
			for i := range taken {
				if taken[i], err = db.Conn(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for _, c := range taken {
				c.Close()
			}
		}
		burst()
		if s := db.Stats(); s.MaxOpenConnections != 5 || s.Idle != 5 || s.MaxIdleClosed != 0 {
			t.Errorf("of five connections at most, %d, five were used and %d are kept", s.MaxOpenConnections, s.Idle)
		}
		for range 5 { // 200 s, and no pause is long
			time.Sleep(40 * time.Second)
			burst()
		}
		if s := db.Stats(); s.MaxLifetimeClosed != 5 || s.MaxIdleTimeClosed != 0 {
			t.Errorf("after 200 s %d connections were replaced for their age, and %d for their idleness; want 5 and 0", s.MaxLifetimeClosed, s.MaxIdleTimeClosed)
		}
		time.Sleep(2*keepIdle + time.Second)
		if s := db.Stats(); s.OpenConnections != 0 || s.MaxIdleTimeClosed != 5 {
			t.Errorf("%d connections are open that nobody uses", s.OpenConnections)
		}
	})
}

// TestIdentifiers: what is valid as a name needs no escape between backticks.
func TestIdentifiers(t *testing.T) {
	for _, name := range []string{"a`b", "a b", "a;b", ""} {
		if transactional.ValidName(name) {
			t.Errorf("%q is valid", name)
		}
	}
	want := "ON DUPLICATE KEY UPDATE `n` = IF(`id` = VALUES(`id`) AND (VALUES(version) > version OR VALUES(version) = version AND VALUES(tie) > tie), VALUES(`n`), IF(LAST_INSERT_ID(5725608199654408192), `n`, `n`))"
	if got := dialect.Upsert([]string{"id"}, []string{"n"}); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// FuzzURL: no URL makes it panic, and no error repeats a password.
func FuzzURL(f *testing.F) {
	f.Add("mysql://a@h:3306/db?conns=3")
	f.Add("mysql://a@[::1]/db?tls=true&ca=")
	f.Add("127.0.0.1/db?tls=true;ca=x")
	f.Add("h1,h2/db?nosuch=%zz&tls=true#fragment?plaintext=1")
	f.Fuzz(func(t *testing.T, rest string) {
		var opts Options
		cfg, err := parseURL("mysql://u:"+canary+"@"+rest, &opts)
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Fatalf("a password is in %v", err)
		}
		if err == nil && cfg.Passwd != "" {
			t.Fatal("the password is kept where a dump shows it")
		}
	})
}
