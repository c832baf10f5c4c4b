// Package envelope is the wire format of an accepted object on its way: who it
// is, which of its tasks remain, and the object itself, once.
//
// The format is versioned and checksummed, because a program of yesterday and
// one of tomorrow share a queue during a deploy, and because beanstalkd's log
// has no checksum of its own. Golden envelopes lie in testdata.
//
// Layout, all integers unsigned varints unless said otherwise:
//
//	"4F" format(1 byte) flags(1 byte) crc32c(4 bytes, of everything after it)
//	id(16 bytes) kind key version(zigzag) tie(8 bytes) token accepted(zigzag, µs)
//	trace shape(8 bytes) body tasks… first(zigzag, µs; in a replayed one only)
//
// A string or byte string is its length and its bytes; tasks are a count and
// that many Task records. Fields that a later format appends after the tasks
// are skipped by this one and lost when it writes the envelope again, which is
// why a later format that cannot bear that raises the format byte: unknown
// formats are refused with fault.ErrUnsupported, never guessed at.
package envelope

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"math"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Format is the format that Append writes.
const Format = 1

// MaxBody bounds the object that Decode accepts, in bytes.
const MaxBody = 64 << 20

// maxTasks and maxText bound what a hostile envelope can make us allocate.
const (
	maxTasks = 1024
	maxText  = 4096
)

const (
	magic        = "4F"
	headLen      = 8
	flagDelete   = 1
	flagReplayed = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// An ID names an envelope. Its first eight bytes grow with time.
type ID [16]byte

// String is 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// ParseID is the inverse of String.
func ParseID(s string) (ID, bool) {
	var id ID
	if len(s) != 2*len(id) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(s))
	return id, err == nil
}

// A Task is what remains to do of one task.
type Task struct {
	Name      string // in the plan
	Attempts  int    // runs that ended in a refusal, or were counted before a run
	NotBefore int64  // µs since 1970; zero: at once
	Parked    byte   // the purpose whose store it waits for; zero: none
	Class     byte   // lane hint of the program that accepted it: 0 background, 1 real time
	Seen      byte   // bits that stay with the task: see the Seen constants
	Since     int64  // µs since 1970 of the first of the busy answers that are going on; zero: none
}

// Bits of Task.Seen.
const (
	SeenLate     = 1 << iota // its slice of time ran out
	SeenUnknown              // an attempt ended with an unknown outcome
	SeenDead                 // it is a dead letter that keeps its ordering key
	SeenReplayed             // a person replayed it where it was
)

// An Envelope is an accepted object with the tasks that remain.
type Envelope struct {
	ID       ID        // also of its record in the outbox
	Kind     string    // of the object
	Key      string    // of the object
	Version  int64     // of the object
	Tie      uint64    // decides between equal versions: a digest of Body
	Token    string    // the caller's; may be empty
	Accepted time.Time // UTC, microseconds
	Trace    string    // trace context, opaque
	Delete   bool      // a delete: Body is empty
	Shape    uint64    // digest of the property names that the program knew
	Body     []byte    // the object, encoded
	Tasks    []Task    // those that remain, 1024 at most
	First    time.Time // of a dead letter that was replayed: when it was first accepted; else zero
}

// FirstAccepted is when the object was accepted, by whichever envelope.
func (e *Envelope) FirstAccepted() time.Time {
	if e.First.IsZero() {
		return e.Accepted
	}
	return e.First
}

// Append appends the whole envelope to buf.
func (e *Envelope) Append(buf []byte) []byte {
	start := len(buf)
	buf = slices.Grow(buf, e.size())
	buf = append(buf, magic...)
	var flags byte
	if e.Delete {
		flags |= flagDelete
	}
	if !e.First.IsZero() {
		flags |= flagReplayed
	}
	buf = append(buf, Format, flags, 0, 0, 0, 0)
	buf = append(buf, e.ID[:]...)
	buf = appendText(buf, e.Kind)
	buf = appendText(buf, e.Key)
	buf = binary.AppendVarint(buf, e.Version)
	buf = binary.BigEndian.AppendUint64(buf, e.Tie)
	buf = appendText(buf, e.Token)
	buf = binary.AppendVarint(buf, e.Accepted.UnixMicro())
	buf = appendText(buf, e.Trace)
	buf = binary.BigEndian.AppendUint64(buf, e.Shape)
	buf = binary.AppendUvarint(buf, uint64(len(e.Body)))
	buf = append(buf, e.Body...)
	buf = AppendTasks(buf, e.Tasks)
	if flags&flagReplayed != 0 {
		buf = binary.AppendVarint(buf, e.First.UnixMicro())
	}
	sum := crc32.Checksum(buf[start+headLen:], castagnoli)
	sum = crc32.Update(sum, castagnoli, buf[start:start+4])
	binary.BigEndian.PutUint32(buf[start+4:], sum)
	return buf
}

// size is at least as much as Append appends.
func (e *Envelope) size() int {
	const numbers = headLen + len(ID{}) + 3*binary.MaxVarintLen64 + 2*8 + 5*binary.MaxVarintLen32
	return numbers + len(e.Kind) + len(e.Key) + len(e.Token) + len(e.Trace) + len(e.Body) + sizeOfTasks(e.Tasks)
}

