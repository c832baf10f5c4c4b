package mysql_test

import (
	"context"
	"crypto/rand"
	"flag"
	"net/url"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
	"github.com/fourfold-dev/fourfold/transactional/transactionaltest"
)

// given asks for the suite on the server that the environment names, which
// nothing here can start: a MySQL 8, a cluster, a service. The check command names
// its own MariaDB in the same variable, on which the suite has run already.
//
//	FOURFOLD_TRANSACTIONAL=mysql://root@127.0.0.1/mysql go test ./transactional/mysql -run TestConformanceGiven -v -args -given
var given = flag.Bool("given", false, "run the suite on the server that FOURFOLD_TRANSACTIONAL names")

// TestConformanceGiven makes databases of its own there, drops them, and touches
// no other; the URL's user needs the rights on fourfold_given_%.
func TestConformanceGiven(t *testing.T) {
	if !*given {
		t.Skip("the campaign that runs the suite on a server of one's own is asked for by -given")
	}
	u, err := url.Parse(servers.Transactional.Given())
	if err != nil || u.Host == "" {
		t.Fatalf("%s names no server", servers.Transactional.Variable)
	}
	operator, err := mysql.Open(u.String(), nil).OpenDriver(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { operator.Close() })
	r := operator.Check(t.Context())
	t.Logf("%s: %v", u.Redacted(), r)
	if !r.Reachable {
		t.Fatal("it cannot be reached")
	}
	operate := func(statement string) error {
		return operator.View(context.Background(), func(c transactional.Conn) error {
			_, err := c.Exec(context.Background(), statement)
			return err
		})
	}
	transactionaltest.Run(t, transactionaltest.Harness{Full: *full, Source: func(t *testing.T) transactional.Source {
		own := *u
		name := "fourfold_given_" + strings.ToLower(rand.Text()[:10])
		if err := operate("CREATE DATABASE " + name); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := operate("DROP DATABASE " + name); err != nil {
				t.Error(err)
			}
		})
		own.Path = "/" + name
		return mysql.Open(own.String(), nil)
	}})
}
