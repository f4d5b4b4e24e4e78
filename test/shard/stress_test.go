package shard_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/storage/seglog"
	"github.com/warrenmq/warren/storage/state"
	rig "github.com/warrenmq/warren/test/shard"
)

// live runs a node's goroutines as production does, but for the ticks: without
// them nothing makes up for a wake-up that is lost.
func live(t *testing.T) *rig.Rig {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	log, err := seglog.Open(seglog.Options{FS: vfs.NewMem(), Dir: "log", NodeID: 1, SegmentSize: 1 << 20, MaxFree: 1, FreeRest: -1})
	if err != nil {
		t.Fatal(err)
	}
	r, err := rig.NewRig(rig.Options{Log: log, State: state.NewMemory(), Budget: 64 << 10, HotPages: 1})
	if err != nil {
		t.Fatal(err)
	}
	var groups, loader, writer sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	stop, stopLog := make(chan struct{}), make(chan struct{})
	writer.Go(func() { log.Run(stopLog) })
	for _, g := range r.Host.Groups() {
		groups.Go(func() { g.Run(ctx) })
	}
	loader.Go(func() { r.Loader.Run(stop) })
	loader.Go(func() { r.Rounds.Run(stop, func() time.Duration { return 0 }) })
	t.Cleanup(func() {
		for _, g := range r.Host.Groups() {
			g.Close()
		}
		cancel()
		groups.Wait()
		close(stop)
		loader.Wait()
		close(stopLog)
		writer.Wait()
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// confirms waits for one confirm at a time.
type confirms struct{ ch chan bool }

func (c *confirms) Confirmed(_ uint64, n uint32, refused bool) {
	for range n {
		c.ch <- refused
	}
}
func (c *confirms) Unknown(uint64, uint32) {}
func (c *confirms) Wake()                  {}

// acker settles what it gets from a goroutine of its own.
type acker struct {
	s   shard.Shard
	ch  chan []shard.Settle
	got atomic.Int64
}

func (a *acker) Deliver(c *shard.Consumer, ds []shard.Delivery) {
	ss := make([]shard.Settle, len(ds))
	for i := range ds {
		ss[i] = shard.Settle{Queue: c.Queue, Seq: ds[i].Seq, Holding: ds[i].Holding}
	}
	a.ch <- ss
}
func (a *acker) Cancelled(*shard.Consumer) {}
func (a *acker) Wake()                     {}

// TestStress: every publish is confirmed and every settle answered, whatever
// turns the calls fall between; checkpoints go on meanwhile.
func TestStress(t *testing.T) {
	const publishers, each, queues = 8, 200, 3
	r := live(t)
	s := r.Shards[r.IDs[0]]
	patience := time.After(60 * time.Second)
	var wg sync.WaitGroup
	ids := make([]shard.QueueID, queues)
	for i := range ids {
		var err error
		if ids[i], err = r.DeclareWait(fmt.Sprintf("q%d", i), r.IDs[0]); err != nil {
			t.Fatal(err)
		}
	}
	ackers := make([]*acker, queues)
	for i, id := range ids {
		a := &acker{s: s, ch: make(chan []shard.Settle, 4*publishers*each)}
		ackers[i] = a
		s.Consume(&shard.Consumer{Queue: id, Sink: a, Prefetch: uint32(1 + 5*i)}, func(err error) {
			if err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			for a.got.Load() < publishers*each {
				ss := <-a.ch
				done := make(chan error, 1)
				s.Settle(ss, func(err error) { done <- err })
				if err := <-done; err != nil {
					t.Error(err)
				}
				a.got.Add(int64(len(ss)))
			}
		})
	}
	for p := range publishers {
		wg.Go(func() {
			c := &confirms{make(chan bool, each)}
			body := make([]byte, 10+500*p)
			for i := range each {
				s.Publish([]shard.Publish{{Message: &message.Message{Body: body}, Queues: ids, To: c, Tag: uint64(i + 1)}})
				if i%8 > 0 && p%2 == 0 {
					continue // some wait for every confirm, some for eight
				}
				for range min(i+1, 1+7*((p+1)%2)) {
					if p%2 == 0 && i == 0 {
						break
					}
					<-c.ch
				}
			}
		})
	}
	stop := make(chan struct{})
	var rounds sync.WaitGroup
	rounds.Go(func() {
		for {
			ended := make(chan struct{})
			r.Rounds.Force(func() { close(ended) })
			select {
			case <-ended:
			case <-stop:
				return
			}
		}
	})
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-patience:
		t.Error("somebody waits for a turn that does not come")
	}
	close(stop)
	rounds.Wait()
}
