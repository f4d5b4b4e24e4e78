package queue

import (
	"fmt"
	"testing"
)

// turn is what a driver does with a batch: enqueue, dispatch, settle, log.
type turn struct {
	l    *Ledger
	d    *Dispatcher
	out  []Delivery
	runs []Run
	n    uint64
}

func newTurn(b *testing.B, consumers int, prefetch uint32) *turn {
	t := &turn{l: NewLedger(Settings{})}
	t.d = NewDispatcher(t.l, Life{Term: 1})
	for i := range consumers {
		if err := t.d.Add(ConsumerSpec{ID: ConsumerID(i + 1), Session: SessionID{Number: uint64(i)}, Prefetch: prefetch}); err != nil {
			b.Fatal(err)
		}
	}
	return t
}

func (t *turn) enqueue(n int) {
	for range n {
		t.n++
		t.d.Admit(0, 100)
		t.l.Enqueue(Record{Body: Body{Index: t.n >> 8, Off: uint32(t.n), Len: 120}, Size: 100})
	}
}

func (t *turn) dispatch(b *testing.B, n int) {
	if p, seq, ok := t.d.WantHorizon(); ok {
		t.l.SetHorizon(p, seq)
	}
	var pause Pause
	t.out, pause = t.d.Dispatch(0, n, t.out[:0])
	if len(t.out) == 0 {
		b.Fatalf("nothing dispatched: %+v, ready %+v", pause, t.d.Ready())
	}
}

func (t *turn) settle() {
	t.runs = t.runs[:0]
	for i := range t.out {
		size, _ := t.d.Settle(t.out[i].Seq, t.out[i].Holding)
		t.runs = AppendRun(t.runs, t.out[i].Seq, size)
	}
	for _, r := range t.runs {
		t.l.Settle(r)
	}
}

func BenchmarkSteady(b *testing.B) {
	for _, c := range []struct{ consumers, batch int }{{1, 1}, {1, 64}, {8, 64}, {1000, 64}} {
		b.Run(fmt.Sprintf("consumers=%d/batch=%d", c.consumers, c.batch), func(b *testing.B) {
			t := newTurn(b, c.consumers, 100)
			b.ReportAllocs()
			for i := 0; i < b.N; i += c.batch {
				t.enqueue(c.batch)
				t.dispatch(b, c.batch)
				t.settle()
			}
		})
	}
}

func BenchmarkDeepBacklog(b *testing.B) {
	const depth = 10_000_000
	t := newTurn(b, 1, 1000)
	t.enqueue(depth)
	b.Run("depth=10M/batch=64", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; i < b.N; i += 64 {
			t.enqueue(64)
			t.dispatch(b, 64)
			t.settle()
		}
	})
	b.Run("depth=10M/cut", func(b *testing.B) {
		b.ReportAllocs()
		var c Cut
		for i := 0; i < b.N; i++ {
			t.enqueue(64)
			t.l.Cut(uint64(i), &c)
			t.l.Saved(&c)
		}
	})
}