func sizeOfTasks(tasks []Task) int {
	n := binary.MaxVarintLen32
	for i := range tasks {
		t := &tasks[i]
		n += len(t.Name) + 2*binary.MaxVarintLen16 + 3 + sizeOf(t.NotBefore) + sizeOf(t.Since)
		if t.Attempts > math.MaxUint16 {
			n += binary.MaxVarintLen64
		}
	}
	return n
}

// sizeOf is at least what a time takes, which most tasks have none of.
func sizeOf(us int64) int {
	if us == 0 {
		return 1
	}
	return binary.MaxVarintLen64
}

// AppendTasks appends what remains, in the form that an outbox row keeps as
// its progress.
func AppendTasks(buf []byte, tasks []Task) []byte {
	buf = slices.Grow(buf, sizeOfTasks(tasks))
	buf = binary.AppendUvarint(buf, uint64(len(tasks)))
	for _, t := range tasks {
		buf = appendText(buf, t.Name)
		buf = binary.AppendUvarint(buf, uint64(t.Attempts))
		buf = binary.AppendVarint(buf, t.NotBefore)
		buf = append(buf, t.Parked, t.Class, t.Seen)
		buf = binary.AppendVarint(buf, t.Since)
	}
	return buf
}

// Decode reads an envelope. The error is fault.ErrCorrupt for bytes that are
// no intact envelope and fault.ErrUnsupported for a format of the future. The
// result shares no memory with data.
func Decode(data []byte) (*Envelope, error) {
	e := &Envelope{}
	if err := e.Open(data, nil); err != nil {
		return nil, err
	}
	e.Body = append([]byte{}, e.Body...)
	return e, nil
}

// Open reads an envelope into e, which must be zero, as Decode does. Data are the
// envelope's from now on: its Body is a part of them. Its tasks lie in room, if
// that is enough for them.
func (e *Envelope) Open(data []byte, room []Task) error {
	if len(data) < headLen || string(data[:2]) != magic {
		return corrupt("no envelope")
	}
	if data[2] != Format {
		return fault.New(fault.ErrUnsupported, "", "decode envelope", "a format of a newer program")
	}
	sum := crc32.Checksum(data[headLen:], castagnoli)
	if crc32.Update(sum, castagnoli, data[:4]) != binary.BigEndian.Uint32(data[4:]) {
		return corrupt("checksum mismatch")
	}
	r := reader{data: data[headLen:]}
	e.Delete = data[3]&flagDelete != 0
	copy(e.ID[:], r.bytes(len(e.ID)))
	e.Kind = r.text()
	e.Key = r.text()
	e.Version = r.varint()
	e.Tie = r.uint64()
	e.Token = r.text()
	e.Accepted = time.UnixMicro(r.varint()).UTC()
	e.Trace = r.text()
	e.Shape = r.uint64()
	if n := r.uvarint(); n > MaxBody {
		r.bad = true
	} else {
		e.Body = r.bytes(int(n))
	}
	e.Tasks = r.tasks(room)
	if data[3]&flagReplayed != 0 {
		e.First = time.UnixMicro(r.varint()).UTC()
	}
	if r.bad {
		return corrupt("truncated or malformed")
	}
	return nil
}

// DecodeTasks reads what AppendTasks wrote.
func DecodeTasks(data []byte) ([]Task, error) {
	r := reader{data: data}
	tasks := r.tasks(nil)
	if r.bad {
		return nil, corrupt("malformed progress")
	}
	return tasks, nil
}

func corrupt(why string) error {
	return fault.New(fault.ErrCorrupt, "", "decode envelope", why)
}

func appendText(buf []byte, s string) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(s)))
	return append(buf, s...)
}

// A reader takes fields off data; the first one that does not fit makes it
// bad, and everything after that zero.
type reader struct {
	data  []byte
	texts string // a copy of data from some text on, of which the texts are parts: one allocation for many
	rest  int    // length of data when texts was made
	bad   bool
}

// textsLen is how much of the data is copied at once for its texts.
const textsLen = 256

func (r *reader) bytes(n int) []byte {
	if r.bad || n < 0 || n > len(r.data) {
		r.bad = true
		return nil
	}
	out := r.data[:n]
	r.data = r.data[n:]
	return out
}

func (r *reader) text() string {
	n := r.uvarint()
	if n > maxText || n > uint64(len(r.data)) {
		r.bad = true
	}
	if r.bad || n == 0 {
		return ""
	}
	from := r.rest - len(r.data)
	if r.texts == "" || from+int(n) > len(r.texts) {
		r.texts, r.rest, from = string(r.data[:min(len(r.data), max(int(n), textsLen))]), len(r.data), 0
	}
	r.data = r.data[n:]
	return r.texts[from : from+int(n)]
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.data)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.data)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) uint64() uint64 {
	b := r.bytes(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func (r *reader) byte() byte {
	b := r.bytes(1)
	if b == nil {
		return 0
	}
	return b[0]
}

// tasks appends to room, if it is enough for them.
func (r *reader) tasks(room []Task) []Task {
	n := r.uvarint()
	if r.bad || n > maxTasks {
		r.bad = true
		return nil
	}
	tasks := room
	if room == nil || n > uint64(cap(room)) {
		tasks = make([]Task, 0, n)
	}
	for range n {
		t := Task{Name: r.text(), Attempts: int(r.uvarint() & 0x7fffffff), NotBefore: r.varint()}
		t.Parked, t.Class, t.Seen = r.byte(), r.byte(), r.byte()
		t.Since = r.varint()
		if r.bad {
			return nil
		}
		tasks = append(tasks, t)
	}
	return tasks
}
