package memcached

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/volatile"
	"github.com/fourfold-dev/fourfold/volatile/volatiletest"
)

// given asks for the suite on the servers that the environment names, all of whose
// entries are lost: they are flushed before every check, because memcached knows no
// database of one's own. The check command names its own server in the same
// variable, like which the suite has had one already.
//
//	FOURFOLD_VOLATILE=memcached://127.0.0.1 go test ./volatile/memcached -run TestConformanceGiven -v -args -given
var given = flag.Bool("given", false, "run the suite on the servers that FOURFOLD_VOLATILE names, and flush them")

func TestConformanceGiven(t *testing.T) {
	if !*given {
		t.Skip("the campaign that runs the suite on a server of one's own is asked for by -given")
	}
	source, err := parse(servers.Volatile.Given())
	if err != nil {
		t.Fatalf("%s names no server: %v", servers.Volatile.Variable, err)
	}
	source.opts.Timeout = patient
	opts, addresses, err := source.opts.withDefaults(source.addresses)
	if err != nil {
		t.Fatal(err)
	}
	volatiletest.Run(t, volatiletest.Harness{Small: !*full, OneServer: true, Start: func(t testing.TB) volatiletest.Server {
		for _, a := range addresses {
			flush(t, a, opts.TLS)
		}
		settle(t, source)
		return volatiletest.Server{Source: source}
	}})
}

// flush takes all entries from a server.
func flush(t testing.TB, a address, config *tls.Config) {
	t.Helper()
	nc, err := net.Dial(a.network, a.name)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if config != nil {
		config = config.Clone()
		if config.ServerName == "" {
			config.ServerName, _, _ = net.SplitHostPort(a.name)
		}
		nc = tls.Client(nc, config)
	}
	if answer, err := newPlain(nc, time.Now().Add(patient)).ask("flush_all\r\n"); err != nil || answer != "OK" {
		t.Fatalf("flush %s: %q, %v", a.name, answer, err)
	}
}

// settle waits until the members, which look as if they had been restarted, take
// entries again.
func settle(t testing.TB, source *source) {
	t.Helper()
	driver, err := source.OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer driver.Close()
	entries := make([]volatile.Item, 64) // some for every member
	keys := make([]string, len(entries))
	for i := range entries {
		keys[i] = fmt.Sprint("settled", i)
		entries[i].Key = keys[i]
	}
	eventually(t, 30*time.Second, "every member takes entries", func() bool {
		return errors.Join(append(driver.Set(t.Context(), entries), driver.Delete(t.Context(), keys)...)...) == nil
	})
}
