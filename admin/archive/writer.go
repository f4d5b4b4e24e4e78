package archive

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
)

// A Writer writes one archive, in the order that the package comment gives.
type Writer struct {
	w      io.Writer
	sum    hash.Hash
	buf    []byte // the frame that collects messages, its head included
	head   []byte
	total  Totals
	queue  QueueEnd
	open   bool // a queue is
	err    error
	crcTab *crc32.Table
}

// NewWriter begins an archive.
func NewWriter(w io.Writer, m Manifest) (*Writer, error) {
	x := &Writer{w: w, sum: sha256.New(), crcTab: crc32.MakeTable(crc32.Castagnoli)}
	x.write(binary.LittleEndian.AppendUint32([]byte(magic), Version))
	x.json(kindManifest, m)
	return x, x.err
}

func (x *Writer) write(b []byte) {
	if x.err != nil {
		return
	}
	x.sum.Write(b)
	if _, err := x.w.Write(b); err != nil {
		x.err = fmt.Errorf("write the archive: %w", err)
	}
}

func (x *Writer) frame(kind byte, payload []byte) {
	x.head = append(x.head[:0], kind, 0, 0, 0)
	x.head = binary.LittleEndian.AppendUint32(x.head, uint32(len(payload)))
	crc := crc32.Update(crc32.Checksum(x.head, x.crcTab), x.crcTab, payload)
	x.write(x.head)
	x.write(payload)
	x.write(binary.LittleEndian.AppendUint32(x.head[:0], crc))
}

func (x *Writer) json(kind byte, v any) {
	text, err := json.Marshal(v)
	if err != nil && x.err == nil {
		x.err = fmt.Errorf("write the archive: %w", err)
	}
	x.frame(kind, text)
}

// Definitions writes the definitions, once.
func (x *Writer) Definitions(text []byte) error {
	if len(text) > MaxDefinitions {
		return fmt.Errorf("the definitions have %d bytes, more than an archive takes (%d)", len(text), MaxDefinitions)
	}
	for len(text) > 0 {
		n := min(len(text), pieceSize)
		x.frame(kindDefinitions, text[:n])
		text = text[n:]
	}
	return x.err
}

// Queue begins a queue.
func (x *Writer) Queue(q Queue) error {
	if x.open {
		return errors.New("archive: a queue begins within another")
	}
	x.open, x.queue = true, QueueEnd{}
	x.json(kindQueue, q)
	return x.err
}

// Message adds a message to the queue.
func (x *Writer) Message(m *Message) error {
	if len(m.Blob) > maxFrame-64 {
		return fmt.Errorf("archive: a message of %d bytes", len(m.Blob))
	}
	var flags uint64
	if m.Redelivered {
		flags |= flagRedelivered
	}
	ttl := uint64(0)
	if m.HasTTL {
		flags |= flagTTL
		ttl = uint64(m.TTL)
	}
	for _, v := range [...]uint64{m.Seq, flags, uint64(m.Priority), uint64(m.Acquired), uint64(m.Failed), ttl, uint64(len(m.Blob))} {
		x.buf = binary.AppendUvarint(x.buf, v)
	}
	x.buf = append(x.buf, m.Blob...)
	x.queue.Messages++
	x.queue.Bytes += uint64(len(m.Blob))
	if len(x.buf) >= pieceSize {
		x.flush()
	}
	return x.err
}

const (
	flagRedelivered = 1 << iota
	flagTTL
)

func (x *Writer) flush() {
	if len(x.buf) == 0 {
		return
	}
	x.frame(kindMessages, x.buf)
	if x.buf = x.buf[:0]; cap(x.buf) > 4*pieceSize {
		x.buf = nil
	}
}

// EndQueue ends the queue, without those of its messages that are gone.
func (x *Writer) EndQueue(gone []uint64) error {
	x.flush()
	last := uint64(0)
	for i, seq := range gone {
		x.buf = binary.AppendUvarint(x.buf, seq-last)
		last = seq
		if len(x.buf) >= pieceSize || i == len(gone)-1 {
			x.frame(kindGone, x.buf)
			x.buf, last = x.buf[:0], 0
		}
	}
	x.queue.Messages -= uint64(len(gone))
	return x.end()
}

// Unavailable ends the queue as one whose messages could not be read. What was
// written of it counts for nothing.
func (x *Writer) Unavailable(why string) error {
	x.buf = x.buf[:0]
	x.queue = QueueEnd{Unavailable: why}
	return x.end()
}

func (x *Writer) end() error {
	x.open = false
	x.total.Queues++
	x.total.Messages += x.queue.Messages
	x.total.Bytes += x.queue.Bytes
	x.json(kindQueueEnd, x.queue)
	return x.err
}

// Close ends the archive and returns what is in it. It does not close what it
// writes to.
func (x *Writer) Close() (Totals, error) {
	if x.open {
		return x.total, errors.New("archive: it ends within a queue")
	}
	b := x.sum.Sum(nil)
	for _, n := range [...]uint64{x.total.Queues, x.total.Messages, x.total.Bytes} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	x.frame(kindEnd, b)
	return x.total, x.err
}
