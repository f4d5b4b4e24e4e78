package transport

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster/raftgroup"
)

// counting counts what it gets.
type counting struct {
	frames, bytes atomic.Int64
	opened        chan *Stream
	more          chan struct{}
}

func newCounting() *counting {
	return &counting{opened: make(chan *Stream, 8), more: make(chan struct{}, 1)}
}

func (c *counting) Opened(s *Stream)      { c.opened <- s }
func (c *counting) Closed(*Stream, error) {}
func (c *counting) Frames(_ *Stream, fs []Frame) {
	n := 0
	for _, f := range fs {
		n += len(f.Body)
	}
	c.add(len(fs), n)
}

func (c *counting) add(frames, bytes int) {
	c.bytes.Add(int64(bytes))
	c.frames.Add(int64(frames))
	select {
	case c.more <- struct{}{}:
	default:
	}
}

func (c *counting) wait(n int64) {
	for c.frames.Load() < n {
		<-c.more
	}
}

// BenchmarkRaft sends appends through two nodes' real sockets and TLS.
func BenchmarkRaft(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			got := newCounting()
			founder := testTrust(b, testCluster)
			to := options(b, member(b, founder, 2, birth))
			to.Raft = func(_, _ uint64, msgs []*raftpb.Message) { got.add(len(msgs), 0) }
			x, y := start(b, options(b, founder)), start(b, to)
			mesh(x, y)
			x.up(ClassRaft)
			msgs := make([]raftgroup.Message, 16)
			for i := range msgs {
				msgs[i] = raftgroup.Message{Group: 3, Raft: appendMessage(1, 2, uint64(i), make([]byte, size))}
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for sent := 0; sent < b.N; {
				n := min(len(msgs), b.N-sent)
				if size*n+int(x.Transport.peer(2).raft.queued.Load()) > 48<<20 {
					got.wait(min(got.frames.Load()+1, int64(sent)))
					continue
				}
				x.Send(2, msgs[:n])
				sent += n
			}
			got.wait(int64(b.N))
		})
	}
}

// BenchmarkStream sends frames through two nodes' real sockets and TLS.
func BenchmarkStream(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 16 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			ca, cb := newCounting(), newCounting()
			founder := testTrust(b, testCluster)
			oa, ob := options(b, founder), options(b, member(b, founder, 2, birth))
			oa.Data, ob.Data = ca, cb
			x, y := start(b, oa), start(b, ob)
			mesh(x, y)
			s := <-ca.opened
			for !s.Dialled() {
				s = <-ca.opened
			}
			body := make([]byte, size)
			fs := make([]Frame, 16)
			for i := range fs {
				fs[i] = Frame{FirstType, body[:8], body[8:]}
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for sent := 0; sent < b.N; {
				n := min(len(fs), b.N-sent)
				if s.Queued() > 32<<20 {
					cb.wait(min(cb.frames.Load()+1, int64(sent)))
					continue
				}
				if !s.Send(fs[:n]...) {
					b.Fatal("closed")
				}
				sent += n
			}
			cb.wait(int64(b.N))
		})
	}
}

func BenchmarkRaftCodec(b *testing.B) {
	for _, size := range []int{100, 1 << 10} {
		m := appendMessage(1, 2, 77, make([]byte, size))
		b.Run(fmt.Sprintf("encode/size=%d", size), func(b *testing.B) {
			c := &chunk{}
			b.ReportAllocs()
			for range b.N {
				c.reset()
				putRaft(c, 3, m)
			}
		})
		b.Run(fmt.Sprintf("decode/size=%d", size), func(b *testing.B) {
			wire := encodeRaft(3, m)
			b.ReportAllocs()
			for range b.N {
				if _, _, _, err := getRaft(wire, 1, 2); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBulk reads a transfer through two nodes' real sockets and TLS.
func BenchmarkBulk(b *testing.B) {
	piece := make([]byte, bulkChunk)
	a, _ := bulkPair(b, func(s *BulkStream, head []byte) error {
		for range binary.BigEndian.Uint64(head) {
			if _, err := s.Write(piece); err != nil {
				return err
			}
		}
		return nil
	})
	b.SetBytes(bulkChunk)
	b.ReportAllocs()
	b.ResetTimer()
	s, err := a.Bulk(ctx(b), 2, binary.BigEndian.AppendUint64(nil, uint64(b.N)))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if n, err := io.Copy(io.Discard, s); err != nil || n != int64(b.N)*bulkChunk {
		b.Fatal(n, err)
	}
}
