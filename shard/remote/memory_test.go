package remote

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/memory"
)

// memories makes queues in the memory of a node, served to the others. Their
// turns are their own.
func (r *rig) memories(n *node, ids ...uint64) map[uint64]*memory.Queue {
	qs := map[uint64]*memory.Queue{}
	for _, id := range ids {
		qs[id] = memory.New(memory.Options{
			ID: id, Incarnation: n.inc, Now: func() int64 { return 1 }, Memory: func(int) {},
			Lookup: func() (s shard.Settings, ok bool) { return s, qs[id] != nil },
			Ended:  func(uint64) {}, Expiring: func(*memory.Queue) {},
		})
	}
	n.hosts[Memory] = memory.NewHost(memory.HostOptions{
		Incarnation: n.inc, Queue: func(id uint64) *memory.Queue { return qs[id] },
		All: func() (out []*memory.Queue) {
			for _, id := range ids {
				if qs[id] != nil {
					out = append(out, qs[id])
				}
			}
			return out
		},
		Revision: func() uint64 { return n.view }, Alive: func(queue.Incarnation) bool { return true },
		Answers: n.server,
	})
	return qs
}

// Queues in the memory of another node are used as any other, while streams to it
// break: what is confirmed is delivered once to whoever lives.
func TestMemoryModel(t *testing.T) {
	for seed := range int64(60) {
		memoryModel(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func memoryModel(t *testing.T, seed int64) {
	r := newRig(t, 3)
	x := rand.New(rand.NewSource(seed))
	ids := []uint64{1, 2, 3}
	r.memories(r.nodes[0], ids...)
	r.mesh()
	var ps []*publisher
	var ks []*consumer
	for i, n := range []int{1, 2} {
		c := r.nodes[n].hub.Memory(r.nodes[0].inc)
		for _, id := range ids {
			ps = append(ps, &publisher{h: r.h, name: fmt.Sprintf("p%d.%d", i, id), to: c})
			ks = append(ks, r.h.consume(c, id, 1, uint32(x.Intn(4)), 1+x.Intn(20)))
		}
	}
	for range 300 {
		switch n := x.Intn(20); {
		case n < 12:
			r.random(x)
		case n < 15:
			i := x.Intn(len(ps))
			ps[i].publish(ids[i%len(ids)], 1+x.Intn(3))
		case n < 18:
			if k := ks[x.Intn(len(ks))]; len(k.held) > 0 {
				k.settle(x.Intn(len(k.held)), []shard.Outcome{shard.Accept, shard.Requeue}[x.Intn(2)])
			}
		case n < 19:
			if p := r.pipes[x.Intn(len(r.pipes))]; !p.told {
				p.tell(x.Intn(2) == 0)
			}
		default:
			r.dial(r.nodes[1+x.Intn(2)], r.nodes[0])
		}
	}
	for range 50 {
		r.mesh()
		r.still()
		for _, k := range ks {
			k.limit = 1 << 20
			k.kick()
			for len(k.held) > 0 {
				k.settle(0, shard.Accept)
			}
		}
	}
	for _, p := range ps {
		for i := 1; i <= p.n; i++ {
			if f := r.h.of(p.body(uint64(i))); f.confirmed != 1 || f.refused || !f.consumed {
				t.Errorf("%s: confirmed %d times, refused %v, consumed %v", p.body(uint64(i)), f.confirmed, f.refused, f.consumed)
			}
		}
	}
}

// What a queue in memory is asked for by another node.
func TestMemoryRequests(t *testing.T) {
	r := newRig(t, 2)
	qs := r.memories(r.nodes[0], 1, 2)
	r.mesh()
	c := r.nodes[1].hub.Memory(r.nodes[0].inc)
	p := &publisher{h: r.h, name: "p", to: c}
	p.publish(1, 3)
	p.publish(9, 1) // is not there: never routed
	var got shard.GetResult
	var answers []string
	c.Get(1, 5, func(g shard.GetResult, _ error) { got = g })
	r.settle()
	r.expect("confirmed", r.h.of("p#4").confirmed == 1 && !r.h.of("p#4").refused, true)
	r.expect("got", got.Empty, false)
	c.Settle([]shard.Settle{{Queue: 1, Seq: got.Seq, Holding: got.Holding, Outcome: shard.Requeue}}, nil)
	c.Counts(1, func(x shard.Counts, err error) { answers = append(answers, fmt.Sprint(x.Ready, x.Unacked, err)) })
	c.Purge(1, func(n uint64, err error) { answers = append(answers, fmt.Sprint(n, err)) })
	c.Purge(9, func(n uint64, err error) { answers = append(answers, fmt.Sprint(n, err)) })
	c.Close(2, shard.Conditions{IfEmpty: true}, func(n uint64, err error) { answers = append(answers, fmt.Sprint(n, err)) })
	r.settle()
	if want := []string{"3 0 <nil>", "3 <nil>", fmt.Sprint(0, shard.ErrGone), "0 <nil>"}; !slices.Equal(answers, want) {
		t.Errorf("answers %q, want %q", answers, want)
	}
	k := r.h.consume(c, 1, 1, 0, 1<<20)
	r.settle()
	r.expect("started", k.started, true)
	q := qs[1]
	delete(qs, 1)
	q.Changed(1)
	r.settle()
	r.expect("cancelled", k.ended, true)
}
