package seglog_test

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/seglog"
)

// BenchmarkDrain writes and syncs drains on the real disk, through segments
// that were written before, as they are once the log has run for a while.
func BenchmarkDrain(b *testing.B) {
	for _, size := range []int{100, 1024} {
		for _, n := range []int{1, 16, 64, 256} {
			b.Run(fmt.Sprintf("size=%d/batch=%d", size, n), func(b *testing.B) { benchDrain(b, n, size, false) })
		}
	}
	b.Run("size=1024/batch=64/fresh", func(b *testing.B) { benchDrain(b, 64, 1024, true) })
}

// BenchmarkFloor is what the disk takes for the bytes alone: one write and one
// sync over a file that was written before.
func BenchmarkFloor(b *testing.B) {
	for _, n := range []int{64, 256} {
		b.Run(fmt.Sprintf("size=1024/batch=%d", n), func(b *testing.B) {
			file, err := vfs.Default.OpenReadWrite(b.TempDir()+"/floor", vfs.WriteCategoryUnspecified)
			if err != nil {
				b.Fatal(err)
			}
			const space = 16 << 20
			if _, err := file.WriteAt(make([]byte, space), 0); err != nil {
				b.Fatal(err)
			}
			if err := file.Sync(); err != nil {
				b.Fatal(err)
			}
			data, off := make([]byte, n*1024), 0
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := file.WriteAt(data, int64(off)); err != nil {
					b.Fatal(err)
				}
				if err := file.SyncData(); err != nil {
					b.Fatal(err)
				}
				off = (off + len(data)) % space
			}
			if err := file.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

type drainBench struct {
	log     *seglog.Log
	appends []storage.Append
	index   uint64
}

func newDrainBench(b *testing.B, n, size int, segment int64) *drainBench {
	log, err := seglog.Open(seglog.Options{FS: vfs.Default, Dir: b.TempDir(), SegmentSize: segment})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := log.Close(); err != nil {
			b.Error(err)
		}
	})
	d := &drainBench{log: log, appends: make([]storage.Append, n)}
	data := make([]byte, size)
	for i := range d.appends {
		d.appends[i] = storage.Append{Group: uint64(i % 16), Entries: []storage.Entry{{Term: 1, Data: data}}, Done: func() {}}
	}
	return d
}

func (d *drainBench) round() {
	groups := min(16, len(d.appends))
	for i := range d.appends {
		if i%groups == 0 {
			d.index++
		}
		d.appends[i].Entries[0].Index = d.index
		d.log.Submit(&d.appends[i])
	}
	d.log.Drain()
	if d.index%512 == 0 {
		for g := range uint64(groups) {
			d.log.Compact(g, d.index)
		}
	}
}

func benchDrain(b *testing.B, n, size int, fresh bool) {
	segment := int64(16 << 20)
	if fresh {
		segment = 1 << 30
	}
	d := newDrainBench(b, n, size, segment)
	for !fresh && d.log.Stats().Free == 0 { // until the segments were all written once
		d.round()
		for d.log.Prepare() {
		}
	}
	b.ReportAllocs()
	b.SetBytes(int64(n * size))
	for b.Loop() {
		d.round()
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "msgs/s")
}

// BenchmarkEncode is a drain without a disk: what the processor does.
func BenchmarkEncode(b *testing.B) {
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprintf("size=%d/batch=64", size), func(b *testing.B) {
			d := newDrainBench(b, 64, size, 64<<20)
			log, err := seglog.Open(seglog.Options{FS: vfs.NewMem(), Dir: "log", SegmentSize: 16 << 20})
			if err != nil {
				b.Fatal(err)
			}
			d.log = log
			for d.log.Stats().Free == 0 {
				d.round()
			}
			b.ReportAllocs()
			b.SetBytes(int64(64 * size))
			for b.Loop() {
				d.round()
			}
		})
	}
}

func BenchmarkEntries(b *testing.B) {
	for _, cache := range []int64{-1, 64 << 20} {
		b.Run(fmt.Sprintf("cached=%v", cache > 0), func(b *testing.B) {
			log, err := seglog.Open(seglog.Options{FS: vfs.Default, Dir: b.TempDir(), CacheBytes: cache})
			if err != nil {
				b.Fatal(err)
			}
			var es []storage.Entry
			for i := range uint64(1000) {
				es = append(es, storage.Entry{Index: i + 1, Term: 1, Data: make([]byte, 1024)})
			}
			log.Submit(&storage.Append{Group: 1, Entries: es})
			log.Drain()
			b.ReportAllocs()
			b.SetBytes(64 << 10)
			var dst []storage.Entry
			for b.Loop() {
				if dst, err = log.Entries(dst[:0], 1, 100, 164, 1<<30); err != nil {
					b.Fatal(err)
				}
			}
			if err := log.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkOpen recovers a log of a few full segments.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	opts := seglog.Options{FS: vfs.Default, Dir: dir}
	log, err := seglog.Open(opts)
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 1024)
	const n = 200_000
	for i := uint64(1); i <= n; i++ {
		log.Submit(&storage.Append{Group: 1, Entries: []storage.Entry{{Index: i, Term: 1, Data: data}}})
		if i%1000 == 0 {
			log.Drain()
		}
	}
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(n * 1024)
	for b.Loop() {
		log, err := seglog.Open(opts)
		if err != nil {
			b.Fatal(err)
		}
		if log.Groups()[0].Last != n {
			b.Fatal("not all is there")
		}
		if err := log.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFirstBoot is what a node waits for before its first append is done.
func BenchmarkFirstBoot(b *testing.B) {
	for b.Loop() {
		log, err := seglog.Open(seglog.Options{FS: vfs.Default, Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		log.Submit(&storage.Append{Group: 1, Entries: []storage.Entry{{Index: 1, Term: 1, Data: make([]byte, 100)}}})
		log.Drain()
		if err := log.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
