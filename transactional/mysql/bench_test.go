package mysql_test

import (
	"testing"

	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transactional/mysql"
	"github.com/fourfold-dev/fourfold/transactional/transactionaltest"
)

func Benchmark(b *testing.B) {
	s := theServer(b)
	transactionaltest.Bench(b, func(b *testing.B) transactional.Source { return mysql.Open(s.url(s.database(b)), nil) })
}
