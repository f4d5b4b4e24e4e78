// Package snapshot moves the state of a Raft group to a node that lags behind
// the group's log, or is new to it.
//
// A Sender answers Raft's wish for a snapshot with the newest checkpoint, which
// it holds open in the state store, and streams it to whoever asks. A Receiver
// holds back Raft's message until all of the state is staged, durably, in a slot
// of its own (storage/slot); Raft then has it installed. Raft's log behind the
// checkpoint is kept meanwhile.
//
// The package neither dials nor paces: streams are handed in. It does not
// interpret what it moves. A Receiver starts one goroutine for each transfer,
// bounded; a Sender starts none.
package snapshot

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/slot"
)

const (
	// fresh is how long a checkpoint that is held open is given to further
	// nodes.
	fresh = 10 * time.Second
	// patience is how long one is held open that nobody reads.
	patience = time.Minute
	// bufferSize is how much is written to a stream at once.
	bufferSize = 64 << 10
)

// errGone says that a transfer is asked for that is not held open any more.
var errGone = errors.New("snapshot: it is not held any more")

// SenderOptions of NewSender.
type SenderOptions struct {
	State storage.State
	Slots *slot.Slots
	// Mark says where the state of a group stands that is in a slot; ok is false if
	// there is none.
	Mark func(r storage.Reader, group, in uint64) (m slot.Mark, ok bool, err error)
	// Want asks for a round of checkpoints; it must not wait.
	Want func()
	// Sent is told how a transfer ended; see raftgroup.Group.ReportSnapshot.
	Sent func(group, to uint64, ok bool)
	// Now is monotonic.
	Now    func() time.Duration
	Logger *slog.Logger
}

// A Sender gives away the states of this node's groups. Its methods may be
// called from any goroutine.
type Sender struct {
	o SenderOptions

	mu       sync.Mutex
	last     uint64
	sessions map[uint64]*session
}

// A session is a checkpoint that is held open.
type session struct {
	id, group, slot uint64
	snap            storage.Snapshot
	mark            slot.Mark
	opened, used    time.Duration
	readers         int
}

// NewSender returns a sender that holds nothing open.
func NewSender(o SenderOptions) *Sender {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Sender{o: o, sessions: map[uint64]*session{}}
}

// Of returns what gives Raft snapshots of a group.
func (s *Sender) Of(group uint64) raftgroup.SnapshotProvider { return provider{s, group} }

type provider struct {
	s     *Sender
	group uint64
}

// Snapshot implements raftgroup.SnapshotProvider.
func (p provider) Snapshot(atLeast uint64) (raftgroup.Snapshot, bool) {
	x, err := p.s.hold(p.group, atLeast)
	if err != nil {
		p.s.o.Logger.Error("a snapshot can not be given", "group", p.group, "err", err)
		return raftgroup.Snapshot{}, false
	}
	if x == nil {
		step.At(step.SnapshotWanted)
		p.s.o.Want()
		return raftgroup.Snapshot{}, false
	}
	conf, err := raftgroup.ParseConf(x.mark.Conf)
	if err != nil {
		p.s.o.Logger.Error("a snapshot can not be given", "group", p.group, "err", err)
		return raftgroup.Snapshot{}, false
	}
	step.At(step.SnapshotOffered)
	return raftgroup.Snapshot{
		Index: x.mark.Index, Term: x.mark.Term, ConfState: conf, ID: binary.BigEndian.AppendUint64(nil, x.id),
	}, true
}

// hold returns a session of the group's newest checkpoint that stands at least
// there; nil if there is none.
func (s *Sender) hold(group, atLeast uint64) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	for _, x := range s.sessions {
		if x.group == group && x.mark.Index >= atLeast && now-x.opened < fresh {
			x.used = now
			return x, nil
		}
	}
	in := s.o.Slots.Of(group)
	snap := s.o.State.Snapshot()
	mark, ok, err := s.o.Mark(snap, group, in)
	if err != nil || !ok || mark.Index < atLeast {
		return nil, errors.Join(err, snap.Close())
	}
	s.last++
	x := &session{id: s.last, group: group, slot: in, snap: snap, mark: mark, opened: now, used: now}
	s.sessions[x.id] = x
	return x, nil
}

// Tick lets go what nobody reads. It is called every second or so.
func (s *Sender) Tick() { s.letGo(s.o.Now() - patience) }

// Close lets everything go; transfers under way must have ended.
func (s *Sender) Close() { s.letGo(1<<63 - 1) }

// letGo closes the sessions that were not used since.
func (s *Sender) letGo(since time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, x := range s.sessions {
		if x.readers == 0 && x.used < since {
			delete(s.sessions, id)
			if err := x.snap.Close(); err != nil {
				s.o.Logger.Error("close a snapshot", "group", x.group, "err", err)
			}
		}
	}
}

// Serve sends a node what it asks for with head, and returns when it is there,
// durably.
func (s *Sender) Serve(to uint64, asked []byte, rw io.ReadWriter) error {
	h, err := parseHead(asked)
	if err != nil {
		return err
	}
	x := s.join(h)
	if x == nil {
		s.o.Sent(h.group, to, false) // Raft offers a newer one
		return fmt.Errorf("%w: group %d", errGone, h.group)
	}
	defer s.leave(x)
	step.At(step.SnapshotAsked)
	if err := send(x, h.after, rw); err != nil {
		// It may go on where it stopped: Raft is told when nobody comes.
		return fmt.Errorf("send the state of group %d: %w", h.group, err)
	}
	step.At(step.SnapshotTold)
	s.o.Sent(h.group, to, true)
	return nil
}

// Serves reports whether somebody reads the state of a group.
func (s *Sender) Serves(group uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.sessions {
		if x.group == group && x.readers > 0 {
			return true
		}
	}
	return false
}

func (s *Sender) join(h head) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.sessions[h.session]
	if x == nil || x.group != h.group {
		return nil
	}
	x.readers++
	return x
}

func (s *Sender) leave(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x.readers--
	x.used = s.o.Now()
}

func send(x *session, after []byte, rw io.ReadWriter) error {
	w := writer{w: bufio.NewWriterSize(rw, bufferSize)}
	if err := slot.Copy(x.snap, x.slot, after, w.put); err != nil {
		return err
	}
	if err := w.end(); err != nil {
		return err
	}
	var answer [1]byte
	if _, err := io.ReadFull(rw, answer[:]); err != nil {
		return broken(err)
	}
	if answer[0] != taken {
		return fmt.Errorf("%w: answer %d", errWire, answer[0])
	}
	return nil
}
