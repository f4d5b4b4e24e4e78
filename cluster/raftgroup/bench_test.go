package raftgroup_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/seglog"
	"github.com/warrenmq/warren/storage/storagetest"
)

// A flood proposes one payload again and again, with a few entries in flight,
// and compacts behind itself.
type flood struct {
	g       *raftgroup.Group
	data    []byte
	left    int // to propose
	want    int // to apply
	deep    int // entries in flight
	last    uint64
	done    chan struct{}
	compact uint64
}

func (f *flood) Lead(uint64)        {}
func (f *flood) Follow(_, _ uint64) {}

func (f *flood) Apply(ents []commitlog.Entry) {
	for i := range ents {
		if len(ents[i].Data) > 0 {
			f.want--
		}
	}
	f.last = ents[len(ents)-1].Index
	if f.want == 0 {
		close(f.done)
	}
}

func (f *flood) Turn(_ time.Duration, p commitlog.Proposer) {
	if _, ok := p.Leading(); !ok {
		return
	}
	for n, _ := p.InFlight(); f.left > 0 && n < f.deep; n++ {
		if _, ok := p.Propose(f.data); !ok {
			return
		}
		f.left--
	}
	if f.last > f.compact+500 {
		f.compact = f.last
		f.g.Compact(f.last - 100)
	}
}

// BenchmarkOneVoter measures entries through one group of one voter: proposed,
// stored, synced, applied.
func BenchmarkOneVoter(b *testing.B) {
	for _, log := range []string{"mem", "seglog"} {
		for _, size := range []int{1 << 10, 64 << 10} {
			for _, deep := range []int{1, 4, 16} {
				b.Run(fmt.Sprintf("log=%s/size=%dk/inflight=%d", log, size>>10, deep), func(b *testing.B) {
					benchOneVoter(b, log, size, deep)
				})
			}
		}
	}
}

func openLog(b *testing.B, kind string) storage.LogStore {
	if kind == "mem" {
		return storagetest.NewMemLog()
	}
	log, err := seglog.Open(seglog.Options{FS: vfs.Default, Dir: b.TempDir(), NodeID: 1, CacheBytes: -1})
	if err != nil {
		b.Fatal(err)
	}
	return log
}

func benchOneVoter(b *testing.B, kind string, size, deep int) {
	log := openLog(b, kind)
	start := time.Now()
	h, err := raftgroup.NewHost(raftgroup.Options{NodeID: 1, Log: log, Now: func() time.Duration { return time.Since(start) }})
	if err != nil {
		b.Fatal(err)
	}
	f := &flood{data: make([]byte, size), left: b.N, want: b.N, deep: deep, done: make(chan struct{})}
	g, err := h.Open(raftgroup.GroupOptions{ID: 1, Machine: f, Voters: []uint64{1}})
	if err != nil {
		b.Fatal(err)
	}
	f.g = g
	ctx, cancel := context.WithCancel(context.Background())
	stop := make(chan struct{})
	var wg sync.WaitGroup
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	wg.Go(func() { log.Run(stop) })
	wg.Go(func() { g.Run(ctx) })
	<-f.done
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(float64(b.N)/float64(max(1, log.Stats().Syncs)), "entries/sync")
	cancel()
	g.Close()
	close(stop)
	wg.Wait()
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
}
