package broker

import (
	"bytes"
	"testing"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
)

// A reply goes to the node whose number stands behind its address, and there to
// whoever has it.
func TestReplyToAnotherNode(t *testing.T) {
	near, far := newBench(t, 0), newBench(t, 0)
	far.do(&catalog.AddNode{ID: 2, Name: "far"})
	far.b.o.Node = 2
	var sent [][]byte
	far.b.o.Post = func(node uint64, data []byte) bool {
		if node != 1 {
			t.Errorf("posted to node %d", node)
		}
		sent = append(sent, bytes.Clone(data))
		return true
	}
	sink, told := &replySink{room: 9}, &fakeSink{}
	r, err := near.s.OpenReply(sink)
	if err != nil {
		t.Fatal(err)
	}
	p := far.s.NewPublisher(told)
	twice := publication(1, "", r.Name(), "one")
	twice.Keys = [][]byte{[]byte(r.Name())}
	far.publish(p, twice, publication(2, "", replyPrefix+"x.zz", "nowhere"))
	if got := told.told(); got != "ack 1+1, unroutable #1, ack 2+1" {
		t.Errorf("told %s", got)
	}
	if len(sent) != 1 {
		t.Fatalf("%d replies were sent", len(sent))
	}
	if _, err := far.s.DeclareQueue(background, QueueOptions{Name: r.Name(), Passive: true}); err != nil {
		t.Errorf("asked for an address of another node: %v", err)
	}
	near.b.Posted(sent[0])
	for n := range sent[0] { // what is cut short is nobody's
		near.b.Posted(sent[0][:n])
	}
	if len(sink.got) != 1 || sink.got[0] != "one" {
		t.Errorf("the address got %v", sink.got)
	}
	r.Close()
	near.b.Posted(sent[0])
	if len(sink.got) != 1 {
		t.Errorf("a closed address got %v", sink.got)
	}
}

// A queue in the memory of another node is that node's, while it lives.
func TestQueueInTheMemoryOfAnotherNode(t *testing.T) {
	x := newBench(t, 0)
	x.do(&catalog.AddNode{ID: 2, Name: "far"})
	inc := x.do(&catalog.Register{Node: 2, Nonce: 2}).ID
	there := &fakeShard{}
	x.b.o.Memory = func(of queue.Incarnation) shard.Shard {
		if of != (queue.Incarnation{Node: 2, Number: inc}) {
			t.Errorf("asked for %+v", of)
		}
		return there
	}
	x.do(&catalog.DeclareQueue{VHost: "/", QueueSpec: catalog.QueueSpec{Name: "q", Incarnation: inc}})
	x.b.memory.close() // of this node: the queue is not in it
	told := &fakeSink{}
	x.publish(x.s.NewPublisher(told), publication(1, "", "q", "one"))
	there.confirm()
	if got := told.told(); got != "ack 1+1" {
		t.Errorf("told %s", got)
	}
	x.do(&catalog.EndIncarnation{Number: inc})
	x.publish(x.s.NewPublisher(told), publication(1, "", "q", "two"))
	if got := told.told(); got != "unroutable #0, ack 1+1" {
		t.Errorf("told %s after its end", got)
	}
}

type labelled struct{ ConsumerLabel }

func (l labelled) Label() ConsumerLabel { return l.ConsumerLabel }

// What one node tells of a consumer is what another shows.
func TestLabels(t *testing.T) {
	x := newBench(t, 0)
	l := ConsumerLabel{Session: 7, Channel: 3, Tag: "ctag", Properties: message.AppendField(nil, "x", message.StringOf("y"))}
	data := x.b.Tell(&shard.Consumer{User: labelled{l}})
	got, ok := x.b.Label(queue.Incarnation{}, data).(Labelled)
	if !ok {
		t.Fatal("no label")
	}
	if g := got.Label(); g.Session != l.Session || g.Channel != l.Channel || g.Tag != l.Tag || !bytes.Equal(g.Properties, l.Properties) {
		t.Errorf("%+v", g)
	}
	for n := range data {
		if n < len(data)-len(l.Properties) && x.b.Label(queue.Incarnation{}, data[:n]) != nil {
			t.Errorf("%d of %d bytes are a label", n, len(data))
		}
	}
	if x.b.Tell(&shard.Consumer{}) != nil {
		t.Error("a consumer without a label has one")
	}
}
