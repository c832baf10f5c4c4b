package mysql

import (
	"database/sql/driver"
	"testing"

	"github.com/fourfold-dev/fourfold/internal/costtest"
)

// A group's statement has hundreds of arguments.
func TestArgumentsCostNothing(t *testing.T) {
	var s session
	args := make([]any, 0, 400)
	for range 100 {
		args = append(args, int64(1000), "text", []byte("bytes"), nil)
	}
	used := 0
	use := func(named []driver.NamedValue) error {
		used = len(named)
		return nil
	}
	costtest.Check(t, "the arguments of a statement", 1, costtest.Bound{Allocs: 1, Bytes: 100}, func() {
		if err := s.withArgs(args, use); err != nil || used != len(args) {
			t.Errorf("%d of %d arguments, %v", used, len(args), err)
		}
	})
}
