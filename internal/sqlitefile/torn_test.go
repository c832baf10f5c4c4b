package sqlitefile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A snapshot is a database as a kill leaves it: everything since the table was
// made stands in the log only. ends[i] is where the log ended when i rows were
// acknowledged.
type snapshot struct {
	database, log []byte
	ends          []int
}

func takeSnapshot(t *testing.T, rows int) *snapshot {
	t.Helper()
	f := openTest(t, Options{})
	read := func(suffix string) []byte {
		text, err := os.ReadFile(filepath.Join(f.db.dir, databaseName+suffix))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	s := &snapshot{ends: []int{len(read("-wal"))}}
	for k := range rows {
		mustWrite(t, f, "INSERT INTO t VALUES (?, ?)", k, fmt.Sprint("row ", k))
		s.ends = append(s.ends, len(read("-wal")))
	}
	s.database, s.log = read(""), read("-wal")
	return s
}

// intact is how many rows a log of this length has whole.
func (s *snapshot) intact(length int) int {
	n := 0
	for n+1 < len(s.ends) && s.ends[n+1] <= length {
		n++
	}
	return n
}

// rows opens the database with another log and returns how many rows it has.
// Each must be as it was written, and none of them may be missing between
// others.
func (s *snapshot) rows(t *testing.T, log []byte) int {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	err := errors.Join(os.Mkdir(dir, 0o700),
		os.WriteFile(filepath.Join(dir, databaseName), s.database, 0o600),
		os.WriteFile(filepath.Join(dir, databaseName+"-wal"), log, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatalf("a log of %d bytes: %v", len(log), err)
	}
	defer f.Close()
	n := 0
	err = f.Read(t.Context(), func(c Conn) error {
		return c.Query(t.Context(), "SELECT k, v FROM t ORDER BY k", nil, func(scan func(...any) error) error {
			var k int
			var v string
			if err := scan(&k, &v); err != nil {
				return err
			}
			if k != n || v != fmt.Sprint("row ", k) {
				t.Errorf("a log of %d bytes: row %d is %d, %q", len(log), n, k, v)
			}
			n++
			return nil
		})
	})
	if err != nil {
		t.Fatalf("a log of %d bytes: %v", len(log), err)
	}
	mustWrite(t, f, "INSERT INTO t VALUES (?, ?)", 1000, "it goes on")
	return n
}

// A log that is torn, at the end of a record, within it, or into zeros as a
// file system leaves them, has every record before that whole, and nothing of
// the torn one.
func TestATornLogKeepsWhatIsBefore_A8_A10(t *testing.T) {
	s := takeSnapshot(t, 5)
	begin, end := s.ends[4], s.ends[5]
	cuts := []int{begin, begin + 1, begin + 23, begin + 24, begin + 25, end - 1, end}
	for cut := begin; cut < end; cut += 199 {
		cuts = append(cuts, cut)
	}
	for _, cut := range cuts {
		for _, zeros := range []int{0, 4096} {
			log := append(slices.Clone(s.log[:cut]), make([]byte, zeros)...)
			if n := s.rows(t, log); n != s.intact(cut) {
				t.Errorf("cut at %d of %d, and %d zeros: %d rows, want %d", cut, end, zeros, n, s.intact(cut))
			}
		}
	}
}

// A bit that flips in the log is noticed: what is before it is there, and
// nothing of what it damaged is taken for true. What came after it is lost with
// it, because each record is sealed with all before it.
func TestAFlippedBitInTheLogIsNoticed_A9(t *testing.T) {
	s := takeSnapshot(t, 4)
	for at := s.ends[1]; at < s.ends[3]; at += 307 {
		log := slices.Clone(s.log)
		log[at] ^= 1 << (at % 8)
		if n := s.rows(t, log); n != s.intact(at) {
			t.Errorf("a bit flipped at %d of %d: %d rows, want the %d before it", at, len(log), n, s.intact(at))
		}
	}
}

// A database that is not one, or cannot be read at all, is refused when it is
// opened, and left as it is.
func TestAnUnreadableFileIsRefused_A14(t *testing.T) {
	s := takeSnapshot(t, 1)
	garbled := slices.Clone(s.database)
	copy(garbled, bytes.Repeat([]byte{0xa5}, 4096))
	for name, content := range map[string][]byte{"no database": []byte("this is a letter to my aunt, and not a database at all"), "a garbled first page": garbled} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			path := filepath.Join(dir, databaseName)
			if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(path, content, 0o600)); err != nil {
				t.Fatal(err)
			}
			f, err := Open(t.Context(), dir, Options{})
			if f != nil {
				defer f.Close()
			}
			if err == nil {
				err = write(t.Context(), f, "CREATE TABLE u (k INTEGER)")
			}
			if !errors.Is(err, fault.ErrCorrupt) {
				t.Errorf("err = %v, want corrupt", err)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
}
