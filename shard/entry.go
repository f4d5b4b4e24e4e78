package shard

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/warrenmq/warren/core/message"
)

// The data of a log entry of a shard:
//
//	bodies…                 the stored messages of the batch, one behind the other
//	index                   of the batch, if there is one:
//	  node u64 | incarnation u64 | number u64 | floor u64 | revision u64 | items u32 | origins u32
//	  items × item          32 bytes each, see Item
//	  origins × origin      32 bytes each, see letters.go
//	section                 of the leader, if there is one:
//	  term u64 | stamp i64 | commands… (see section.go)
//	footer                  12 bytes
//	  index offset u32 | section offset u32 | version u8 | 0 u8 | 0 u16
//
// All integers are little-endian. An offset of noPart means that the part is
// missing. A body's place in its queue's record is its offset here, together
// with the index of the entry: its birth.
const (
	entryVersion  = 1
	footerSize    = 12
	batchHeadSize = 48
	itemSize      = 32
	noPart        = ^uint32(0)

	// MaxEntry bounds the data of an entry: offsets are 32 bits wide.
	MaxEntry = 1 << 30
)

// ErrFormat is wrapped by every error of a decoder of this package.
var ErrFormat = errors.New("shard: malformed entry")

// A BatchID says whose batch an entry carries: the Number-th of a node's
// incarnation for this shard. Floor is the number below which remembered
// outcomes may be forgotten, Revision the catalog's that it was routed on.
type BatchID struct {
	Node, Incarnation, Number, Floor, Revision uint64
}

// Flags of an Item.
const (
	// ItemHasTTL says that TTL is set.
	ItemHasTTL = 1 << iota
	// ItemSame says that the item is the same publish as the item before, for
	// another queue.
	ItemSame
	// ItemRefused says that the leader refused the publish for this queue.
	ItemRefused
	// ItemPosted says that what was refused goes to the queue's outbox.
	ItemPosted
	// ItemTx begins a transaction (see tx.go): so many items as Size says, which
	// are one publish. What it settles is where a message would be.
	ItemTx
	itemFlags = ItemHasTTL | ItemSame | ItemRefused | ItemPosted | ItemTx
)

// An Item of a batch is one publish for one queue:
//
//	queue u64 | offset u32 | length u32 | size u32 | ttl u32 | priority u8 | flags u8 | acquired u16 | failed u16 | origin u16
//
// Offset and length say where the stored message is; size is what it counts in
// the queue's bytes; origin counts the batch's origins from 1, 0 is none.
type Item struct {
	Queue    uint64
	Off, Len uint32
	Size     uint32
	TTL      uint32 // milliseconds
	Priority uint8
	Flags    uint8
	// Acquired and Failed are what the message's record begins with: it was
	// delivered before, in another queue or another life of this one.
	Acquired, Failed uint16
	Origin           uint16
}

func appendItem(dst []byte, it Item) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, it.Queue)
	dst = binary.LittleEndian.AppendUint32(dst, it.Off)
	dst = binary.LittleEndian.AppendUint32(dst, it.Len)
	dst = binary.LittleEndian.AppendUint32(dst, it.Size)
	dst = binary.LittleEndian.AppendUint32(dst, it.TTL)
	dst = append(dst, it.Priority, it.Flags)
	dst = binary.LittleEndian.AppendUint16(dst, it.Acquired)
	dst = binary.LittleEndian.AppendUint16(dst, it.Failed)
	return binary.LittleEndian.AppendUint16(dst, it.Origin)
}

// An Entry is the parsed form of an entry's data; it aliases it.
type Entry struct {
	Batch    BatchID
	HasBatch bool
	items    []byte
	origins  []byte
	Term     uint64 // of the section, if HasLead
	Stamp    int64  // log time in milliseconds, if HasLead
	HasLead  bool
	section  []byte
}

