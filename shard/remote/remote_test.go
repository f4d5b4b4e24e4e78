package remote

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/origin"
)

const (
	theShard = Target(7)
	theQueue = 42
)

// A rig is a world with one shard.
type rig struct {
	*world
	l     *ledger
	h     *history
	hosts []*fakeHost
}

func newRig(t testing.TB, nodes int) *rig {
	r := &rig{world: newWorld(t, nodes), l: newLedger(), h: newHistory(t)}
	r.l.enqueued = r.h.enqueued
	for _, n := range r.nodes {
		h := &fakeHost{n: n, t: theShard, l: r.l}
		n.hosts[theShard] = h
		r.hosts = append(r.hosts, h)
	}
	return r
}

// mesh opens all streams; a node has one to itself.
func (r *rig) mesh() {
	for _, a := range r.nodes {
		for _, b := range r.nodes {
			r.dial(a, b)
		}
	}
}

func (r *rig) client(n int) *Client {
	k := r.nodes[n]
	return k.hub.Shard(uint64(theShard), origin.New(k.inc))
}

// client of a node is made once; this one's origin is used if it is the first.

func (r *rig) publisher(n int, name string) *publisher {
	return &publisher{h: r.h, name: name, to: r.client(n)}
}

func (r *rig) consumer(n int, prefetch uint32) *consumer {
	return r.h.consume(r.client(n), theQueue, 1, prefetch, 1<<20)
}

// still commits what is proposed until nothing moves.
func (r *rig) still() {
	for range 20 {
		r.settle()
		if r.l.leader == nil || len(r.l.leader.pending) == 0 {
			return
		}
		r.l.leader.commit()
	}
	r.t.Fatal("the shard never falls silent")
}

func (r *rig) expect(what string, got, want any) {
	r.t.Helper()
	if got != want {
		r.t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func TestPublishConsumeSettle(t *testing.T) {
	r := newRig(t, 2)
	r.mesh()
	r.hosts[1].lead(true)
	r.settle()
	p := r.publisher(0, "p")
	k := r.consumer(0, 0)
	p.publish(theQueue, 3)
	r.settle()
	r.expect("started", k.started, true)
	r.expect("confirmed before the commit", r.h.of("p#1").confirmed, 0)
	r.still()
	r.expect("confirmed", r.h.of("p#3").confirmed, 1)
	r.expect("delivered", len(k.got), 3)
	k.settle(0, shard.Accept)
	k.settle(1, shard.Requeue)
	r.still()
	r.expect("left in the queue", len(r.l.queues[theQueue]), 2)
	r.expect("delivered, with the one given back", len(k.got), 4)
}

// What was sent to a leader and is not in the log is sent to the next, once.
func TestLeaderChange(t *testing.T) {
	for name, keep := range map[string]bool{"committed": true, "lost": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 3)
			r.mesh()
			r.hosts[1].lead(true)
			k := r.consumer(0, 0)
			p := r.publisher(0, "p")
			p.publish(theQueue, 3)
			r.still()
			k.settle(0, shard.Accept)
			p.publish(theQueue, 2)
			r.settle() // proposed, not committed
			r.hosts[2].lead(keep)
			r.still()
			r.expect("delivered", len(k.got), 5)
			r.expect("held", len(k.held), 4)
			r.expect("in the queue", len(r.l.queues[theQueue]), 4)
			for range 4 {
				k.settle(0, shard.Accept)
			}
			r.still()
			r.expect("left", len(r.l.queues[theQueue]), 0)
			r.expect("claims kept", len(r.client(0).Origin().Report(99)[0].Claims), 0)
		})
	}
}

// A stream that breaks costs nothing: what it lost is sent again, what the
// consumer holds stays its own, and what it never got goes to it now.
func TestStreamBreaks(t *testing.T) {
	r := newRig(t, 2)
	r.mesh()
	r.hosts[1].lead(true)
	k := r.consumer(0, 0)
	p := r.publisher(0, "p")
	p.publish(theQueue, 2)
	r.still()
	p.publish(theQueue, 2)
	k.settle(0, shard.Accept)
	pipe := r.dial(r.nodes[0], r.nodes[1])
	pipe.carry(true, 100)
	r.hosts[1].commit() // answers and deliveries are on their way, and lost
	pipe.tell(true)
	p.publish(theQueue, 1)
	r.settle()
	r.expect("confirmed without a stream", r.h.of("p#3").confirmed, 0)
	r.dial(r.nodes[0], r.nodes[1])
	r.still()
	r.expect("confirmed", r.h.of("p#5").confirmed, 1)
	r.expect("delivered", len(k.got), 5)
	r.expect("in the queue", len(r.l.queues[theQueue]), 4)
}

