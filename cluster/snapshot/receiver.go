package snapshot

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/storage/slot"
)

// ReceiverOptions of NewReceiver.
type ReceiverOptions struct {
	Slots *slot.Slots
	// Open asks a node for a transfer.
	Open func(ctx context.Context, from uint64, head []byte) (io.ReadWriteCloser, error)
	// After returns a channel that is sent to after a while.
	After func(d time.Duration) <-chan time.Time
	// Most transfers run at once; others wait for their turn. Default 2.
	Most   int
	Logger *slog.Logger
}

const (
	// A transfer that broke goes on after a pause, a number of times in a row
	// without having got further.
	pause = 250 * time.Millisecond
	tries = 20
)

// A Receiver takes the states of groups from other nodes.
type Receiver struct {
	o   ReceiverOptions
	ctx context.Context
	end context.CancelFunc
	wg  sync.WaitGroup

	mu      sync.Mutex
	running map[uint64]*transfer // by group
	waiting []*transfer          // one a group at most
}

// A transfer is on its way.
type transfer struct {
	from, group, session uint64
	term                 uint64          // of the leader that offers it
	ctx                  context.Context //nolint:containedctx // of one goroutine's run
	end                  context.CancelFunc
	mark                 slot.Mark
	deliver              func()
	stage                *slot.Stage
	records, bytes       uint64
}

// NewReceiver returns a receiver. Close must follow.
func NewReceiver(o ReceiverOptions) *Receiver {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Most == 0 {
		o.Most = 2
	}
	r := &Receiver{o: o, running: map[uint64]*transfer{}}
	r.ctx, r.end = context.WithCancel(context.Background())
	return r
}

// Close gives up what is on its way and waits for it.
func (r *Receiver) Close() {
	r.mu.Lock() // nothing begins behind it
	r.end()
	r.mu.Unlock()
	r.wg.Wait()
}

// Take gets the state that a message with a snapshot speaks of, and calls
// deliver, on a goroutine of its own, when Raft may see the message. It does not
// wait. A message for a group of which a transfer is under way is dropped: Raft
// sends it again. If it is of a later leader, the transfer is given up for it: the
// one before may be gone, and without this replica nothing may be committed. One
// that waits gives way to a newer.
func (r *Receiver) Take(from, group uint64, m *raftpb.Message, deliver func()) {
	meta := m.GetSnapshot().GetMetadata()
	id := m.GetSnapshot().GetData()
	if len(id) != 8 {
		r.o.Logger.Error("a snapshot without an id is ignored", "group", group, "peer", from)
		return
	}
	t := &transfer{
		from: from, group: group, session: binary.BigEndian.Uint64(id), term: m.GetTerm(),
		mark:    slot.Mark{Index: meta.GetIndex(), Term: meta.GetTerm(), Conf: raftgroup.AppendConf(nil, meta.GetConfState())},
		deliver: deliver,
	}
	step.At(step.SnapshotHeard)
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.running[group]; now != nil {
		if t.term <= now.term {
			return
		}
		now.end()
	}
	r.waiting = append(slices.DeleteFunc(r.waiting, func(w *transfer) bool { return w.group == group }), t)
	r.begin()
}

// begin begins transfers that wait, as many as may run. r.mu is held.
func (r *Receiver) begin() {
	for len(r.running) < r.o.Most && r.ctx.Err() == nil {
		i := slices.IndexFunc(r.waiting, func(w *transfer) bool { return r.running[w.group] == nil })
		if i < 0 {
			return
		}
		t := r.waiting[i]
		r.waiting = slices.Delete(r.waiting, i, i+1)
		r.running[t.group] = t
		t.ctx, t.end = context.WithCancel(r.ctx)
		r.wg.Go(func() { r.transfer(t) })
	}
}

func (r *Receiver) transfer(t *transfer) {
	err := r.run(t)
	t.end()
	r.mu.Lock()
	delete(r.running, t.group)
	r.begin()
	r.mu.Unlock()
	if err != nil {
		r.o.Logger.Warn("a snapshot did not arrive", "group", t.group, "peer", t.from, "err", err)
		return
	}
	r.o.Logger.Info("a snapshot arrived", "group", t.group, "peer", t.from, "bytes", t.bytes)
	step.At(step.SnapshotHanded)
	t.deliver()
}

func (r *Receiver) run(t *transfer) (err error) {
	if t.stage, err = r.o.Slots.Stage(t.group, t.mark); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.stage.Abort())
		}
	}()
	step.At(step.SnapshotStaged)
	for failed := 0; ; failed++ {
		before := t.records
		err := r.part(t)
		if err == nil {
			return nil
		}
		if t.records > before {
			failed = 0
		}
		if failed == tries || t.ctx.Err() != nil || errors.Is(err, errWire) || errors.Is(err, errStage) {
			return err
		}
		r.o.Logger.Debug("a snapshot goes on after a break", "group", t.group, "peer", t.from, "err", err)
		select {
		case <-r.o.After(pause):
		case <-t.ctx.Done():
			return err
		}
	}
}

// errStage says that the state store, not the stream, failed.
var errStage = errors.New("snapshot: it can not be written")

// part takes what one stream brings.
func (r *Receiver) part(t *transfer) error {
	h := head{group: t.group, session: t.session, after: t.stage.Last()}
	s, err := r.o.Open(t.ctx, t.from, h.append(nil))
	if err != nil {
		return err
	}
	shut := sync.OnceFunc(func() { _ = s.Close() }) // all that counts was answered before
	defer shut()
	defer context.AfterFunc(t.ctx, shut)()
	rd := reader{r: bufio.NewReaderSize(s, bufferSize)}
	for {
		k, v, err := rd.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := t.stage.Put(k, v); err != nil {
			return fmt.Errorf("%w: %w", errStage, err)
		}
		t.records++
		step.At(step.SnapshotCame)
		t.bytes += uint64(len(k) + len(v))
	}
	step.At(step.SnapshotWhole)
	if err := t.stage.Commit(); err != nil {
		return fmt.Errorf("%w: %w", errStage, err)
	}
	step.At(step.SnapshotDurable)
	// The sender learns it from Raft too, should this not reach it.
	if _, err := s.Write([]byte{taken}); err != nil {
		r.o.Logger.Debug("the end of a snapshot could not be told", "group", t.group, "err", err)
	}
	return nil
}
