package replica

import (
	"fmt"
	"testing"

	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/storage/state"
)

// BenchmarkRestart opens a shard of many queues and leads it.
func BenchmarkRestart(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		for _, messages := range []bool{false, true} {
			b.Run(fmt.Sprintf("queues=%d/messages=%v", n, messages), func(b *testing.B) {
				f := &fake{t: &testing.T{}, index: 1}
				f.state = stateWith(f, n, messages)
				b.ReportAllocs()
				for b.Loop() {
					f.open(2)
					f.s.Apply([]commitlog.Entry{{Index: f.index + 1, Term: 3}})
					f.term, f.flight = 3, nil
					f.s.Lead(3)
					f.turn()
				}
			})
		}
	}
}

// stateWith returns the checkpoint of a shard with so many queues.
func stateWith(f *fake, n int, messages bool) *state.Memory {
	f.state = state.NewMemory()
	f.open(1)
	f.lead(2)
	m := &message.Message{Body: []byte("m")}
	var ps []shard.Publish
	for q := range n {
		ps = append(ps, shard.Publish{Message: m, Queues: []shard.QueueID{uint64(q + 1)}})
	}
	f.s.Publish(ps)
	f.settle()
	if !messages {
		for q := range n {
			f.s.Purge(uint64(q+1), func(uint64, error) {})
		}
		f.settle()
	}
	c := f.s.cut()
	batch := f.state.NewBatch()
	if err := c.State(batch); err != nil { // the bodies are never read
		panic(err)
	}
	if err := batch.Commit(); err != nil {
		panic(err)
	}
	return f.state
}