func TestRequests(t *testing.T) {
	r := newRig(t, 2)
	r.mesh()
	r.hosts[1].lead(true)
	c := r.client(0)
	p := r.publisher(0, "p")
	p.publish(theQueue, 3)
	r.still()
	var got shard.GetResult
	c.Get(theQueue, 5, func(g shard.GetResult, err error) {
		if err != nil {
			t.Error(err)
		}
		got = g
	})
	var counts shard.Counts
	c.Counts(theQueue, func(x shard.Counts, _ error) { counts = x })
	r.still()
	r.expect("got", got.Empty, false)
	r.expect("counted", counts.Ready, uint64(3))
	c.Settle([]shard.Settle{{Queue: theQueue, Seq: got.Seq, Holding: got.Holding, Outcome: shard.Accept}}, nil)
	var purged uint64
	c.Purge(theQueue, func(n uint64, _ error) { purged = n })
	var reopened error
	c.Reopen(theQueue, func(err error) { reopened = err })
	r.still()
	r.expect("purged", purged, uint64(2))
	r.expect("reopened", errors.Is(reopened, shard.ErrGone), true)
	var closed uint64
	committed := false
	p.publish(theQueue, 1)
	c.Settle(nil, func(err error) { committed = err == nil })
	r.still()
	c.Close(theQueue, shard.Conditions{}, func(n uint64, _ error) { closed = n })
	r.still()
	r.expect("closed", closed, uint64(1))
	r.expect("settles are committed", committed, true)
}

// A queue that is deleted ends its consumers.
func TestCancelled(t *testing.T) {
	r := newRig(t, 2)
	r.mesh()
	r.hosts[1].lead(true)
	k := r.consumer(0, 0)
	r.settle()
	r.hosts[1].delete(theQueue)
	r.settle()
	r.expect("ended", k.ended, true)
	again := r.consumer(0, 0)
	r.settle()
	r.expect("refused", again.refused, true)
}

func TestCancel(t *testing.T) {
	r := newRig(t, 2)
	r.mesh()
	r.hosts[1].lead(true)
	k := r.consumer(0, 2)
	p := r.publisher(0, "p")
	p.publish(theQueue, 4)
	r.still()
	r.expect("delivered", len(k.got), 2)
	k.cancel(false)
	r.still()
	r.expect("ended", k.ended, true)
	r.expect("consumers left", len(r.hosts[1].consumers), 0)
	r.expect("held at the leader", len(r.hosts[1].held), 2)
	for range 2 {
		k.settle(0, shard.Accept)
	}
	k2 := r.consumer(0, 0)
	r.still()
	k2.cancel(true)
	r.still()
	r.expect("held at the leader", len(r.hosts[1].held), 0)
	r.expect("in the queue", len(r.l.queues[theQueue]), 2)
	k3 := r.consumer(0, 0)
	k3.cancel(true) // before it is answered
	r.still()
	r.expect("consumers left", len(r.hosts[1].consumers), 0)
	r.expect("delivered to nobody", len(k3.got), 0)
	k4 := r.consumer(0, 0)
	r.still()
	r.expect("delivered again", len(k4.got), 2)
	r.expect("flagged", k4.held[0].d.Redelivered, true)
}

// Publishes without a leader wait for 30 s. Those that left the node are not
// refused, nobody knows of them.
func TestParking(t *testing.T) {
	r := newRig(t, 2)
	r.mesh()
	r.settle()
	p := r.publisher(0, "p")
	r.hosts[1].lead(true)
	r.settle()
	p.publish(theQueue, 1)
	r.dial(r.nodes[0], r.nodes[1]).carry(true, 100)
	r.hosts[1].follow(false)
	r.settle()
	p.publish(theQueue, 1)
	for range 31 {
		r.clock.Advance(time.Second)
		r.nodes[0].hub.Tick()
	}
	r.expect("numbered: unknown", r.h.of("p#1").unknown, 1)
	r.expect("not numbered: refused", r.h.of("p#2").refused, true)
	var err error
	r.client(0).Counts(theQueue, func(_ shard.Counts, e error) { err = e })
	for range 11 {
		r.clock.Advance(time.Second)
		r.nodes[0].hub.Tick()
	}
	r.expect("requests", errors.Is(err, shard.ErrUnavailable), true)
}

