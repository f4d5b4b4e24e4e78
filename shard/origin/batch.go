package origin

import (
	"fmt"
	"slices"

	"github.com/warrenmq/warren/shard"
)

// A Batch is a numbered batch that is not answered.
type Batch struct {
	ID   shard.BatchID
	Runs []shard.Run

	b        *shard.Builder // while nobody else has its memory
	data     []byte         // as it was sealed last, for the log or a leader
	answered bool
	size     int

	// Admitted is the term of the leader whose marks the builder carries; Txs are
	// the commands of the transactions that it admitted in TxTerm, by item. They
	// are the replica's.
	Admitted, TxTerm uint64
	Txs              map[int][]byte
}

// Offered returns the batch of an entry's data that another node offers. The
// batch owns data.
func Offered(data []byte) (*Batch, error) {
	b, id, err := shard.Adopt(data)
	if err != nil {
		return nil, err
	}
	return &Batch{ID: id, b: b, size: len(data)}, nil
}

// Builder returns the batch, to be marked and sealed with a section.
func (b *Batch) Builder() *shard.Builder {
	if b.b == nil {
		// Who has what was sealed owns it: this is a copy.
		var err error
		if b.b, _, err = shard.Reopen(b.data); err != nil {
			panic(fmt.Sprintf("origin: batch %d of this node: %v", b.ID.Number, err))
		}
		b.Admitted = 0
	}
	return b.b
}

// Proposed says that the log took the batch, sealed as data.
func (b *Batch) Proposed(data []byte) { b.b, b.data = nil, data }

// Bytes returns the batch as an entry without section, for Host.Offer. Nobody
// may change it.
func (b *Batch) Bytes() []byte {
	if e, err := shard.ParseEntry(b.data); b.b == nil && err == nil && !e.HasLead && !e.Refused() {
		return b.data
	}
	x := b.Builder()
	x.Admit()
	b.Proposed(x.Seal(b.ID, nil))
	return b.data
}

// Number is the number of the batch taken last.
func (o *Origin) Number() uint64 { return o.number }

// Answered is the number up to which all batches are answered.
func (o *Origin) Answered() uint64 { return o.number - uint64(len(o.pending)) }

// Waiting reports whether a batch was taken and has to be sent.
func (o *Origin) Waiting() bool { return o.sent < len(o.pending) }

// Next returns the batch to be sent next, numbering the one that waits longest
// in the inbox if there is no other; nil if there is none, or too much is not
// answered. revision is the catalog's as this node knows it.
func (o *Origin) Next(revision uint64) *Batch {
	for o.sent < len(o.pending) && o.pending[o.sent].answered {
		o.sent++
	}
	if o.sent == len(o.pending) && !o.take(revision) {
		return nil
	}
	return o.pending[o.sent]
}

// Sent says that what Next returned was sent.
func (o *Origin) Sent() { o.sent++ }

// Rewind has all batches that are not answered sent again.
func (o *Origin) Rewind() { o.sent = 0 }

// take numbers the batch that waits in the inbox.
func (o *Origin) take(revision uint64) bool {
	if o.bytes >= maxPending {
		return false
	}
	var spare []shard.Run
	if n := len(o.runs); n > 0 {
		spare, o.runs = o.runs[n-1], o.runs[:n-1]
	}
	b, runs, resume := o.In.TakeBatch(spare)
	for _, f := range resume {
		f()
	}
	if b == nil {
		return false
	}
	o.number++
	x := &Batch{
		ID: shard.BatchID{
			Node: o.inc.Node, Incarnation: o.inc.Number, Number: o.number,
			Floor: o.number - uint64(len(o.pending)), Revision: revision,
		},
		b: b, Runs: runs, size: b.SealedSize(0),
	}
	o.pending = append(o.pending, x)
	o.bytes += x.size
	return true
}

// maxSpare bounds the slices kept for the runs of later batches.
const maxSpare = 4

// Answer takes what became of a batch. Answers to batches that are answered
// already change nothing.
func (o *Origin) Answer(number uint64, refused []uint32, what shard.BatchOutcome) {
	if what == shard.BatchGap {
		o.Rewind()
		return
	}
	if len(o.pending) == 0 || number < o.pending[0].ID.Number || number > o.number {
		return
	}
	b := o.pending[number-o.pending[0].ID.Number]
	if b.answered {
		return
	}
	b.answered = true
	if what == shard.BatchEnded {
		shard.Unknown(b.Runs)
	} else {
		shard.Confirm(b.Runs, refused)
	}
	o.Wakes.LaterRuns(b.Runs)
	if b.Runs != nil && len(o.runs) < maxSpare {
		clear(b.Runs)
		o.runs = append(o.runs, b.Runs[:0])
	}
	b.Runs = nil
	o.settleFront()
}

// settleFront lets go what is answered, from the first on.
func (o *Origin) settleFront() {
	n := 0
	for n < len(o.pending) && o.pending[n].answered {
		o.bytes -= o.pending[n].size
		n++
	}
	if n == 0 {
		return
	}
	k := copy(o.pending, o.pending[n:])
	clear(o.pending[k:])
	o.pending = o.pending[:k]
	o.sent = max(0, o.sent-n)
}

// Tx appends a transaction to the open batch; see shard.Shard. It may be called
// by any goroutine.
//
// What it settles stays held if it is refused. But when the lead changed since,
// nobody remembers by whom: then it is given back.
func (o *Origin) Tx(t *shard.Tx, done func(error)) (size int) {
	names, at := slices.Clone(t.Settles), o.handed.Load()
	return o.In.Tx(t, &shard.TxDone{Done: func(err error) {
		switch {
		case err == nil:
			o.drop(names)
		case o.handed.Load() != at:
			for i := range names {
				names[i].Outcome = shard.Abandon
			}
			o.In.Settle(names, nil)
		}
		done(err)
	}})
}

// Txs calls f for every transaction in a batch without an answer, with what it
// settles.
func (o *Origin) Txs(f func([]shard.Settle)) {
	for _, b := range o.pending {
		if b.answered {
			continue
		}
		x := b.b
		if x == nil {
			e, err := shard.ParseEntry(b.data)
			if err != nil || !e.HasTx() {
				continue
			}
			x = b.Builder()
		}
		for i := 0; i < x.Items(); i++ {
			if it := x.Item(i); it.Flags&shard.ItemTx != 0 {
				if ss, err := x.Settles(i, nil); err == nil {
					f(ss)
				}
			}
		}
	}
}
