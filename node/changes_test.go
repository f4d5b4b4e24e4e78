package node

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/cluster/reconcile"
	"github.com/warrenmq/warren/core/catalog"
)

// figure is how often something is done: more with FULL=1.
func figure(share, full int) int {
	if os.Getenv("FULL") != "" {
		return full
	}
	return share
}

// Shards get and lose replicas under load, nodes are killed in between: nothing
// that was confirmed is lost.
func TestManyChanges(t *testing.T) {
	rs := startCluster(t, 3)
	waitSettled(t, rs)
	l := startLoad(t, rs, 6)
	l.more(20)
	ctx := context.Background()
	rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	changes, kills := figure(8, 100), 0
	for n := 0; n < changes; {
		r := rs[rng.IntN(3)]
		q := admin.QueueOf{VHost: "/", Queue: l.queues[rng.IntN(len(l.queues))]}
		on := admin.ReplicaOn{QueueOf: q, Node: rs[rng.IntN(3)].o.Name}
		s, err := operations{r.Node}.shardOfQueue(q)
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.memberNamed(on.Node)
		if err != nil {
			t.Fatal(err)
		}
		switch has := slices.Contains(s.Replicas, m.ID); {
		case !has:
			_, err = operations{r.Node}.AddReplica(ctx, on)
		case len(s.Replicas) == 3: // never one alone: a node is stopped below
			_, err = operations{r.Node}.DeleteReplica(ctx, on)
		default:
			continue
		}
		if err != nil {
			t.Fatalf("change %d: %v", n, err)
		}
		if n++; n%10 == 5 { // in the middle of what that began
			waitTwo(t, r)
			k := rng.IntN(3)
			others := slices.Concat(rs[k+1:], rs[:k])
			l.at.Store(&others)
			rs[k].stop()
			kills++
			l.more(5)
			rs[k] = start(t, rs[k].o)
			at := slices.Clone(rs)
			l.at.Store(&at)
		}
		if n%10 == 0 {
			l.more(5)
		}
	}
	waitSettled(t, rs)
	l.more(20)
	redelivered := l.end()
	t.Logf("%d changes of members, %d stops of a node, %d redelivered", changes, kills, redelivered)
}

// waitTwo waits until no shard needs all of its replicas.
func waitTwo(t *testing.T, r *running) {
	t.Helper()
	waitFor(t, "a replica to spare", func() bool {
		v := r.catalog.View()
		for s := range v.Shards() {
			if reconcile.Shard(v, s) != "" {
				return false
			}
			if len(s.Replicas) < 3 {
				if _, err := r.do(t.Context(), &catalog.SetShard{ID: s.ID, ShardSpec: reconcile.Added(s, missing(v, s))}); err != nil {
					t.Log(err)
				}
				return false
			}
		}
		return true
	})
}

func missing(v *catalog.View, s *catalog.Shard) uint64 {
	for m := range v.Nodes() {
		if !slices.Contains(s.Replicas, m.ID) {
			return m.ID
		}
	}
	return 0
}

// A shard is handed over by plan, under load: consumers get nothing again, and
// publishers wait for a moment, which is printed.
func TestTransfers(t *testing.T) {
	rs := startCluster(t, 3)
	waitSettled(t, rs)
	l := startLoad(t, rs[:1], 1)
	l.more(100)
	var took []time.Duration
	for range figure(8, 100) {
		var from, to *running
		shard := rs[0].catalog.View().Queue("/", l.queues[0]).Shard
		waitFor(t, "a leader, and a follower that has all", func() bool {
			for k, r := range rs {
				g := r.host.Group(shard)
				if _, under := r.handing.Load(shard); under || !g.Status().Leading {
					continue
				}
				from, to = r, rs[(k+1)%3]
				for _, p := range g.Status().Peers {
					if p.ID == uint64(to.dir.Node().Node) && p.Match+caughtUp >= g.Status().Last {
						return true
					}
				}
			}
			return false
		})
		l.mu.Lock()
		l.worst = 0
		l.mu.Unlock()
		g := from.host.Group(shard)
		from.transferLeader(g, uint64(to.dir.Node().Node))
		waitFor(t, "another leader", func() bool { return !g.Status().Leading })
		l.more(20)
		l.mu.Lock()
		took = append(took, l.worst)
		l.mu.Unlock()
	}
	if n := l.end(); n > 0 {
		t.Errorf("%d messages were redelivered", n)
	}
	slices.Sort(took)
	t.Logf("%d planned transfers: a publisher waited %s (p50), %s (p99) at most", len(took), took[len(took)/2].Round(time.Millisecond), took[len(took)*99/100].Round(time.Millisecond))
}
