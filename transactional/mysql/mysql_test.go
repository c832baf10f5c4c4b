package mysql_test

import (
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
		})
	})
	t.Run("FromDB", func(t *testing.T) {
		transactionaltest.Run(t, transactionaltest.Harness{
			Source: func(t *testing.T) transactional.Source {
				return mysql.FromDB(s.pool(t, s.database(t), "?sql_mode=%27STRICT_ALL_TABLES%27"), nil)
			},
			Ops: 500,
		})
	})
}
