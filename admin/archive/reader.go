package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"strings"
)

// An Item is what Next found. Exactly one of its fields is set.
type Item struct {
	Manifest    *Manifest
	Definitions []byte // a piece
	Queue       *Queue
	// Messages are valid until the next call.
	Messages []Message
	Gone     []uint64
	QueueEnd *QueueEnd
	End      *Totals
}

// A Reader reads one archive and checks it on the way. What it returned is only
// whole, and only belongs together, once Next has returned End.
type Reader struct {
	r      io.Reader
	at     int64
	sum    hash.Hash
	crcTab *crc32.Table
	buf    bytes.Buffer
	msgs   []Message
	gone   []uint64

	last  byte   // the kind before
	queue *Queue // that is open
	// What was read of it, and of the whole.
	messages, bytes, left uint64
	defs                  int
	total                 Totals
}

// NewReader reads the beginning of an archive.
func NewReader(r io.Reader) (*Reader, error) {
	x := &Reader{r: r, sum: sha256.New(), crcTab: crc32.MakeTable(crc32.Castagnoli)}
	head := make([]byte, len(magic)+4)
	n, err := io.ReadFull(r, head)
	switch {
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("read the archive: %w", err)
	case n < len(head) || string(head[:len(magic)]) != magic:
		return nil, ErrNotArchive
	}
	if v := binary.LittleEndian.Uint32(head[len(magic):]); v != Version {
		return nil, fmt.Errorf("the archive has version %d of the format, this program knows %d", v, Version)
	}
	x.sum.Write(head)
	x.at = int64(len(head))
	return x, nil
}

// part says what is being read, for DamageError.
func (x *Reader) part(kind byte) string {
	name := map[byte]string{
		kindManifest: "the manifest", kindDefinitions: "the definitions", kindQueue: "the head of a queue",
		kindMessages: "messages", kindGone: "the list of what is gone", kindQueueEnd: "the end of a queue", kindEnd: "the end",
	}[kind]
	if name == "" {
		name = "a frame"
	}
	if x.queue != nil {
		name += " of " + x.queue.What()
	}
	return name
}

func (x *Reader) damage(kind byte, format string, args ...any) error {
	return &DamageError{x.at, x.part(kind), fmt.Sprintf(format, args...)}
}

// Next returns what comes next. After End it returns io.EOF.
func (x *Reader) Next() (Item, error) {
	if x.last == kindEnd {
		return Item{}, x.behind()
	}
	var head [frameHead]byte
	if _, err := io.ReadFull(x.r, head[:]); err != nil {
		return Item{}, x.cut(x.last, err)
	}
	kind, size := head[0], binary.LittleEndian.Uint32(head[4:])
	if kind == 0 || kind > kindEnd || head[1]|head[2]|head[3] != 0 || size > maxFrame {
		return Item{}, x.damage(x.last, "what follows is no frame")
	}
	// The buffer grows with what is really there.
	x.buf.Reset()
	if n, err := io.CopyN(&x.buf, x.r, int64(size)+frameTail); err != nil {
		if n > 0 || errors.Is(err, io.EOF) {
			err = errors.Join(err, io.ErrUnexpectedEOF)
		}
		return Item{}, x.cut(kind, err)
	}
	payload := x.buf.Bytes()[:size]
	crc := crc32.Update(crc32.Checksum(head[:], x.crcTab), x.crcTab, payload)
	if binary.LittleEndian.Uint32(x.buf.Bytes()[size:]) != crc {
		return Item{}, x.damage(kind, "its checksum does not fit")
	}
	item, err := x.item(kind, payload)
	if err != nil {
		return Item{}, err
	}
	x.sum.Write(head[:])
	x.sum.Write(x.buf.Bytes())
	x.at += int64(size) + frameHead + frameTail
	x.last = kind
	return item, nil
}

// cut makes an error of what ends too early.
func (x *Reader) cut(kind byte, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return x.damage(kind, "the file ends too early")
	}
	return fmt.Errorf("read the archive at byte %d: %w", x.at, err)
}

// behind checks that nothing follows the end.
func (x *Reader) behind() error {
	switch n, err := io.ReadFull(x.r, make([]byte, 1)); {
	case n > 0:
		return x.damage(kindEnd, "something follows it")
	case errors.Is(err, io.EOF):
		return io.EOF
	default:
		return fmt.Errorf("read the archive at byte %d: %w", x.at, err)
	}
}

