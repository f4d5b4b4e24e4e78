package shard_test

import (
	"fmt"
	"testing"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/storage/state"
	"github.com/warrenmq/warren/storage/storagetest"
	rig "github.com/warrenmq/warren/test/shard"
)

// read browses a queue to its end and returns what is in it, as "body/flags".
func read(t *testing.T, r *rig.Rig, s shard.Browser, id shard.QueueID) []string {
	t.Helper()
	b := &shard.Browse{Queue: id, Messages: 700, Bytes: 1 << 20}
	texts := map[uint64]string{}
	var order []uint64
	for range 1000 {
		var part *shard.BrowsePart
		s.Browse(b, func(p shard.BrowsePart) { part = &p })
		for n := 0; part == nil; n++ {
			if n > 100 {
				t.Fatal("no answer")
			}
			r.Tick()
		}
		if part.Err != nil {
			t.Fatal(part.Err)
		}
		for _, m := range part.Messages {
			got, err := message.Parse(m.Blob)
			if err != nil {
				t.Fatal(err)
			}
			order = append(order, m.Seq)
			texts[m.Seq] = fmt.Sprintf("%s/p%d/r%t/a%d/f%d/t%t", got.Body, m.Priority, m.Redelivered, m.Acquired, m.Failed, m.HasTTL)
		}
		if !part.End {
			continue
		}
		for _, seq := range part.Gone {
			delete(texts, seq)
		}
		var out []string
		for _, seq := range order {
			if text, ok := texts[seq]; ok {
				out = append(out, text)
			}
		}
		return out
	}
	t.Fatal("no end")
	return nil
}

// What is read of a queue is what is in it: from memory, and after a checkpoint
// and a restart from the disk. A message that comes with a history keeps it.
func TestBrowse(t *testing.T) {
	log, st := storagetest.NewMemLog(), state.NewMemory()
	start := func() *rig.Rig {
		r, err := rig.NewRig(rig.Options{Log: log, State: st, Budget: 64 << 10, HotPages: 1, Settings: func(string) shard.Settings {
			return shard.Settings{Settings: queue.Settings{MaxPriority: 9}}
		}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := start()
	id, err := r.Declare("q", r.IDs[0])
	if err != nil {
		t.Fatal(err)
	}
	s := r.Shards[r.IDs[0]]
	if got := read(t, r, s, id); len(got) != 0 {
		t.Fatalf("an empty queue has %q", got)
	}
	const n = 9000
	var want, high []string
	for i := range n {
		p := shard.Publish{Message: &message.Message{Body: fmt.Appendf(nil, "%05d", i)}, Queues: []shard.QueueID{id}}
		switch i % 1000 {
		case 1:
			p.Acquired, p.Failed = 3, 2
			want = append(want, fmt.Sprintf("%05d/p0/rtrue/a3/f2/tfalse", i))
		case 2:
			p.HasTTL, p.TTL = true, 1<<30
			want = append(want, fmt.Sprintf("%05d/p0/rfalse/a0/f0/ttrue", i))
		case 3:
			p.Priority = 5
			high = append(high, fmt.Sprintf("%05d/p5/rfalse/a0/f0/tfalse", i))
		default:
			want = append(want, fmt.Sprintf("%05d/p0/rfalse/a0/f0/tfalse", i))
		}
		s.Publish([]shard.Publish{p})
		if i%100 == 0 {
			r.Settle()
		}
	}
	r.Settle()
	want = append(high, want...)
	same := func(when string, got []string) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%s: %d messages, want %d", when, len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%s: message %d is %s, want %s", when, i, got[i], want[i])
			}
		}
	}
	same("in memory", read(t, r, s, id))
	r.Checkpoint()
	same("after a checkpoint", read(t, r, s, id))
	r = start()
	s = r.Shards[r.IDs[0]]
	same("after a restart", read(t, r, s, id))

	if err := r.Delete("q"); err != nil {
		t.Fatal(err)
	}
	var gone error
	s.Browse(&shard.Browse{Queue: id}, func(p shard.BrowsePart) { gone = p.Err })
	r.Tick()
	if gone != shard.ErrGone {
		t.Errorf("a deleted queue: %v", gone)
	}
}