// ParseEntry parses the data of an entry. It checks every offset and length
// that reading the items needs, so that Item can not fail.
func ParseEntry(data []byte) (Entry, error) {
	var e Entry
	if len(data) == 0 {
		return e, nil
	}
	if len(data) < footerSize || len(data) > MaxEntry {
		return e, fmt.Errorf("%w: %d bytes", ErrFormat, len(data))
	}
	foot := data[len(data)-footerSize:]
	if foot[8] != entryVersion {
		return e, fmt.Errorf("%w: version %d, this build knows %d", ErrFormat, foot[8], entryVersion)
	}
	if foot[9]|foot[10]|foot[11] != 0 {
		return e, fmt.Errorf("%w: footer", ErrFormat)
	}
	indexOff, sectionOff := binary.LittleEndian.Uint32(foot), binary.LittleEndian.Uint32(foot[4:])
	end := uint32(len(data) - footerSize)
	if sectionOff != noPart {
		if sectionOff > end || end-sectionOff < 16 {
			return e, fmt.Errorf("%w: section at %d of %d", ErrFormat, sectionOff, end)
		}
		s := data[sectionOff:end]
		e.Term, e.Stamp, e.section = binary.LittleEndian.Uint64(s), int64(binary.LittleEndian.Uint64(s[8:])), s[16:]
		e.HasLead = true
		end = sectionOff
	}
	if indexOff == noPart {
		return e, nil
	}
	if indexOff > end || end-indexOff < batchHeadSize {
		return e, fmt.Errorf("%w: index at %d of %d", ErrFormat, indexOff, end)
	}
	x := data[indexOff:end]
	u := binary.LittleEndian.Uint64
	e.Batch = BatchID{u(x), u(x[8:]), u(x[16:]), u(x[24:]), u(x[32:])}
	origins := binary.LittleEndian.Uint32(x[44:])
	var err error
	if e.items, e.origins, err = splitIndex(x[batchHeadSize:], binary.LittleEndian.Uint32(x[40:]), origins); err != nil {
		return e, err
	}
	e.HasBatch = true
	tx := 0
	for i := range e.Items() {
		it := e.Item(i)
		if tx, err = it.checkTx(tx, e.Items()-i-1); err != nil {
			return e, err
		}
		if it.Off > indexOff || it.Len > indexOff-it.Off {
			return e, fmt.Errorf("%w: item %d at %d+%d of %d", ErrFormat, i, it.Off, it.Len, indexOff)
		}
		if it.Flags&^itemFlags != 0 || i == 0 && it.Flags&ItemSame != 0 || it.Flags&(ItemRefused|ItemPosted) == ItemPosted {
			return e, fmt.Errorf("%w: flags %#x of item %d", ErrFormat, it.Flags, i)
		}
		if uint32(it.Origin) > origins {
			return e, fmt.Errorf("%w: origin %d of item %d", ErrFormat, it.Origin, i)
		}
	}
	return e, nil
}

// Refused reports whether the leader refused an item of the batch.
func (e *Entry) Refused() bool {
	for i := 25; i < len(e.items); i += itemSize {
		if e.items[i]&ItemRefused != 0 {
			return true
		}
	}
	return false
}

// HasTx reports whether there is a transaction in the batch.
func (e *Entry) HasTx() bool {
	for i := 25; i < len(e.items); i += itemSize {
		if e.items[i]&ItemTx != 0 {
			return true
		}
	}
	return false
}

// Items returns the number of items of the batch.
func (e *Entry) Items() int { return len(e.items) / itemSize }

// Item returns the i-th item of the batch.
func (e *Entry) Item(i int) Item {
	b := e.items[i*itemSize : i*itemSize+itemSize]
	return Item{
		Queue:    binary.LittleEndian.Uint64(b),
		Off:      binary.LittleEndian.Uint32(b[8:]),
		Len:      binary.LittleEndian.Uint32(b[12:]),
		Size:     binary.LittleEndian.Uint32(b[16:]),
		TTL:      binary.LittleEndian.Uint32(b[20:]),
		Priority: b[24],
		Flags:    b[25],
		Acquired: binary.LittleEndian.Uint16(b[26:]),
		Failed:   binary.LittleEndian.Uint16(b[28:]),
		Origin:   binary.LittleEndian.Uint16(b[30:]),
	}
}

// Commands returns a decoder of the leader's section.
func (e *Entry) Commands() CommandDecoder { return CommandDecoder{rest: e.section} }

// A Builder builds the data of one entry in one buffer: bodies are appended as
// they arrive, index and section when it is sealed.
type Builder struct {
	data  []byte
	index []byte // items
	pubs  int

	origins []byte
}

// NewBuilder returns a builder whose buffers have the given capacities.
func NewBuilder(data, items int) *Builder {
	return &Builder{data: make([]byte, 0, data), index: make([]byte, 0, items*itemSize)}
}

// Size returns the bytes of the bodies appended.
func (b *Builder) Size() int { return len(b.data) }

// Publishes returns how many publishes were appended.
func (b *Builder) Publishes() int { return b.pubs }

// Items returns how many items they have.
func (b *Builder) Items() int { return len(b.index) / itemSize }

// Origins returns how many of the publishes have one.
func (b *Builder) Origins() int { return len(b.origins) / originSize }

// Add appends a publish.
func (b *Builder) Add(p *Publish) {
	off := uint32(len(b.data))
	b.data = message.AppendTo(b.data, p.Message)
	it := Item{Off: off, Len: uint32(len(b.data)) - off, Size: uint32(len(p.Message.Body)), TTL: p.TTL, Priority: p.Priority, Acquired: p.Acquired, Failed: p.Failed}
	if p.HasTTL {
		it.Flags = ItemHasTTL
	}
	if p.Origin != nil {
		b.origins = appendOrigin(b.origins, p.Origin)
		it.Origin = uint16(b.Origins())
	}
	for _, q := range p.Queues {
		it.Queue = q
		b.index = appendItem(b.index, it)
		it.Flags |= ItemSame
	}
	b.pubs++
}

