package snapshot

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/slot"
	"github.com/warrenmq/warren/storage/state"
)

const group = 5

// markOf reads a mark that a test wrote under the key "mark".
func markOf(r storage.Reader, _, in uint64) (slot.Mark, bool, error) {
	v, err := r.Get(nil, append(slot.Prefix(nil, in), "mark"...))
	if errors.Is(err, storage.ErrNotFound) {
		return slot.Mark{}, false, nil
	}
	if err != nil {
		return slot.Mark{}, false, err
	}
	return slot.Mark{Index: binary.BigEndian.Uint64(v), Term: 3, Conf: v[8:]}, true, nil
}

// checkpoint writes a state at an index: the mark, and values that say it.
func checkpoint(t testing.TB, st storage.State, index uint64, keys, size int) {
	t.Helper()
	conf := raftgroup.AppendConf(nil, &raftpb.ConfState{Voters: []uint64{1, 2}})
	b := st.NewBatch()
	b.Set(append(slot.Prefix(nil, group), "mark"...), append(binary.BigEndian.AppendUint64(nil, index), conf...))
	for i := range keys {
		b.Set(append(slot.Prefix(nil, group), fmt.Sprintf("k%06d", i)...), bytes.Repeat([]byte{byte(index)}, size))
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
}

func dump(t testing.TB, r storage.Reader, in uint64) string {
	t.Helper()
	var sb strings.Builder
	if err := slot.Copy(r, in, nil, func(k, v []byte) error {
		fmt.Fprintf(&sb, "%s=%x\n", k, v)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return sb.String()
}

// A pair is a sender and a receiver with streams between them that break after
// so many bytes each.
type pair struct {
	t        *testing.T
	from, to *state.Memory
	slots    *slot.Slots // the receiver's
	sender   *Sender
	receiver *Receiver
	now      time.Duration
	limit    int // bytes until a stream breaks, 0: never

	mu      sync.Mutex
	streams int
	wanted  int
	sent    []bool
	serving sync.WaitGroup
}

func newPair(t *testing.T) *pair {
	p := &pair{t: t, from: state.NewMemory(), to: state.NewMemory()}
	mine, err := slot.Open(p.from)
	if err != nil {
		t.Fatal(err)
	}
	if p.slots, err = slot.Open(p.to); err != nil {
		t.Fatal(err)
	}
	p.sender = NewSender(SenderOptions{
		State: p.from, Slots: mine, Mark: markOf, Want: func() { p.wanted++ },
		Sent: func(_, _ uint64, ok bool) {
			p.mu.Lock()
			p.sent = append(p.sent, ok)
			p.mu.Unlock()
		},
		Now: func() time.Duration { return p.now },
	})
	p.receiver = NewReceiver(ReceiverOptions{Slots: p.slots, Open: p.open, After: func(time.Duration) <-chan time.Time {
		ch := make(chan time.Time, 1)
		ch <- time.Time{}
		return ch
	}})
	t.Cleanup(func() {
		p.receiver.Close()
		p.serving.Wait()
		p.sender.Close()
		goleak.VerifyNone(t)
	})
	return p
}

// breaking ends after so many bytes.
type breaking struct {
	net.Conn
	left int
}

func (b *breaking) Write(d []byte) (int, error) {
	if b.left -= len(d); b.left < 0 {
		_ = b.Close()
		return 0, io.ErrClosedPipe
	}
	return b.Conn.Write(d)
}

func (p *pair) open(_ context.Context, _ uint64, head []byte) (io.ReadWriteCloser, error) {
	p.mu.Lock()
	p.streams++
	p.mu.Unlock()
	a, b := net.Pipe()
	p.serving.Go(func() {
		rw := b
		if p.limit > 0 {
			rw = &breaking{b, p.limit}
		}
		_ = p.sender.Serve(2, head, rw) // what it tells is in sent
		_ = b.Close()
	})
	return a, nil
}

// message is what Raft would send.
func (p *pair) message(atLeast uint64) (*raftpb.Message, bool) {
	s, ok := p.sender.Of(group).Snapshot(atLeast)
	if !ok {
		return nil, false
	}
	return &raftpb.Message{Snapshot: &raftpb.Snapshot{Data: s.ID, Metadata: &raftpb.SnapshotMetadata{
		Index: &s.Index, Term: &s.Term, ConfState: s.ConfState,
	}}}, true
}

// take hands the receiver a message and waits for what becomes of it.
func (p *pair) take(m *raftpb.Message) bool {
	delivered := make(chan struct{}, 1)
	p.receiver.Take(1, group, m, func() { delivered <- struct{}{} })
	p.receiver.wg.Wait()
	p.serving.Wait()
	return len(delivered) == 1
}

func TestTransfer(t *testing.T) {
	for _, limit := range []int{0, 200 << 10} {
		t.Run(fmt.Sprint("breaks after ", limit), func(t *testing.T) {
			p := newPair(t)
			p.limit = limit
			checkpoint(t, p.from, 40, 2000, 1000)
			m, ok := p.message(0)
			if !ok {
				t.Fatal("no snapshot")
			}
			want := dump(t, p.from, group)
			checkpoint(t, p.from, 41, 3000, 10) // goes on meanwhile
			if !p.take(m) {
				t.Fatal("not delivered")
			}
			if got := len(p.sent); got != 1 || !p.sent[0] {
				t.Fatalf("Raft was told %v", p.sent)
			}
			if limit > 0 && p.streams < 5 {
				t.Fatalf("%d streams: none broke", p.streams)
			}
			mark, ok := p.slots.Staged(group, 40)
			if !ok || mark.Term != 3 || !bytes.Equal(mark.Conf, raftgroup.AppendConf(nil, &raftpb.ConfState{Voters: []uint64{1, 2}})) {
				t.Fatalf("staged %+v, %v", mark, ok)
			}
			if err := p.slots.Switch(group, 40); err != nil {
				t.Fatal(err)
			}
			if got := dump(t, p.to, p.slots.Of(group)); got != want {
				t.Fatal("what arrived is not what was held")
			}
		})
	}
}

// What is too old, gone or cut short is told to Raft or asked for, and leaves
// nothing behind.
// A transfer from a leader that is gone gives way to that of the next, and only to
// that: Raft may need this replica to commit anything.
func TestNextLeadersTransfer(t *testing.T) {
	p := newPair(t)
	checkpoint(t, p.from, 40, 2000, 1000)
	m, ok := p.message(0)
	if !ok {
		t.Fatal("no snapshot")
	}
	asked := make(chan uint64, 3)
	p.receiver.o.Open = func(ctx context.Context, from uint64, head []byte) (io.ReadWriteCloser, error) {
		asked <- from
		if from == 1 {
			silent, _ := net.Pipe() // nobody writes: the node is gone, and nobody was told
			return silent, nil
		}
		return p.open(ctx, from, head)
	}
	delivered := make(chan uint64, 3)
	take := func(from, term uint64) {
		m := &raftpb.Message{Term: &term, Snapshot: m.GetSnapshot()}
		p.receiver.Take(from, group, m, func() { delivered <- from })
	}
	take(1, 7)
	if from := <-asked; from != 1 {
		t.Fatalf("node %d was asked", from)
	}
	take(2, 7) // no later leader
	take(3, 8)
	p.receiver.wg.Wait()
	p.serving.Wait()
	if from := <-asked; from != 3 || len(asked) != 0 {
		t.Errorf("node %d was asked, and %d more", from, len(asked))
	}
	if len(delivered) != 1 || <-delivered != 3 {
		t.Error("not delivered")
	}
}

func TestNoTransfer(t *testing.T) {
	p := newPair(t)
	if _, ok := p.message(0); ok || p.wanted != 1 {
		t.Fatalf("a group without a checkpoint gives %v, %d rounds were wanted", ok, p.wanted)
	}
	checkpoint(t, p.from, 40, 3, 10)
	if _, ok := p.message(50); ok || p.wanted != 2 {
		t.Fatalf("a checkpoint at 40 serves 50: %v, %d rounds were wanted", ok, p.wanted)
	}
	m, _ := p.message(40)
	again, _ := p.message(40)
	if !bytes.Equal(m.GetSnapshot().GetData(), again.GetSnapshot().GetData()) {
		t.Fatal("two nodes at a time get two checkpoints")
	}
	p.now += 2 * patience
	p.sender.Tick()
	if p.take(m) {
		t.Fatal("delivered what is not held any more")
	}
	if len(p.sent) == 0 || p.sent[0] {
		t.Fatalf("Raft was told %v", p.sent)
	}
	m, _ = p.message(40)
	p.limit = 8 // not even one record
	if p.take(m) {
		t.Fatal("delivered what never came")
	}
	if n := p.streams; n < tries {
		t.Fatalf("gave up after %d streams", n)
	}
	if s, err := slot.Open(p.to); err != nil || dumpAll(t, p.to) != 0 {
		t.Fatalf("%d keys are left, %v, %v", dumpAll(t, p.to), s, err)
	}
}

func dumpAll(t testing.TB, r storage.Reader) (n int) {
	it, err := r.Iter([]byte("S"), []byte("T"))
	if err != nil {
		t.Fatal(err)
	}
	for it.Next() {
		n++
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// What is announced costs nothing before it comes, and whatever comes is either
// a whole transfer or an error.
func FuzzReader(f *testing.F) {
	var good bytes.Buffer
	w := writer{w: bufio.NewWriter(&good)}
	for i := range 3 {
		if err := w.put(fmt.Appendf(nil, "key%d", i), bytes.Repeat([]byte("v"), i*100)); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.end(); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add([]byte{1, 'k', 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := reader{r: bufio.NewReader(bytes.NewReader(b))}
		total := 0
		for {
			k, v, err := r.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				break
			}
			total += len(k) + len(v)
		}
		if total > len(b) || cap(r.key)+cap(r.value) > 16*len(b)+(4<<20) {
			t.Fatalf("%d bytes gave %d, in buffers of %d", len(b), total, cap(r.key)+cap(r.value))
		}
		if h, err := parseHead(b); err == nil && !bytes.Equal(h.append(nil), b) {
			t.Fatalf("head %+v of %x", h, b)
		}
	})
}
