package embedded

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/transitory"
)

// A process that is killed while it has jobs leaves word of how often each was
// handed out; the next one goes on counting.
func TestReservesAreCountedAcrossAKill(t *testing.T) {
	dir := t.TempDir()
	open := func() transitory.Driver {
		d, err := Dir(dir, nil).OpenDriver(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := open()
	if err := d.Put(t.Context(), []transitory.Job{{Tube: "t", TTR: time.Hour}})[0]; err != nil {
		t.Fatal(err)
	}
	for want := 1; want <= 5; want++ {
		jobs, err := d.Reserve(t.Context(), []string{"t"}, 1)
		if err != nil || jobs[0].Reserves != want {
			t.Fatalf("reserve %d says %+v, %v", want, jobs, err)
		}
		if want == 3 { // a release writes the row
			if err := d.Release(t.Context(), []transitory.Release{{ID: jobs[0].ID}})[0]; err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := d.Close(); err != nil { // of a job's reserves it writes nothing, as a kill would
			t.Fatal(err)
		}
		d = open()
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// When the file is written anew it keeps what the rows do not say.
func TestTallyIsWrittenAnew(t *testing.T) {
	dir := t.TempDir()
	x, err := newTally(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	x.size = tallyMost
	x.add([]handed{{entry: &entry{id: 1}, reserves: 1}}, func(buf []byte) []byte { return appendTally(buf, 7, 3) })
	x.add([]handed{{entry: &entry{id: 8}, reserves: 2}}, nil)
	counts, err := readTally(dir)
	if err != nil || fmt.Sprint(counts) != "map[7:3 8:2]" || x.failed() != nil {
		t.Errorf("the file says %v, %v, %v", counts, err, x.failed())
	}
	info, err := os.Stat(filepath.Join(dir, tallyName))
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 2*tallyRecord {
		t.Errorf("the file is %v, %v", info, err)
	}
}

// Whatever the bytes: no panic, and what whole records say is found.
func FuzzParseTally(f *testing.F) {
	f.Add(appendTally(appendTally(nil, 1, 2), 3, 4))
	f.Add([]byte("short"))
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, data []byte) {
		for id, reserves := range parseTally(data) {
			if id <= 0 || reserves <= 0 {
				t.Errorf("job %d has %d reserves", id, reserves)
			}
		}
		whole := data[:len(data)/tallyRecord*tallyRecord]
		if got := parseTally(appendTally(bytes.Clone(whole), 5, 1<<30)); got[5] != 1<<30 && got[5] < 1<<30 {
			t.Errorf("a whole record is lost behind %x: %v", data, got)
		}
	})
}
