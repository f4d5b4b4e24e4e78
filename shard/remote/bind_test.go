package remote

import (
	"fmt"
	"testing"
	"time"

	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/origin"
)

// A localShard stands for the replica of a node: it leads or has the client's
// turn run. It notes what it is called with.
type localShard struct {
	shard.Shard
	c      *Client
	o      *origin.Origin
	w      *world
	leads  bool
	called []string
}

func (l *localShard) turn() bool {
	if l.leads {
		l.drain()
		return true
	}
	l.c.Turn(l.w.clock.Mono())
	return true
}

// drain takes what sessions published, as a leader does.
func (l *localShard) drain() {
	for b := l.o.Next(1); b != nil; b = l.o.Next(1) {
		l.called = append(l.called, fmt.Sprintf("batch %d of %d", b.ID.Number, b.Builder().Publishes()))
		l.o.Sent()
		l.o.Answer(b.ID.Number, nil, shard.BatchTook)
	}
	l.o.Wakes.Wake()
}

func (l *localShard) Publish(ps []shard.Publish) bool {
	_, ok := l.o.In.Publish(ps)
	l.turn()
	return ok
}

// A client that is bound to a replica leaves everything to it, and is its
// Elsewhere while another node leads: batches go on in one row.
func TestBind(t *testing.T) {
	r := newRig(t, 2)
	r.mesh()
	r.hosts[1].lead(true)
	p := r.publisher(0, "p")
	p.publish(theQueue, 2)
	r.still()
	c := r.client(0)
	l := &localShard{c: c, o: c.Origin(), w: r.world}
	c.Bind(l, l.turn)
	p.publish(theQueue, 2) // through the replica, which does not lead
	r.still()
	r.expect("applied elsewhere", r.l.applied["p#4"], 1)

	p.publish(theQueue, 1)
	r.hosts[1].follow(false) // what was sent is lost
	l.leads = true
	c.Lead()
	l.o.Yield(9)
	l.turn()
	p.publish(theQueue, 3)
	r.settle()
	r.expect("batches here", fmt.Sprint(l.called), "[batch 3 of 1 batch 4 of 3]")
	r.expect("confirmed", r.h.of("p#8").confirmed, 1)

	// Another leads: what is not answered here goes there.
	l.leads = false
	r.l.term, r.l.streams[r.nodes[0].inc].last = 10, 4
	c.Follow(2)
	r.hosts[1].lead(true)
	p.publish(theQueue, 1)
	r.still()
	r.expect("applied elsewhere again", r.l.applied["p#9"], 1)

	c.Unbind()
	p.publish(theQueue, 1)
	r.still()
	r.expect("applied without the replica", r.l.applied["p#10"], 1)
	r.clock.Advance(time.Second)
}

func (l *localShard) InspectHere(ids []shard.QueueID, _ bool, done func([]shard.QueueInfo)) {
	done([]shard.QueueInfo{{ID: ids[0]}})
}

func (l *localShard) BrowseHere(_ *shard.Browse, done func(shard.BrowsePart)) {
	done(shard.BrowsePart{End: true})
}

// Who looked while nobody led, or another did, is answered by the replica here when
// that leads: no turn of the client comes any more. A browse that another has begun
// ends, for nobody has its place.
func TestLookBeforeLead(t *testing.T) {
	r := newRig(t, 2)
	r.mesh()
	c := r.client(0)
	l := &localShard{c: c, o: c.Origin(), w: r.world}
	c.Bind(l, l.turn)
	answered := map[string]int{}
	ask := func(name string) {
		c.Inspect([]uint64{theQueue}, false, func(in []shard.QueueInfo) { answered[name] += len(in) })
	}
	ask("taken")
	r.still()
	begun := &shard.Browse{Queue: theQueue}
	for range 2 {
		c.Browse(begun, func(p shard.BrowsePart) {
			if p.Err == nil {
				answered["browsed"]++
			} else {
				answered["refused"]++
			}
		})
	}
	r.still()
	c.mu.looks = append(c.mu.looks, &look{ids: []uint64{theQueue}, seen: func([]shard.QueueInfo) { answered["new"]++ }}) // not taken yet
	c.Lead()
	l.leads = true
	ask("late")
	r.expect("answered", fmt.Sprint(answered), "map[browsed:1 late:1 new:1 refused:1 taken:1]")
}
