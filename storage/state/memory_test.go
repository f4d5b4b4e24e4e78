package state_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/state"
	"github.com/warrenmq/warren/storage/storagetest"
)

func TestMemoryContract(t *testing.T) {
	storagetest.RunState(t, func(testing.TB) storage.State { return state.NewMemory() })
}

type memoryDisk struct{ m *state.Memory }

func (d memoryDisk) Open(testing.TB) storage.State { return d.m }

func (d memoryDisk) Crash(_ testing.TB, draw func(int) int) {
	d.m.Crash(draw(d.m.Unflushed() + 1))
}

func TestMemoryCrash(t *testing.T) {
	storagetest.RunStateCrash(t, func() storagetest.StateDisk { return memoryDisk{state.NewMemory()} })
}

func dump(t testing.TB, s storage.Reader) string {
	t.Helper()
	it, err := s.Iter(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for it.Next() {
		out = append(out, fmt.Sprintf("%s=%s", it.Key(), it.Value()))
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func set(t testing.TB, s storage.State, kv ...string) {
	t.Helper()
	b := s.NewBatch()
	for i := 0; i < len(kv); i += 2 {
		b.Set([]byte(kv[i]), []byte(kv[i+1]))
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestMemoryCrashKeepsExactlyThePrefix(t *testing.T) {
	for keep, want := range []string{"a=0", "a=1 b=1", "a=2 b=1", "a=2 b=1 c=3"} {
		m := state.NewMemory()
		set(t, m, "a", "0")
		if err := m.Flush(); err != nil {
			t.Fatal(err)
		}
		set(t, m, "a", "1", "b", "1")
		set(t, m, "a", "2")
		set(t, m, "c", "3")
		if m.Unflushed() != 3 {
			t.Fatalf("%d batches unflushed", m.Unflushed())
		}
		m.Crash(keep)
		if got := dump(t, m); got != want || m.Unflushed() != 0 {
			t.Errorf("keeping %d: %q, want %q", keep, got, want)
		}
		m.Crash(0)
		if got := dump(t, m); got != want {
			t.Errorf("a second crash took %q, want %q", got, want)
		}
	}
}

func BenchmarkMemory(b *testing.B) { benchmark(b, func() storage.State { return state.NewMemory() }) }

func benchmark(b *testing.B, open func() storage.State) {
	for _, size := range []int{100, 1024} {
		b.Run(fmt.Sprintf("commit/size=%d/batch=256", size), func(b *testing.B) {
			s := open()
			defer func() { _ = s.Close() }()
			value := make([]byte, size)
			key := make([]byte, 0, 32)
			b.SetBytes(int64(256 * size))
			b.ReportAllocs()
			for i := range b.N {
				batch := s.NewBatch()
				for j := range 256 {
					key = fmt.Appendf(key[:0], "shard/%08d", (i*256+j)%(1<<16))
					batch.Set(key, value)
				}
				if err := batch.Commit(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	s := open()
	defer func() { _ = s.Close() }()
	batch := s.NewBatch()
	for i := range 10_000 {
		batch.Set(fmt.Appendf(nil, "shard/%08d", i), make([]byte, 1024))
	}
	if err := batch.Commit(); err != nil {
		b.Fatal(err)
	}
	if err := s.Flush(); err != nil {
		b.Fatal(err)
	}
	b.Run("get/size=1024", func(b *testing.B) {
		b.ReportAllocs()
		var buf, key []byte
		for i := range b.N {
			var err error
			key = fmt.Appendf(key[:0], "shard/%08d", i%10_000)
			if buf, err = s.Get(buf[:0], key); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("iterate/keys=10000/size=1024", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			it, err := s.Iter(nil, nil)
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			for it.Next() {
				n += len(it.Value())
			}
			if err := it.Close(); err != nil || n != 10_000*1024 {
				b.Fatal(n, err)
			}
		}
	})
}
