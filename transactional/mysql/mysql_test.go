package mysql_test

import (
	"context"
	"flag"
	"testing"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
	"github.com/fourfold-dev/fourfold/transactional/transactionaltest"
)

// full has the suite do all that it does at its full size:
//
//	go test ./transactional/mysql -run TestConformance -race -v -timeout 2h -args -full
var full = flag.Bool("full", false, "run the suite at its full size")

func TestConformance(t *testing.T) {
	s := theServer(t)
	t.Run("Open", func(t *testing.T) {
		defer portable(t, s)()
		transactionaltest.Run(t, transactionaltest.Harness{
			Source: func(t *testing.T) transactional.Source { return mysql.Open(s.url(s.database(t)), nil) },
			Restart: func(t *testing.T) (transactional.Source, func(context.Context) error) {
				own := ownServer(t)
				return mysql.Open(own.url(own.database(t)), nil), own.Restart
			},
			Full: *full,
		})
	})
	t.Run("FromDB", func(t *testing.T) {
		transactionaltest.Run(t, transactionaltest.Harness{
			Source: func(t *testing.T) transactional.Source {
				return mysql.FromDB(s.pool(t, s.database(t), strict), nil)
			},
			Restart: func(t *testing.T) (transactional.Source, func(context.Context) error) {
				own := ownServer(t)
				return mysql.FromDB(own.pool(t, own.database(t), strict), nil), own.Restart
			},
			Ops: 500, Full: *full,
		})
	})
}
