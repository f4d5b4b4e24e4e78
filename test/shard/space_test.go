package shard_test

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/storage/seglog"
	"github.com/warrenmq/warren/storage/state"
	rig "github.com/warrenmq/warren/test/shard"
)

// TestShrink: what was consumed leaves the log, though one old message stays
// and other shards and the catalog do nothing.
func TestShrink(t *testing.T) {
	log, err := seglog.Open(seglog.Options{FS: vfs.NewMem(), Dir: "log", NodeID: 1, SegmentSize: 64 << 10, MaxFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	r, err := rig.NewRig(rig.Options{Log: log, State: state.NewMemory(), Shards: 3, Idle: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	id, err := r.Declare("q", r.IDs[1])
	if err != nil {
		t.Fatal(err)
	}
	s := r.Shards[r.IDs[1]]
	for range 300 {
		s.Publish([]shard.Publish{{Message: &message.Message{Body: make([]byte, 8<<10)}, Queues: []shard.QueueID{id}}})
		r.Settle()
	}
	a := &acker{ch: make(chan []shard.Settle, 1000)}
	s.Consume(&shard.Consumer{Queue: id, Sink: a}, func(error) {})
	for range 3 {
		r.Settle()
	}
	n := 0
	for len(a.ch) > 0 {
		for _, x := range <-a.ch {
			if n++; n != 1 { // the first stays
				s.Settle([]shard.Settle{x}, nil)
			}
		}
	}
	r.Settle()
	if n != 300 {
		t.Fatalf("%d delivered", n)
	}
	if st := log.Stats(); st.Segments < 30 {
		t.Fatalf("only %d segments: nothing is to be seen", st.Segments)
	}
	for range 200 {
		r.Tick()
		log.Tick(r.Now)
		r.Rounds.Step(r.Now)
		r.Settle()
		for log.Prepare() {
		}
	}
	if st := log.Stats(); st.Segments > 1 || st.Free > 1 {
		t.Errorf("%d segments and %d free ones are left for one message", st.Segments, st.Free)
	}
}
