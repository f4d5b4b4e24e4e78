package shard_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

func settles() []shard.Settle {
	return []shard.Settle{
		{Queue: 1, Seq: 1 << 60, Holding: queue.Holding{Epoch: 1, Term: 2, Counter: 1 << 50}, Outcome: shard.Abandon},
		{Queue: 2, Seq: 3, Outcome: shard.Reject},
	}
}

func sample() (*shard.Builder, *shard.Section) {
	b := shard.NewBuilder(0, 0)
	b.Add(&shard.Publish{Message: &message.Message{Body: []byte("one")}, Queues: []shard.QueueID{1, 2}, TTL: 7, HasTTL: true, Priority: 3})
	b.Add(&shard.Publish{Message: &message.Message{Body: []byte("two"), RoutingKey: []byte("k")}, Queues: []shard.QueueID{2}})
	b.Add(&shard.Publish{Message: &message.Message{Body: []byte("three")}, Queues: []shard.QueueID{1, 3}, Origin: &origin})
	b.Refuse(1)
	b.Post(2)
	b.AddTx(&shard.Tx{
		Publishes: []shard.Publish{{Message: &message.Message{Body: []byte("three")}, Queues: []shard.QueueID{1, 2}}},
		Settles:   settles(),
	})
	s := &shard.Section{Term: 5, Stamp: -1}
	run := queue.Run{Seq: 10, Span: 3, N: 2, Bytes: 99}
	for _, c := range []shard.Command{
		{Kind: shard.CmdMake, Queue: 1, Seq: 9, Settings: shard.AppendSettings(nil, shard.Settings{TTL: 5, HasTTL: true})},
		{Kind: shard.CmdDrop, Queue: 2},
		{Kind: shard.CmdSettle, Queue: 1, Run: run},
		{Kind: shard.CmdReturn, Queue: 1, Run: run, Arg: uint64(queue.RaiseAcquired)},
		{Kind: shard.CmdRemove, Queue: 1, Run: run, Arg: uint64(queue.Purged)},
		{Kind: shard.CmdHorizon, Queue: 1, Seq: 1 << 60, Arg: 255},
		{Kind: shard.CmdLost, Queue: 1},
		{Kind: shard.CmdEnd, Queue: 3, Seq: 4},
		{Kind: shard.CmdPost, Queue: 1, Run: run, Arg: uint64(queue.Spent)},
		{Kind: shard.CmdPost, Queue: 1, Run: run, Arg: uint64(queue.Due)},
		{Kind: shard.CmdLeft, Queue: 1, Run: run},
		{Kind: shard.CmdTx, Queue: 5, Settings: []byte{byte(shard.CmdSettle), 1, 10, 3, 2, 99}},
		{Kind: shard.CmdClose, Queue: 1},
		{Kind: shard.CmdReopen, Queue: 1},
		{Kind: shard.CmdSet, Queue: 1, Seq: 9, Settings: shard.AppendSettings(nil, shard.Settings{AutoDelete: true})},
	} {
		s.Add(c)
	}
	return b, s
}

var origin = queue.Origin{Source: queue.Source{Space: queue.OutboxSpace, ID: 9}, Seq: 1 << 40, Floor: 77}

var id = shard.BatchID{Node: 1, Incarnation: 2, Number: 3, Floor: 2, Revision: 8}