// item reads a payload, if it may stand here.
func (x *Reader) item(kind byte, payload []byte) (it Item, err error) {
	within := kind == kindMessages || kind == kindGone || kind == kindQueueEnd
	bad := (x.last == 0) != (kind == kindManifest) || within != (x.queue != nil)
	bad = bad || kind == kindDefinitions && x.last != kindManifest && x.last != kindDefinitions
	bad = bad || kind == kindMessages && x.last == kindGone
	if bad {
		return it, x.damage(kind, "it may not stand here")
	}
	switch kind {
	case kindManifest:
		it.Manifest = new(Manifest)
		err = json.Unmarshal(payload, it.Manifest)
	case kindDefinitions:
		it.Definitions = payload
		if x.defs += len(payload); x.defs > MaxDefinitions {
			return it, x.damage(kind, "they are longer than %d bytes", MaxDefinitions)
		}
	case kindQueue:
		it.Queue = new(Queue)
		if err = json.Unmarshal(payload, it.Queue); err == nil {
			x.queue, x.messages, x.bytes, x.left = it.Queue, 0, 0, 0
		}
	case kindMessages:
		it.Messages, err = x.readMessages(payload)
	case kindGone:
		it.Gone, err = x.readGone(payload)
	case kindQueueEnd:
		it.QueueEnd = new(QueueEnd)
		if err = json.Unmarshal(payload, it.QueueEnd); err == nil {
			err = x.endQueue(it.QueueEnd)
		}
	case kindEnd:
		it.End = new(Totals)
		err = x.end(payload, it.End)
	}
	if err != nil {
		return it, x.damage(kind, "%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return it, nil
}

var errContent = errors.New("its content can not be read")

func (x *Reader) readMessages(b []byte) ([]Message, error) {
	x.msgs = x.msgs[:0]
	for len(b) > 0 {
		var v [7]uint64
		for i := range v {
			n := 0
			if v[i], n = binary.Uvarint(b); n <= 0 {
				return nil, errContent
			}
			b = b[n:]
		}
		size := v[6]
		if v[1] > flagRedelivered|flagTTL || v[2] > 255 || v[3] > 1<<16-1 || v[4] > 1<<16-1 || v[5] > 1<<32-1 || size > uint64(len(b)) {
			return nil, errContent
		}
		x.msgs = append(x.msgs, Message{
			Seq: v[0], Redelivered: v[1]&flagRedelivered != 0, HasTTL: v[1]&flagTTL != 0, Priority: uint8(v[2]),
			Acquired: uint16(v[3]), Failed: uint16(v[4]), TTL: uint32(v[5]), Blob: b[:size:size],
		})
		b = b[size:]
		x.messages++
		x.bytes += size
	}
	return x.msgs, nil
}

func (x *Reader) readGone(b []byte) ([]uint64, error) {
	x.gone = x.gone[:0]
	last := uint64(0)
	for len(b) > 0 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errContent
		}
		last += v
		x.gone = append(x.gone, last)
		b = b[n:]
	}
	x.left += uint64(len(x.gone))
	return x.gone, nil
}

func (x *Reader) endQueue(e *QueueEnd) error {
	if e.Unavailable == "" && (x.left > x.messages || e.Messages != x.messages-x.left || e.Bytes != x.bytes) {
		return fmt.Errorf("it says %d messages of %d bytes, there are %d of %d, %d of them gone", e.Messages, e.Bytes, x.messages, x.bytes, x.left)
	}
	x.queue = nil
	x.total.Queues++
	x.total.Messages += e.Messages
	x.total.Bytes += e.Bytes
	return nil
}

func (x *Reader) end(b []byte, t *Totals) error {
	if len(b) != sha256.Size+24 {
		return errContent
	}
	if !bytes.Equal(b[:sha256.Size], x.sum.Sum(nil)) {
		return errors.New("the hash of the whole does not fit: parts of two archives, or parts that miss")
	}
	u := binary.LittleEndian.Uint64
	b = b[sha256.Size:]
	*t = Totals{u(b), u(b[8:]), u(b[16:])}
	if *t != x.total {
		return fmt.Errorf("it counts %+v, there are %+v", *t, x.total)
	}
	return nil
}
