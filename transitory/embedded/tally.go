package embedded

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

const (
	tallyName   = "fourfold.reserved"
	tallyRecord = 16      // bytes: id, reserves, checksum
	tallyMost   = 4 << 20 // bytes, before it is written anew
)

// A tally is a file that says how often jobs were handed out. A job that kills
// its worker, and with it this process, must be known as such when the next
// process hands it out, and a transaction for every Reserve would be too slow:
// so each Reserve appends to this file, without an fsync, which a kill does not
// take back. What the table says of a job holds as well; the larger number is
// right.
type tally struct {
	path string

	mu   sync.Mutex
	file *os.File
	size int64
	err  error // of the last write that failed: counts are in memory only since
	buf  []byte
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// readTally returns what the file of an earlier process says, by job. Records
// that are torn or damaged are passed over: they only count.
func readTally(dir string) (map[int64]int, error) {
	data, err := os.ReadFile(filepath.Join(dir, tallyName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return parseTally(data), err
}

func parseTally(data []byte) map[int64]int {
	counts := map[int64]int{}
	for ; len(data) >= tallyRecord; data = data[tallyRecord:] {
		if crc32.Checksum(data[:12], castagnoli) != binary.LittleEndian.Uint32(data[12:]) {
			continue
		}
		id, reserves := int64(binary.LittleEndian.Uint64(data)), int(int32(binary.LittleEndian.Uint32(data[8:])))
		if id > 0 && reserves > counts[id] {
			counts[id] = reserves
		}
	}
	return counts
}

func appendTally(buf []byte, id int64, reserves int) []byte {
	at := len(buf)
	buf = binary.LittleEndian.AppendUint64(buf, uint64(id))
	buf = binary.LittleEndian.AppendUint32(buf, uint32(reserves))
	return binary.LittleEndian.AppendUint32(buf, crc32.Checksum(buf[at:], castagnoli))
}

// newTally begins an empty file; what the old one said is in the table by now.
func newTally(dir string) (*tally, error) {
	t := &tally{path: filepath.Join(dir, tallyName)}
	return t, t.begin(nil)
}

// begin replaces the file by one with these records.
func (t *tally) begin(records []byte) error {
	tmp := t.path + ".new"
	file, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if _, err = file.Write(records); err == nil {
		err = os.Rename(tmp, t.path)
	}
	if err != nil {
		_ = file.Close()
		return err
	}
	if t.file != nil {
		_ = t.file.Close()
	}
	t.file, t.size = file, int64(len(records))
	return nil
}

// add records jobs that are being handed out. When the file has grown too large
// it is written anew with what current appends: the jobs whose rows do not say
// it yet.
func (t *tally) add(taken []handed, current func(buf []byte) []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		return
	}
	t.buf = t.buf[:0]
	for _, h := range taken {
		t.buf = appendTally(t.buf, h.entry.id, h.reserves)
	}
	var n int
	n, t.err = t.file.Write(t.buf)
	t.size += int64(n)
	if t.size > tallyMost {
		t.err = t.begin(current(nil))
	}
}

// failed is the error of the last write.
func (t *tally) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

func (t *tally) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	t.file = nil
	return err
}
