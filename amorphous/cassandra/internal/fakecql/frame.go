package fakecql

import (
	"encoding/binary"
	"errors"
	"io"
)

// Opcodes of the protocol, version 4.
const (
	opError     = 0x00
	opStartup   = 0x01
	opReady     = 0x02
	opOptions   = 0x05
	opSupported = 0x06
	opQuery     = 0x07
	opResult    = 0x08
	opPrepare   = 0x09
	opExecute   = 0x0a
	opRegister  = 0x0b
	opBatch     = 0x0d
)

// Kinds of results.
const (
	resultVoid        = 1
	resultRows        = 2
	resultSetKeyspace = 3
	resultPrepared    = 4
)

// Types of columns.
const (
	typeBigint  = 0x02
	typeBlob    = 0x03
	typeInt     = 0x09
	typeUUID    = 0x0c
	typeVarchar = 0x0d
	typeInet    = 0x10
	typeSet     = 0x22
)

// maxFrame bounds what a client may make us allocate.
const maxFrame = 16 << 20

// A frame is one request.
type frame struct {
	version byte
	stream  [2]byte
	op      byte
	body    []byte
}

func readFrame(r io.Reader) (frame, error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{version: head[0] & 0x7f, stream: [2]byte(head[2:4]), op: head[4]}
	size := binary.BigEndian.Uint32(head[5:])
	if size > maxFrame {
		return frame{}, errors.New("the frame is too long")
	}
	f.body = make([]byte, size)
	_, err := io.ReadFull(r, f.body)
	return f, err
}

// reply is a response to a frame, in version 4 whatever was asked.
func (f frame) reply(op byte, body []byte) []byte {
	out := []byte{0x84, 0, f.stream[0], f.stream[1], op}
	out = binary.BigEndian.AppendUint32(out, uint32(len(body)))
	return append(out, body...)
}

// A builder encodes a body.
type builder []byte

func (b *builder) short(n int)   { *b = binary.BigEndian.AppendUint16(*b, uint16(n)) }
func (b *builder) int(n int)     { *b = binary.BigEndian.AppendUint32(*b, uint32(int32(n))) }
func (b *builder) byte(n byte)   { *b = append(*b, n) }
func (b *builder) text(s string) { b.short(len(s)); *b = append(*b, s...) }
func (b *builder) value(v []byte) {
	b.int(len(v))
	*b = append(*b, v...)
}

// A parser decodes a body; what is missing reads as zero and sets bad.
type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) take(n int) []byte {
	if n < 0 || n > len(p.rest) {
		p.bad = true
		p.rest = nil
		return nil
	}
	out := p.rest[:n]
	p.rest = p.rest[n:]
	return out
}

func (p *parser) short() int {
	if b := p.take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (p *parser) int() int {
	if b := p.take(4); b != nil {
		return int(int32(binary.BigEndian.Uint32(b)))
	}
	return 0
}

func (p *parser) byte() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *parser) longText() string { return string(p.take(p.int())) }
func (p *parser) shortID() string  { return string(p.take(p.short())) }

// value skips one bound value.
func (p *parser) value() {
	if n := p.int(); n > 0 {
		p.take(n)
	}
}
