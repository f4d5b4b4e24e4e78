package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Errors of a transaction.
var (
	// ErrRefused says that nothing of it happened: a queue is full, or a message
	// is not held any more.
	ErrRefused = errors.New("shard: transaction refused")
	// ErrUnknown says that its outcome can not be learnt.
	ErrUnknown = errors.New("shard: outcome unknown")
)

// A Tx is what one shard has of a transaction: all of it happens or nothing.
type Tx struct {
	// Publishes are told nobody by themselves.
	Publishes []Publish
	Settles   []Settle
}

// A transaction in a batch is an item with ItemTx, whose Size is the number of
// items behind it that belong to it. What it settles stands where other items
// have their message:
//
//	settle*{queue seq epoch term counter outcome}
//
// in uvarints. It is one publish to whoever counts them. It is applied if a
// CmdTx in the section of the same entry names it, else it is refused, and that
// is remembered with the batch: the batch stands whoever leads, but only who
// led when the entry was made knows what was held.

// AddTx appends a transaction.
func (b *Builder) AddTx(t *Tx) {
	off := uint32(len(b.data))
	for i := range t.Settles {
		s := &t.Settles[i]
		for _, v := range [...]uint64{s.Queue, s.Seq, s.Holding.Epoch, s.Holding.Term, s.Holding.Counter, uint64(s.Outcome)} {
			b.data = binary.AppendUvarint(b.data, v)
		}
	}
	head, pubs := len(b.index), b.pubs
	b.index = appendItem(b.index, Item{Off: off, Len: uint32(len(b.data)) - off, Flags: ItemTx})
	for i := range t.Publishes {
		b.Add(&t.Publishes[i])
	}
	n := (len(b.index)-head)/itemSize - 1
	binary.LittleEndian.PutUint32(b.index[head+16:], uint32(n))
	b.pubs = pubs + 1
}

// Settles decodes what the transaction that begins with the i-th item settles.
func (b *Builder) Settles(i int, dst []Settle) ([]Settle, error) {
	it := b.Item(i)
	rest := b.data[it.Off : it.Off+it.Len]
	for len(rest) > 0 {
		var v [6]uint64
		for k := range v {
			n := 0
			if v[k], n = binary.Uvarint(rest); n <= 0 {
				return dst, fmt.Errorf("%w: settles of a transaction", ErrFormat)
			}
			rest = rest[n:]
		}
		s := Settle{Queue: v[0], Seq: v[1], Outcome: Outcome(v[5])}
		s.Holding.Epoch, s.Holding.Term, s.Holding.Counter = v[2], v[3], v[4]
		dst = append(dst, s)
	}
	return dst, nil
}

// checkTx checks an item's part in a transaction. left is how many items the
// transaction before it still has, rest how many items follow.
func (it *Item) checkTx(left, rest int) (int, error) {
	switch head := it.Flags&ItemTx != 0; {
	case head && (left > 0 || it.Queue != 0 || it.Flags&^(ItemTx|ItemRefused) != 0 || int64(it.Size) > int64(rest)):
		return 0, fmt.Errorf("%w: a transaction of %d items", ErrFormat, it.Size)
	case head:
		return int(it.Size), nil
	case left > 0:
		return left - 1, nil
	}
	return 0, nil
}

// A TxDone tells what became of a transaction.
type TxDone struct{ Done func(error) }

// Confirmed implements Confirms.
func (d *TxDone) Confirmed(_ uint64, _ uint32, refused bool) {
	if refused {
		d.Done(ErrRefused)
		return
	}
	d.Done(nil)
}

// Unknown implements Confirms.
func (d *TxDone) Unknown(uint64, uint32) { d.Done(ErrUnknown) }

// Wake implements Confirms.
func (d *TxDone) Wake() {}