func TestEntryRoundTrip(t *testing.T) {
	b, s := sample()
	data := b.Seal(id, s)
	if n := b.SealedSize(s.Len()); n != len(data) {
		t.Errorf("sealed %d bytes, foretold %d", len(data), n)
	}
	e, err := shard.ParseEntry(data)
	if err != nil {
		t.Fatal(err)
	}
	if e.Batch != id || !e.HasBatch || !e.HasLead || e.Term != 5 || e.Stamp != -1 || e.Items() != 8 || !e.Refused() {
		t.Errorf("parsed %+v", e)
	}
	for i, want := range []string{"one", "one", "two", "three", "three"} {
		it := e.Item(i)
		m, err := message.Parse(data[it.Off : it.Off+it.Len])
		if err != nil || string(m.Body) != want {
			t.Errorf("item %d is %q, %v", i, m.Body, err)
		}
		if it.Origin != 0 != (want == "three") || it.Origin != 0 && e.Origin(it.Origin) != origin {
			t.Errorf("item %d has origin %d", i, it.Origin)
		}
	}
	// Sealed again it is the same but for the section and the marks.
	again, got, err := shard.Reopen(data)
	if err != nil || got != id || again.Publishes() != 4 || again.Origin(again.Item(4).Origin) != origin {
		t.Fatalf("reopened %+v with %d publishes: %v", got, again.Publishes(), err)
	}
	e2, err := shard.ParseEntry(again.Seal(id, nil))
	if err != nil || e2.HasLead || e2.Refused() || e2.Items() != 8 {
		t.Errorf("sealed again: %+v, %v", e2, err)
	}
	if ss, err := again.Settles(5, nil); err != nil || !slices.Equal(ss, settles()) {
		t.Errorf("settles %+v, %v", ss, err)
	}
	d := e.Commands()
	var copied shard.Section
	var c shard.Command
	for {
		ok, err := d.Next(&c)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		copied.Add(c)
	}
	if !bytes.Equal(copied.Bytes(), s.Bytes()) {
		t.Error("the commands do not survive")
	}
}

// FuzzEntry: no bytes make a decoder panic; what is parsed is within them.
func FuzzEntry(f *testing.F) {
	b, s := sample()
	f.Add(b.Seal(id, s))
	b, _ = sample()
	f.Add(b.Seal(id, nil))
	f.Add(shard.NewBuilder(0, 0).Seal(shard.BatchID{}, s))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := shard.ParseEntry(data)
		if err != nil {
			return
		}
		for i := range e.Items() {
			it := e.Item(i)
			_ = data[it.Off : it.Off+it.Len]
			if it.Origin != 0 {
				e.Origin(it.Origin)
			}
		}
		if e.HasBatch {
			again, got, err := shard.Reopen(data)
			if err != nil || got != e.Batch || again.Items() != e.Items() {
				t.Errorf("reopened %+v: %v", got, err)
			}
		}
		d := e.Commands()
		var c shard.Command
		for ok := true; ok && err == nil; {
			ok, err = d.Next(&c)
		}
	})
}

// FuzzSection: what is decoded is encoded to what decodes to the same.
func FuzzSection(f *testing.F) {
	_, s := sample()
	f.Add(s.Bytes())
	f.Add([]byte{byte(shard.CmdMake), 1, 1, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, data []byte) {
		b := shard.NewBuilder(0, 0)
		wrap := func(cmds []byte) shard.CommandDecoder {
			sealed := b.Seal(shard.BatchID{}, &shard.Section{})
			raw := append(append([]byte(nil), sealed[:16]...), cmds...)
			e, err := shard.ParseEntry(append(raw, sealed[16:]...))
			if err != nil {
				t.Fatal(err)
			}
			return e.Commands()
		}
		var out shard.Section
		list := func(d shard.CommandDecoder, keep bool) (s string) {
			var c shard.Command
			for {
				ok, err := d.Next(&c)
				if err != nil || !ok {
					return s
				}
				s += fmt.Sprintf("%+v\n", c)
				if keep {
					out.Add(c)
				}
			}
		}
		first := list(wrap(data), true)
		if second := list(wrap(out.Bytes()), false); first != second {
			t.Errorf("%s, encoded and decoded:\n%s", first, second)
		}
	})
}

