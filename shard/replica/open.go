package replica

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/plant"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/engine"
	"github.com/warrenmq/warren/shard/origin"
	"github.com/warrenmq/warren/storage"
)

// An Opened says where a shard's durable state stands: what its Raft group has
// to be opened with.
type Opened struct {
	Applied uint64
	Conf    []byte // as AppendConf encoded it; nil if there is no checkpoint
}

// Open restores a shard from its last checkpoint. Records and bodies stay on
// disk; the group replays what was logged behind it. Bind must follow before
// the group's first turn.
func Open(o Options) (*Shard, Opened, error) {
	if o.HotPages == 0 {
		o.HotPages = 256
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Origin == nil {
		o.Origin = origin.New(o.Incarnation)
	}
	s := &Shard{
		o: o, org: o.Origin, streams: map[uint64]*stream{}, served: map[queue.Incarnation]bool{}, slot: o.slot(),
	}
	s.guests.s = s
	s.e = engine.New(decisions{s}, o.Incarnation, o.Budget, s.org.Wakes)
	s.e.Mail, s.e.Self = o.Mail, s
	at, err := s.restore()
	if err != nil {
		return nil, at, fmt.Errorf("open shard %d: %w", o.Group, err)
	}
	s.planted = plant.Is(plant.AppliedTwice)
	return s, at, nil
}

func (s *Shard) restore() (at Opened, err error) {
	meta, err := s.o.State.Get(nil, key(nil, s.slot, keyApplied))
	if errors.Is(err, storage.ErrNotFound) {
		return at, s.sweep(0)
	}
	if err != nil {
		return at, err
	}
	var v [4]uint64
	if meta, err = uvarints(meta, v[:]); err != nil {
		return at, err
	}
	at.Applied, at.Conf = v[0], meta
	s.applied, s.atTerm, s.round = v[0], v[1], v[3]
	s.stamp = int64(v[2])
	s.clock.applied(s.stamp, replaying)
	s.e.Now = s.stamp
	s.progress.applied.Store(s.applied)
	s.progress.cut.Store(s.applied)
	if err := s.restoreStreams(); err != nil {
		return at, err
	}
	if err := s.restoreServed(); err != nil {
		return at, err
	}
	if err := s.restoreQueues(); err != nil {
		return at, err
	}
	return at, s.sweep(s.applied)
}

func uvarints(b []byte, v []uint64) (rest []byte, err error) {
	for i := range v {
		n := 0
		if v[i], n = binary.Uvarint(b); n <= 0 {
			return nil, fmt.Errorf("%w: cut short", storage.ErrDamaged)
		}
		b = b[n:]
	}
	return b, nil
}

// each calls f for every key of a kind.
func (s *Shard) each(kind byte, f func(k, v []byte) error) error {
	it, err := s.o.State.Iter(key(nil, s.slot, kind), key(nil, s.slot, kind+1))
	if err != nil {
		return err
	}
	for it.Next() {
		if err := f(it.Key(), it.Value()); err != nil {
			_ = it.Close() // the first error counts
			return err
		}
	}
	return it.Close()
}

func (s *Shard) restoreStreams() error {
	return s.each(keyStream, func(k, v []byte) error {
		if len(v) == 0 || v[0] != streamVersion {
			return fmt.Errorf("%w: stream record", storage.ErrDamaged)
		}
		var n [5]uint64
		rest, err := uvarints(v[1:], n[:])
		if err != nil {
			return err
		}
		node, _ := keyNumbers(k)
		st := &stream{ended: n[0], inc: n[1], last: n[2], floor: n[3]}
		for range n[4] {
			var e [2]uint64
			if rest, err = uvarints(rest, e[:]); err != nil {
				return err
			}
			if e[1] > uint64(len(rest)) {
				return fmt.Errorf("%w: stream record", storage.ErrDamaged)
			}
			refused := make([]uint32, e[1])
			for i := range refused {
				var r [1]uint64
				if rest, err = uvarints(rest, r[:]); err != nil {
					return err
				}
				refused[i] = uint32(r[0])
			}
			if st.exceptions == nil {
				st.exceptions = map[uint64][]uint32{}
			}
			st.exceptions[e[0]] = refused
		}
		s.streams[node] = st
		return nil
	})
}

func (s *Shard) restoreQueues() error {
	err := s.each(keyQueue, func(k, v []byte) error {
		id, _ := keyNumbers(k)
		var n [6]uint64 // revision, ending, grant, length of the settings
		rest, err := uvarints(v, n[:])
		if err != nil {
			return err
		}
		if n[1] > 2 || n[5] > uint64(len(rest)) {
			return fmt.Errorf("%w: queue record", storage.ErrDamaged)
		}
		set, err := shard.ParseSettings(rest[:n[5]])
		if err != nil {
			return err
		}
		l, err := queue.OpenLedger(set.Settings, rest[n[5]:])
		if err != nil {
			return fmt.Errorf("queue %d: %w", id, err)
		}
		s.revised(n[0])
		s.e.Add(&engine.Queue{
			ID: id, Ledger: l, Settings: set, Revision: n[0], Logged: true, Closed: n[1] > 0, Turned: n[1] > 1,
			Grant: shard.Grant{Node: n[2], Incarnation: n[3], Consumer: n[4]},
		})
		return nil
	})
	if err != nil {
		return err
	}
	err = s.each(keyPage, func(k, v []byte) error {
		id, page := keyNumbers(k)
		q := s.e.Queue(id)
		if q == nil {
			return fmt.Errorf("%w: page %d of queue %d, which has no record", storage.ErrDamaged, page, id)
		}
		return q.Ledger.OpenPage(page, v)
	})
	if err != nil {
		return err
	}
	for _, q := range s.e.Queues() {
		if err := q.Ledger.Opened(); err != nil {
			return fmt.Errorf("queue %d: %w", q.ID, err)
		}
	}
	return nil
}

// sweep deletes bodies that a round wrote before the crash that kept its cut
// from landing: what is live of them is copied again by the next round.
func (s *Shard) sweep(applied uint64) error {
	for _, kind := range [...]byte{keyBody, keyShared} {
		it, err := s.o.State.Iter(key1(nil, s.slot, kind, applied+1), key(nil, s.slot, kind+1))
		if err != nil {
			return err
		}
		b := s.o.State.NewBatch()
		for it.Next() {
			b.Delete(it.Key())
		}
		if err := it.Close(); err != nil {
			return err
		}
		if err := b.Commit(); err != nil {
			return err
		}
	}
	return nil
}