// A message waits until the View of its consumer's node is where its publisher's
// was, and a leader does not take what is ahead of its own.
func TestRevisions(t *testing.T) {
	r := newRig(t, 3)
	r.mesh()
	r.hosts[1].lead(true)
	k := r.consumer(0, 0)
	r.still()
	r.nodes[2].view = 9
	p := r.publisher(2, "p")
	p.publish(theQueue, 1)
	r.still()
	r.expect("offered before the leader's View is there", r.h.of("p#1").confirmed, 0)
	r.nodes[1].view = 9
	r.nodes[1].server.Viewed()
	r.still()
	r.expect("confirmed", r.h.of("p#1").confirmed, 1)
	r.expect("delivered before the consumer's View is there", len(k.got), 0)
	r.nodes[0].view = 9
	r.nodes[0].hub.Viewed()
	r.still()
	r.expect("delivered", len(k.got), 1)
}

// The memory of another node: its end is the end of what it had.
func TestMemoryOfAnotherNode(t *testing.T) {
	r := newRig(t, 2)
	l := newLedger()
	m := &fakeHost{n: r.nodes[1], t: Memory, l: l}
	r.nodes[1].hosts[Memory] = m
	l.term = r.nodes[1].inc.Number - 1
	m.lead(true)
	r.mesh()
	c := r.nodes[0].hub.Memory(r.nodes[1].inc)
	p := &publisher{h: r.h, name: "p", to: c}
	k := r.h.consume(c, theQueue, 1, 0, 1<<20)
	p.publish(theQueue, 1)
	r.settle()
	m.commit()
	r.settle()
	r.expect("confirmed", r.h.of("p#1").confirmed, 1)
	r.expect("delivered", len(k.got), 1)
	p.publish(theQueue, 1)
	r.settle()
	r.nodes[0].hub.Ended(r.nodes[1].inc) // its stream may live: the process stands still
	r.settle()
	r.expect("cancelled", k.ended, true)
	r.expect("never routed", r.h.of("p#2").confirmed == 1 && !r.h.of("p#2").refused, true)
	var purge, renew error
	c.Purge(theQueue, func(_ uint64, err error) { purge = err })
	c.Renew(theQueue, func(_ shard.Counts, err error) { renew = err })
	r.settle()
	r.expect("not renewed", errors.Is(renew, shard.ErrGone), true)
	seen := false
	c.Inspect([]shard.QueueID{theQueue}, false, func([]shard.QueueInfo) { seen = true })
	r.settle()
	r.expect("looked", seen, true)
	p.publish(theQueue, 1)
	r.settle()
	r.expect("never routed either", r.h.of("p#3").confirmed, 1)
	r.expect("gone", errors.Is(purge, shard.ErrGone), true)
	purge = nil
	r.nodes[0].hub.Memory(r.nodes[1].inc).Purge(theQueue, func(_ uint64, err error) { purge = err })
	r.expect("gone for who comes late", errors.Is(purge, shard.ErrGone), true)
}

// A node that comes back as another incarnation has nothing of the one before.
func TestNewIncarnationReplacesTheOld(t *testing.T) {
	r := newRig(t, 2)
	r.mesh()
	r.hosts[1].lead(true)
	k := r.consumer(0, 0)
	p := r.publisher(0, "p")
	p.publish(theQueue, 1)
	r.still()
	r.expect("delivered", len(k.got), 1)
	k.die()
	old := r.nodes[0].inc
	r.nodes[0].start(3)
	r.world.pipes = nil // the old stream says nothing any more
	r.mesh()
	r.settle()
	r.hosts[1].EndIncarnation(old)
	k2 := r.consumer(0, 0)
	r.still()
	r.expect("delivered again", len(k2.got), 1)
	r.expect("flagged", k2.held[0].d.Redelivered, true)
}

func TestLooks(t *testing.T) {
	r := newRig(t, 2)
	r.mesh()
	r.hosts[1].lead(true)
	k := r.consumer(0, 1)
	p := r.publisher(0, "p")
	p.publish(theQueue, 3)
	r.still()
	var infos []shard.QueueInfo
	r.client(0).Inspect([]uint64{theQueue}, true, func(in []shard.QueueInfo) { infos = in })
	r.settle()
	r.expect("queues", len(infos), 1)
	r.expect("ready", infos[0].Ready, uint64(3))
	r.expect("the consumer is its own", infos[0].Only, k.c)
	b := &shard.Browse{Queue: theQueue, Messages: 1, Bytes: 100}
	n := 0
	for range 10 {
		var part shard.BrowsePart
		r.client(0).Browse(b, func(p shard.BrowsePart) { part = p })
		r.settle()
		if n += len(part.Messages); part.End || part.Err != nil {
			break
		}
	}
	r.expect("browsed", n, 3)
}

