package sqlitefile

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

var refusedTexts = []string{
	"COMMIT", "commit", " \n\tCommit;", "END", "end transaction", "BEGIN", "BEGIN IMMEDIATE", "ROLLBACK",
	"ROLLBACK TO unit", "SAVEPOINT a", "RELEASE unit", "RELEASE SAVEPOINT unit", "ATTACH 'x' AS y", "DETACH y", "VACUUM",
	"SELECT 1; COMMIT", "SELECT ';'; COMMIT", "-- x\nCOMMIT", "/* x */ COMMIT", "/* ' */COMMIT/* ' */",
	"\ufeffCOMMIT", "INSERT OR ROLLBACK INTO t VALUES (1)", "CREATE TABLE u (a UNIQUE ON CONFLICT ROLLBACK)",
	"CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
	"CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END; END",
	"PRAGMA synchronous = OFF", "PRAGMA main.synchronous = OFF", "PRAGMA 'synchronous' = 'OFF'", `PRAGMA "cache_size"(7)`,
}

var allowedTexts = []string{
	"", "-- nothing", "SELECT 1", "SELECT 'COMMIT'", "SELECT ';COMMIT'", "SELECT \"end\" FROM (SELECT 1 AS \"end\")",
	"SELECT CASE WHEN 1 THEN 2 END", "SELECT 1 -- ; COMMIT", "SELECT /* ; COMMIT */ 1", "SELECT 1; SELECT 2",
	"CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; SELECT 2; END",
	"PRAGMA user_version = 3", "PRAGMA table_info(t)", "SELECT 'it''s'; SELECT [COMMIT] FROM (SELECT 1 AS [COMMIT])",
}

func TestControlIsRefused(t *testing.T) {
	for _, text := range refusedTexts {
		if err := refuseControl(text); !errors.Is(err, fault.ErrRefused) {
			t.Errorf("%q: err = %v, want refused", text, err)
		}
	}
	for _, text := range allowedTexts {
		if err := refuseControl(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzControl asks SQLite itself: whatever is let through leaves the
// transaction open, and the savepoint in it.
func FuzzControl(f *testing.F) {
	for _, text := range append(refusedTexts, allowedTexts...) {
		f.Add(text)
	}
	raw, err := openWriter(filepath.Join(f.TempDir(), "x.db"), Options{Relaxed: true}.withDefaults())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { raw.close() })
	if err := raw.control("CREATE TABLE t (k)"); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if refuseControl(text) != nil || strings.Contains(strings.ToUpper(text), "RECURSIVE") {
			return // refused, or endless
		}
		for _, s := range []string{"BEGIN IMMEDIATE", "SAVEPOINT unit"} {
			if err := raw.control(s); err != nil {
				t.Fatal(err)
			}
		}
		_ = raw.control(text) // most of them are no SQL at all
		for _, s := range []string{"ROLLBACK TO unit", "RELEASE unit", "ROLLBACK"} {
			if err := raw.control(s); err != nil {
				t.Fatalf("%q was let through, and then %s: %v", text, s, err)
			}
		}
	})
}