// FuzzSettings: what is parsed is stable.
func FuzzSettings(f *testing.F) {
	f.Add(shard.AppendSettings(nil, shard.Settings{}))
	f.Add(shard.AppendSettings(nil, shard.Settings{
		Settings: queue.Settings{MaxPriority: 9, MaxLength: queue.AtMost(0), Overflow: queue.RejectPublish, SingleActive: true, DeliveryLimit: 3, Retry: queue.Retry{When: queue.RetryFailed, Min: 5, Max: 1<<32 - 1}},
		TTL:      1 << 31, HasTTL: true, AutoDelete: true, Letters: shard.AtMostOnce, Expires: 1<<32 - 1,
	}))
	f.Add(shard.AppendSettings(nil, shard.Settings{Settings: queue.Settings{Schedule: true}, Letters: shard.AtLeastOnce}))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := shard.ParseSettings(data)
		if err != nil {
			return
		}
		again, err := shard.ParseSettings(shard.AppendSettings(nil, s))
		if err != nil || again != s {
			t.Errorf("%+v, then %+v, %v", s, again, err)
		}
	})
}

// told collects what Confirm says.
type told struct{ said string }

func (x *told) Confirmed(first uint64, n uint32, refused bool) {
	x.said += fmt.Sprintf("%d+%d:%v ", first, n, refused)
}
func (x *told) Unknown(uint64, uint32) {}
func (x *told) Wake()                  {}

// Confirm against one publish at a time.
func TestConfirm(t *testing.T) {
	for mask := range 1 << 6 {
		a, b := &told{}, &told{}
		runs := []shard.Run{{To: a, First: 10, N: 2}, {N: 1}, {To: b, First: 1, N: 3}}
		var refused []uint32
		for i := range uint32(6) {
			if mask>>i&1 == 1 {
				refused = append(refused, i)
			}
		}
		shard.Confirm(runs, refused)
		for i, want := range map[*told]func(int) (uint64, bool){
			a: func(k int) (uint64, bool) { return uint64(10 + k), mask>>k&1 == 1 },
			b: func(k int) (uint64, bool) { return uint64(1 + k), mask>>(3+k)&1 == 1 },
		} {
			n := map[*told]int{a: 2, b: 3}[i]
			single, got := "", ""
			for k := range n {
				tag, r := want(k)
				single += fmt.Sprint(tag, r, " ")
			}
			for s := i.said; s != ""; {
				var first uint64
				var count uint32
				var r bool
				if _, err := fmt.Sscanf(s, "%d+%d:%t ", &first, &count, &r); err != nil {
					t.Fatal(err)
				}
				s = s[len(fmt.Sprintf("%d+%d:%v ", first, count, r)):]
				for k := range uint64(count) {
					got += fmt.Sprint(first+k, r, " ")
				}
			}
			if got != single {
				t.Errorf("mask %b: %q, want %q", mask, got, single)
			}
		}
	}
}

// An inbox parks publishers, splits what is too large for one entry, and loses
// nothing.
func TestInbox(t *testing.T) {
	in := shard.Inbox{Parking: 1000}
	big := make([]byte, 5<<20)
	pub := func(n int) bool {
		_, ok := in.Publish([]shard.Publish{{Message: &message.Message{Body: big[:n]}, Queues: []shard.QueueID{1}}})
		return ok
	}
	ready := 0
	in.Ready(func() { ready++ })
	if !pub(10) || ready != 1 {
		t.Error("parked without need")
	}
	if pub(len(big)) || pub(10) {
		t.Error("not parked")
	}
	in.Ready(func() { ready++ })
	total := 0
	for want := range 3 {
		b, _, resume := in.TakeBatch(nil)
		if b == nil {
			if want != 2 {
				t.Errorf("%d batches, want 2", want)
			}
			break
		}
		total += b.Publishes()
		for _, f := range resume {
			f()
		}
		if want == 0 && len(resume) > 0 != func() bool { _, n, _ := in.Pending(); return n < 1000 }() {
			t.Error("resumed at the wrong time")
		}
	}
	if total != 3 || ready != 2 {
		t.Errorf("%d publishes, resumed %d times", total, ready)
	}
}
