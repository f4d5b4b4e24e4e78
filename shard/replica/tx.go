package replica

import (
	"fmt"

	"github.com/warrenmq/warren/internal/plant"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/origin"
)

// A transaction is an item of its node's batch, which stands whoever leads. It
// is applied if the section of the same entry says that it may be: then all it
// settles was held when the entry was made, and no queue was full. The commands
// that settle are inside of that, so that they are void with a batch that is
// not applied, as with a section that is.

// Tx implements shard.Shard.
func (s *Shard) Tx(t *shard.Tx, done func(error)) {
	s.poke(s.org.Tx(t, done))
}

// admitTx decides about the transaction that begins with the i-th item.
func (s *Shard) admitTx(b *origin.Batch, x *shard.Builder, i int) {
	head := x.Item(i)
	settles, err := x.Settles(i, nil)
	commands, again := b.Txs[i]
	if again = again && b.TxTerm == s.term; err != nil || !again && !s.e.TxCurrent(settles) || !s.admitAll(x, i+1, int(head.Size)) {
		for k := i; k <= i+int(head.Size); k++ {
			x.Refuse(k)
		}
		return
	}
	if !again {
		s.e.Flush() // what was decided before is no part of it
		s.into = &shard.Section{}
		s.e.TxSettle(settles)
		commands = s.into.Bytes()
		s.into = nil
		if b.TxTerm != s.term {
			b.Txs, b.TxTerm = map[int][]byte{}, s.term
		}
		b.Txs[i] = commands
	}
	s.section.Add(shard.Command{Kind: shard.CmdTx, Queue: uint64(i), Settings: commands})
}

// admitAll admits n items from the i-th on, or none of them.
func (s *Shard) admitAll(b *shard.Builder, i, n int) bool {
	for k := i; k < i+n; k++ {
		it := b.Item(k)
		q := s.led(it.Queue)
		if q == nil || q.Closing() || s.e.TxAdmit(q, &it) {
			continue
		}
		for k--; k >= i; k-- {
			it := b.Item(k)
			if q := s.e.Queue(it.Queue); q != nil && !q.Closing() {
				q.Disp.Withdraw(it.Priority, it.Size)
			}
		}
		return false
	}
	for k := i; k < i+n; k++ {
		if q := s.e.Queue(b.Item(k).Queue); q != nil {
			s.e.Ask(q)
		}
	}
	return true
}

// decided is where decisions go: into a transaction's commands, or the section.
func (s *Shard) decided() *shard.Section {
	if s.into != nil {
		return s.into
	}
	return &s.section
}

// A txAdmitted is a transaction of the batch beside that may be.
type txAdmitted struct {
	item     uint64
	commands []byte
}

// applyTx performs the commands of the transaction that begins with an item. It
// returns false if the transaction is refused.
func (s *Shard) applyTx(i int, head *shard.Item) (bool, error) {
	if head.Flags&shard.ItemRefused != 0 {
		return false, nil
	}
	for _, a := range s.admitted {
		if a.item != uint64(i) {
			continue
		}
		d := shard.DecodeCommands(a.commands)
		var c shard.Command
		for {
			ok, err := d.Next(&c)
			if err != nil || !ok {
				return true, err
			}
			switch c.Kind {
			case shard.CmdSettle, shard.CmdReturn, shard.CmdRemove, shard.CmdPost:
			default:
				return true, fmt.Errorf("%w: command %d in a transaction", shard.ErrFormat, c.Kind)
			}
			if q := s.e.Queue(c.Queue); q != nil && q.Logged && !plant.Is(plant.TornTx) {
				s.touchDirty(q)
				if err := s.command(q, &c); err != nil {
					return true, err
				}
			}
		}
	}
	return false, nil
}
