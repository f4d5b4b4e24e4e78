package broker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
)

// A replySink has room for so many replies.
type replySink struct {
	room int
	got  []string
}

func (s *replySink) Reply(blob []byte) bool {
	if s.room == 0 {
		return false
	}
	s.room--
	m, err := message.Parse(blob)
	if err != nil {
		panic(err)
	}
	s.got = append(s.got, string(m.Body))
	return true
}

func TestReplies(t *testing.T) {
	x := newBench(t, 0)
	sink, told := &replySink{room: 2}, &fakeSink{}
	r, err := x.s.OpenReply(sink)
	if err != nil {
		t.Fatal(err)
	}
	p := x.s.NewPublisher(told)
	id := x.queue("q", true)
	both := publication(2, "", r.Name(), "two")
	both.Keys = [][]byte{[]byte("q"), []byte(r.Name()), []byte("nobody")}
	x.publish(p, publication(1, "", r.Name(), "one"), both, publication(3, "", r.Name(), "three"), publication(4, "amq.direct", r.Name(), "four"))
	if got := strings.Join(sink.got, " "); got != "one two" {
		t.Errorf("the address got %s", got)
	}
	if got, want := x.one.taken(), fmt.Sprintf("%d:two", id); got != want {
		t.Errorf("the queue took %s, want %s", got, want)
	}
	x.one.confirm()
	// The third was dropped for want of room: it was routed all the same.
	if got := told.told(); got != "ack 1+1, ack 3+1, unroutable #3, ack 4+1, ack 2+1" {
		t.Errorf("told %s", got)
	}
	if n := x.b.Replies(); n != (ReplyCounts{Open: 1, Dropped: 1}) {
		t.Errorf("%+v", n)
	}
	r.Close()
	r.Close()
	x.publish(p, publication(5, "", r.Name(), "late"))
	if got := told.told(); got != "unroutable #0, ack 5+1" {
		t.Errorf("told %s", got)
	}
	if n := x.b.Replies(); n.Open != 0 {
		t.Errorf("%d addresses are left", n.Open)
	}
}

// X28, X29: an address serves its own vhost, and those who may publish to the
// default exchange.
func TestReplyBorders(t *testing.T) {
	x := newBench(t, 0)
	x.do(&catalog.AddVHost{Name: "other"})
	sink, told := &replySink{room: 9}, &fakeSink{}
	r, err := x.s.OpenReply(sink)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := x.b.NewSession(Identity{User: "u"}, SessionInfo{})
	defer s.Close()
	if err := s.Open(background, "other"); err != nil {
		t.Fatal(err)
	}
	x.publish(s.NewPublisher(told), publication(1, "", r.Name(), "across"))
	if got := told.told(); got != "unroutable #0, ack 1+1" || len(sink.got) != 0 {
		t.Errorf("told %s, got %v", got, sink.got)
	}
	if _, err := s.DeclareQueue(background, QueueOptions{Name: r.Name(), Passive: true}); KindOf(err) != NotFound {
		t.Errorf("asked from another vhost: %v", err)
	}
	p := x.s.NewPublisher(told)
	x.publish(p, publication(1, "", r.Name(), "allowed"))
	x.auth.deny["write exchange "] = true
	x.auth.deny["write exchange amq.default"] = true
	x.do(&catalog.AddVHost{Name: "third"}) // permissions change with the view
	if n, err := p.Publish([]Publication{publication(2, "", r.Name(), "denied")}); n != 0 || KindOf(err) != Denied {
		t.Errorf("%d, %v", n, err)
	}
	if got := strings.Join(sink.got, " "); got != "allowed" {
		t.Errorf("got %s", got)
	}
}

func BenchmarkReply(b *testing.B) {
	x := newBench(b, 0)
	sink := &replySink{}
	r, err := x.s.OpenReply(sink)
	if err != nil {
		b.Fatal(err)
	}
	p := x.s.NewPublisher(&fakeSink{})
	pubs := []Publication{publication(0, "", r.Name(), "body")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Publish(pubs); err != nil {
			b.Fatal(err)
		}
	}
}
