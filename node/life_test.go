package node

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/health"
	"github.com/warrenmq/warren/internal/racing"
)

// These tests are about the lease. On a loaded machine a node may lose one that it
// was not meant to lose; then it comes back by itself. So they wait for what must
// come, however often that happens, count no lives, and let nothing follow from a
// node that serves.

// startWired is startCluster over a network that can be cut.
func startWired(t *testing.T, n int) (*wires, []*running) {
	t.Helper()
	t.Parallel()
	w, dir := newWires(), t.TempDir()
	var rs []*running
	for k := range n {
		var join []string
		if k > 0 {
			join = []string{rs[0].Addrs()["cluster"]}
		}
		o := clusterOptions(t, dir, k+1, join...)
		o.Cluster.Lease, o.Cluster.Silence = racing.Longer(2*time.Second), racing.Longer(3*time.Second)
		o.Cluster.Dial = w.dialer(o.Name)
		rs = append(rs, start(t, o))
		w.name(rs[k])
	}
	waitWhole(t, rs, n)
	return w, rs
}

// patience is how long a test waits for leases to be lost and got back.
func (r *running) patience() time.Duration { return 30*time.Second + 3*racing.Longer(2*time.Second) }

// awaitState waits until a node says what it is.
func (r *running) awaitState(s health.State) {
	r.t.Helper()
	r.eventually("it is "+string(s), r.patience(), func() bool { return r.Health().State == s })
}

// refuses reports whether nobody listens for clients.
func (r *running) refuses(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		_ = c.Close()
	}
	return err != nil
}

// goingAway waits until a client was told to go.
func goingAway(t *testing.T, r *running, closed <-chan *amqp.Error) {
	t.Helper()
	select {
	case err := <-closed:
		if err == nil || err.Code != amqp.ConnectionForced || !strings.Contains(err.Reason, "going away") {
			t.Fatalf("the client was told %v\n%s", err, r.log)
		}
	case <-time.After(r.patience()):
		t.Fatalf("the client of %s was not told to go\n%s", r.o.Name, r.log)
	}
}

// greeted returns a connection whose client has not logged in yet.
func greeted(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = c.Write([]byte("AMQP\x00\x00\x09\x01"))
	must(t, err)
	must(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
	start := make([]byte, 7)
	_, err = io.ReadFull(c, start)
	must(t, err)
	_, err = io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(start[3:])+1))
	must(t, err)
	return c
}

// turnedAway wants a client that was not logged in to be told to go elsewhere: one
// whose socket is just closed takes its password for wrong.
func turnedAway(t *testing.T, r *running, c net.Conn) {
	t.Helper()
	said, _ := io.ReadAll(c) // it ends with the connection, however
	if !bytes.Contains(said, []byte("CONNECTION_FORCED - the node is going away")) {
		t.Fatalf("it was told %q\n%s", said, r.log)
	}
}

// A node that has lost the majority of its cluster stops serving, says so, and
// serves again when the majority is back: under another incarnation, without
// having ended. What is durable is there, what was in its memory is not (estate
// R11, A19).
func TestMinority(t *testing.T) {
	rs := startCluster(t, 3)
	a := rs[0]
	conn := a.dial()
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	ch, err := conn.Channel()
	must(t, err)
	must(t, ch.Confirm(false))
	declare(t, ch, "kept")
	publish(t, ch, "kept", 0, 20)
	_, err = ch.QueueDeclare("gone", false, false, false, false, nil)
	must(t, err)
	publish(t, ch, "gone", 0, 5)
	addr := a.Addrs()["amqp"]

	rs[1].stop()
	rs[2].stop()
	goingAway(t, a, closed)
	a.awaitState(health.Minority)
	a.eventually("nobody listens", a.patience(), func() bool { return a.refuses(addr) })
	a.eventually("it says for whom it waits", a.patience(), func() bool {
		text := a.Health().Text
		return strings.HasPrefix(text, "1 of 3, needs 2, waiting for ") && strings.Contains(text, rs[1].o.Name) && a.limits(text) &&
			a.limits("; to do: start them, in any order") && strings.HasPrefix(a.Health().Do, "start them, in any order")
	})
	for _, g := range a.host.Groups() {
		if g.Status().Term == 0 {
			t.Errorf("group %d does nothing", g.ID())
		}
	}

	back := start(t, rs[1].o)
	a.awaitState(health.Serving)
	if now := a.Addrs()["amqp"]; now != addr {
		t.Errorf("it listens at %s, clients know %s", now, addr)
	}
	drainAll(t, a.channel(), "kept", 20)
	if _, err := a.channel().QueueDeclarePassive("gone", false, false, false, false, nil); err == nil {
		t.Error("a queue in memory outlived its life")
	}
	declare(t, back.channel(), "new")
	publish(t, a.channel(), "new", 0, 10)
	drainAll(t, back.channel(), "new", 10)
}

