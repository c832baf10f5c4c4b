package embedded

import (
	"testing"

	"github.com/fourfold-dev/fourfold/transactional/transactionaltest"
)

// No name and no value leaves its place in a statement.
func FuzzStatements(f *testing.F) { transactionaltest.FuzzStatements(f, dialect) }