// Copy appends the i-th item of another builder as a publish of its own, without
// its origin.
func (b *Builder) Copy(from *Builder, i int) {
	it := from.Item(i)
	off := uint32(len(b.data))
	b.data = append(b.data, from.data[it.Off:it.Off+it.Len]...)
	it.Off, it.Origin = off, 0
	it.Flags &^= ItemSame
	b.index = appendItem(b.index, it)
	b.pubs++
}

// Item returns the i-th item added.
func (b *Builder) Item(i int) Item {
	e := Entry{items: b.index}
	return e.Item(i)
}

// Refuse marks the i-th item as refused by the leader.
func (b *Builder) Refuse(i int) { b.index[i*itemSize+25] |= ItemRefused }

// Post marks the i-th item as refused by the leader and to be posted.
func (b *Builder) Post(i int) { b.index[i*itemSize+25] |= ItemRefused | ItemPosted }

// Reopen returns a builder with a copy of the batch of a sealed entry, for it to
// be sealed again with another section, and the batch's id. Nothing in it is
// marked as refused any more.
func Reopen(data []byte) (*Builder, BatchID, error) { return reopen(data, false) }

// Adopt is Reopen without a copy of the bodies: the builder owns data.
func Adopt(data []byte) (*Builder, BatchID, error) { return reopen(data, true) }

func reopen(data []byte, own bool) (*Builder, BatchID, error) {
	e, err := ParseEntry(data)
	if err != nil {
		return nil, BatchID{}, err
	}
	if !e.HasBatch {
		return nil, BatchID{}, fmt.Errorf("%w: no batch", ErrFormat)
	}
	bodies := binary.LittleEndian.Uint32(data[len(data)-footerSize:])
	b := &Builder{index: append([]byte(nil), e.items...), origins: append([]byte(nil), e.origins...)}
	if own {
		b.data = data[:bodies]
	} else {
		b.data = append(make([]byte, 0, len(data)), data[:bodies]...)
	}
	for i, tx := 0, 0; i < b.Items(); i++ {
		it := b.Item(i)
		switch {
		case tx > 0:
			tx--
		case it.Flags&ItemTx != 0:
			tx = int(it.Size)
			b.pubs++
		case it.Flags&ItemSame == 0:
			b.pubs++
		}
	}
	b.Admit()
	return b, e.Batch, nil
}

// Admit takes back all marks of Refuse and Post.
func (b *Builder) Admit() {
	for i := 25; i < len(b.index); i += itemSize {
		b.index[i] &^= ItemRefused | ItemPosted
	}
}

// Bodies returns the bodies appended, which the builder gives up.
func (b *Builder) Bodies() []byte {
	d := fit(b.data, len(b.data))
	b.data = nil
	return d
}

// fit returns d with room for size bytes and not much more: data is kept as
// long as a message in it lives, and is counted by its length.
func fit(d []byte, size int) []byte {
	if cap(d) >= size && cap(d) <= 2*size+256 {
		return d
	}
	return append(make([]byte, 0, size), d...)
}

// Seal finishes the entry and returns its data. section may be nil. The data
// shares the builder's memory: after Seal the builder may only be sealed again,
// as long as nobody keeps the data, or let go.
func (b *Builder) Seal(id BatchID, section *Section) []byte {
	n := 0
	if section != nil {
		n = section.Len()
	}
	b.data = fit(b.data, b.SealedSize(n))
	d := b.data
	indexOff, sectionOff := noPart, noPart
	le := binary.LittleEndian
	if len(b.index) > 0 {
		indexOff = uint32(len(d))
		for _, v := range [...]uint64{id.Node, id.Incarnation, id.Number, id.Floor, id.Revision} {
			d = le.AppendUint64(d, v)
		}
		d = le.AppendUint32(d, uint32(len(b.index)/itemSize))
		d = le.AppendUint32(d, uint32(len(b.origins)/originSize))
		d = append(append(d, b.index...), b.origins...)
	}
	if section != nil {
		sectionOff = uint32(len(d))
		d = le.AppendUint64(d, section.Term)
		d = le.AppendUint64(d, uint64(section.Stamp))
		d = append(d, section.Bytes()...)
	}
	d = le.AppendUint32(d, indexOff)
	d = le.AppendUint32(d, sectionOff)
	return append(d, entryVersion, 0, 0, 0)
}

// SealedSize returns how long the data will be when it is sealed with a
// section of so many bytes of commands.
func (b *Builder) SealedSize(section int) int {
	return len(b.data) + batchHeadSize + len(b.index) + len(b.origins) + 16 + section + footerSize
}
