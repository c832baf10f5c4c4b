package mysql_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
)

// D24: TLS is verified.
func TestTLS_D24(t *testing.T) {
	s := theServer(t)
	name := s.database(t)
	for query, good := range map[string]bool{"?ca=" + s.ca: true, "?tls=true": false} {
		store, err := transactional.Open(t.Context(), mysql.Open(s.url(name)+query, nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		err = store.CreateSchema(t.Context(), things)
		if good && err != nil {
			t.Errorf("a server whose certificate is signed by the authority is reached: %v", err)
		}
		if !good {
			class(t, "a certificate of nobody's is refused, without a fall back to plaintext", err, fault.ErrMisconfigured)
		}
		store.Close()
	}
	expired, err := servers.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := expired.Sign("127.0.0.1", time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	old, err := startWith(expired, cert)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(old.stop)
	late, err := transactional.Open(t.Context(), mysql.Open(old.url(old.database(t))+"?ca="+expired.Path, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	class(t, "a certificate that has expired is refused", late.CreateSchema(t.Context(), things), fault.ErrMisconfigured)
	wrong, err := transactional.Open(t.Context(), mysql.Open(strings.Replace(s.url(name), "127.0.0.1", "localhost", 1)+"?ca="+s.ca, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	class(t, "a certificate for another host is refused", wrong.CreateSchema(t.Context(), things), fault.ErrMisconfigured)
}
