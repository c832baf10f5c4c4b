package mysql_test

import (
	"context"
	"testing"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
	"github.com/fourfold-dev/fourfold/transactional/transactionaltest"
)

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
			Ops: 500,
		})
	})
}