// What is for the catalog or a session waits for no View, and is told when the
// way is gone.
func TestPropose(t *testing.T) {
	r := newRig(t, 2)
	a, b := r.nodes[0], r.nodes[1]
	var got, peers []string
	note := func(what string) func(uint64, []byte) {
		return func(from uint64, data []byte) { got = append(got, fmt.Sprint(what, from, string(data))) }
	}
	b.server.o.Propose, b.server.o.Post = note("propose"), note("post")
	a.hub.o.Peer = func(node uint64, open bool) { peers = append(peers, fmt.Sprint(node, open)) }
	r.expect("sent without a stream", a.hub.Propose(2, []byte("x")), false)
	a.view = 99 // b's View is older
	pipe := r.dial(a, b)
	r.expect("sent", a.hub.Propose(2, []byte("x")) && a.hub.Post(2, []byte("y")) && a.hub.Propose(2, []byte("z")), true)
	pipe.carry(true, 100)
	pipe.tell(true)
	r.expect("arrived", fmt.Sprint(got), "[propose1x post1y propose1z]")
	r.expect("streams", fmt.Sprint(peers), "[2 true 2 false]")
}

// A leader that can not do a request just now is asked again, and so is the next
// one; its session hears of neither.
func TestUnavailableIsAskedAgain(t *testing.T) {
	r := newRig(t, 3)
	r.mesh()
	r.hosts[1].lead(true)
	r.settle()
	var got []error
	ask := func() {
		r.client(0).Counts(theQueue, func(_ shard.Counts, err error) { got = append(got, err) })
	}
	r.hosts[1].deaf = true
	ask()
	r.dial(r.nodes[0], r.nodes[1]).carry(true, 10)
	r.dial(r.nodes[0], r.nodes[1]).carry(false, 10)
	r.expect("answers", len(got), 0)
	r.hosts[1].deaf = false
	r.clock.Advance(askAgainAfter)
	r.nodes[0].hub.Tick()
	r.settle()
	r.expect("answers", fmt.Sprint(got), "[<nil>]")

	r.hosts[1].deaf = true
	ask()
	r.dial(r.nodes[0], r.nodes[1]).carry(true, 10)
	r.dial(r.nodes[0], r.nodes[1]).carry(false, 10)
	r.hosts[2].lead(true)
	r.settle()
	r.expect("answers", fmt.Sprint(got), "[<nil> <nil>]")

	r.hosts[2].deaf = true
	ask()
	for range mostAsked + 2 {
		r.clock.Advance(askAgainAfter)
		r.nodes[0].hub.Tick()
		r.settle()
	}
	r.expect("answers", len(got), 3)
	r.expect("the last", errors.Is(got[2], shard.ErrUnavailable), true)
}

// carry carries all there is, while time stands still.
func (r *rig) carry() {
	for moved := true; moved; {
		moved = false
		for _, p := range r.pipes {
			moved = p.carry(true, 100) || moved
			moved = p.carry(false, 100) || moved
		}
		if r.l.leader != nil && len(r.l.leader.pending) > 0 {
			r.l.leader.commit()
			moved = true
		}
	}
}

// A message that a node gave back and got again is claimed as it is held now,
// though nobody has said yet that it was given back.
func TestClaimsAreTheLatest(t *testing.T) {
	r := newRig(t, 3)
	r.mesh()
	r.hosts[1].lead(true)
	k := r.consumer(0, 0)
	r.publisher(0, "p").publish(theQueue, 1)
	r.carry()
	r.expect("delivered", len(k.held), 1)
	k.cancel(true)
	again := r.consumer(0, 0)
	r.carry()
	r.expect("delivered again", len(again.held), 1)
	other := r.consumer(2, 0)
	r.hosts[2].lead(true)
	r.still()
	r.expect("delivered to another", len(other.got), 0)
	again.settle(0, shard.Accept)
	r.still()
	r.expect("left", len(r.l.queues[theQueue]), 0)
}
