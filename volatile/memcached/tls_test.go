package memcached

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/volatile"
)

// speaksTLS starts a memcached with a certificate for 127.0.0.1.
func speaksTLS(t *testing.T, until time.Time) (s *server, authority *servers.Authority) {
	t.Helper()
	authority, err := servers.NewAuthority(t.TempDir())
	must(t, err)
	cert, err := authority.Sign("127.0.0.1", until)
	must(t, err)
	client := authority.Client("127.0.0.1")
	client.Time = func() time.Time { return until.Add(-time.Minute) } // only to see that the server has started
	return startKind(t, servers.Memcached{TLS: client, Args: []string{"-Z", "-o", "ssl_chain_cert=" + cert.Cert + ",ssl_key=" + cert.Key}}), authority
}

// S7: with TLS the server is verified: by the roots that were named, by its host
// and by its time; there is no way back to plaintext.
func TestTLS(t *testing.T) {
	s, authority := speaksTLS(t, time.Now().Add(time.Hour))
	other, err := servers.NewAuthority(t.TempDir())
	must(t, err)
	for query, ok := range map[string]bool{
		"timeout=5s&ca=" + authority.Path: true, "timeout=5s&tls=true": false, "timeout=5s&ca=" + other.Path: false,
		"timeout=5s&ca=" + authority.Path + "&servername=example.org": false, "timeout=300ms": false,
	} {
		reached(t, "memcached://"+s.addr+"?"+query, ok)
	}
	late, expired := speaksTLS(t, time.Now().Add(-30*time.Minute))
	reached(t, "memcached://"+late.addr+"?timeout=5s&ca="+expired.Path, false)
}

// reached checks whether a cache can be used.
func reached(t *testing.T, url string, ok bool) {
	t.Helper()
	d, err := volatile.URL(url).OpenDriver(context.Background())
	must(t, err)
	defer d.Close()
	err = d.Set(context.Background(), []volatile.Item{{Key: "k", Value: []byte("v")}})[0]
	if (err == nil) != ok || !ok && !errors.Is(err, fault.ErrUnavailable) {
		t.Errorf("%q: %v", url, err)
	}
	if report := d.(volatile.Checker).Check(context.Background()); report.OK() != ok {
		t.Errorf("%q: %v", url, report)
	}
}
