package servers_test

import (
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/internal/servers"
)

// TestTLSServers: the two servers that speak TLS by arguments answer a client
// that trusts their authority.
func TestTLSServers(t *testing.T) {
	authority, err := servers.NewAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := authority.Sign("127.0.0.1", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	servers.Test(t, servers.Memcached{
		TLS: authority.Client("127.0.0.1"), Args: []string{"-Z", "-o", "ssl_chain_cert=" + c.Cert + ",ssl_key=" + c.Key},
	})
	servers.Test(t, servers.MariaDB{Args: []string{"--ssl-ca=" + authority.Path, "--ssl-cert=" + c.Cert, "--ssl-key=" + c.Key}})
}