// A node that is cut off stops serving while the others go on, and comes back when
// it reaches them again; what it had not confirmed is not lost by that, and what
// was confirmed meanwhile is there.
func TestCutOff(t *testing.T) {
	w, rs := startWired(t, 3)
	ch := rs[1].channel()
	must(t, ch.Confirm(false))
	for _, q := range []string{"q0", "q1", "q2", "q3"} {
		declare(t, ch, q)
		publish(t, ch, q, 0, 10)
	}
	closed := rs[0].dial().NotifyClose(make(chan *amqp.Error, 1))
	w.sever(rs[0], rs[1])
	w.sever(rs[0], rs[2])
	goingAway(t, rs[0], closed)
	for _, q := range []string{"q0", "q1", "q2", "q3"} {
		publish(t, rs[2].channel(), q, 10, 20)
	}
	w.mend()
	rs[0].awaitState(health.Serving)
	for _, q := range []string{"q0", "q1", "q2", "q3"} {
		drainAll(t, rs[0].channel(), q, 20)
	}
}

// Two of three nodes lose their leases and each other, and the third is gone. When
// they reach each other again nobody has a life; that they get one takes a leader
// of the catalog and two replicas that store it: the replicas of nodes that serve
// nobody elect and store.
func TestReplicasVoteWithoutLease(t *testing.T) {
	w, rs := startWired(t, 3)
	ch := rs[1].channel()
	must(t, ch.Confirm(false))
	declare(t, ch, "q")
	publish(t, ch, "q", 0, 50)
	rs[2].stop()
	w.sever(rs[0], rs[1])
	rs[0].awaitState(health.Minority)
	rs[1].awaitState(health.Minority)
	w.mend()
	rs[0].awaitState(health.Serving)
	rs[1].awaitState(health.Serving)
	drainAll(t, rs[0].channel(), "q", 50)
	publish(t, rs[1].channel(), "q", 50, 60)
}

// A node loses its life while its replicas are needed: clients of the other node
// are confirmed all the while.
func TestLifeEndsReplicasGoOn(t *testing.T) {
	rs := startCluster(t, 3)
	rs[2].stop()
	b := rs[1]
	ch := b.channel()
	must(t, ch.Confirm(false))
	for _, q := range []string{"q0", "q1", "q2", "q3"} {
		declare(t, ch, q)
	}
	for round := range 3 {
		before := rs[0].life().Number
		entering := greeted(t, rs[0].Addrs()["amqp"])
		rs[0].member.Load().GiveUp()
		turnedAway(t, rs[0], entering)
		for k := range 10 {
			for _, q := range []string{"q0", "q1", "q2", "q3"} {
				publish(t, ch, q, 10*round+k, 10*round+k+1)
			}
		}
		rs[0].eventually("it lives again", rs[0].patience(), func() bool {
			return rs[0].life().Number > before && rs[0].Health().State == health.Serving
		})
	}
	for _, q := range []string{"q0", "q1", "q2", "q3"} {
		drainAll(t, rs[0].channel(), q, 30)
	}
}
