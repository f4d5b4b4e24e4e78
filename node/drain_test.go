package node

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/health"
)

// A node by itself is put under maintenance, too: there is nobody to hand anything
// to, its clients go, and come back when it is revived.
func TestDrainAlone(t *testing.T) {
	r := start(t, testOptions(t, t.TempDir(), vfs.NewMem()))
	ch := r.channel()
	declare(t, ch, "q")
	publish(t, ch, "q", 0, 5)
	for range 2 {
		if err := r.Drain(t.Context(), r.o.Name); err != nil {
			t.Fatal(err)
		}
		if h := r.Health(); h.State != health.Draining || len(r.listeners()) != 0 {
			t.Errorf("it is %s with %d listeners", h.State, len(r.listeners()))
		}
		if err := r.Revive(t.Context(), r.o.Name); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "its listeners", func() bool { return len(r.listeners()) > 0 })
	}
	want(t, r.channel(), "q", 0, 5)
}

// An address that somebody took while a node served nobody is waited for: the node
// does not end for it.
func TestAddressTakenMeanwhile(t *testing.T) {
	r := start(t, testOptions(t, t.TempDir(), vfs.NewMem()))
	addr := r.Addrs()["amqp"]
	if err := r.Drain(t.Context(), r.o.Name); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Revive(t.Context(), r.o.Name); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "what it says of that", func() bool { return strings.Contains(r.log.String(), "it is tried again") })
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "its listeners", func() bool { return r.Addrs()["amqp"] == addr })
	declare(t, r.channel(), "q")
}

// A node is forgotten although the one that leads the catalog stops in the middle
// of it: another goes on.
func TestForgetGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rs := []*running{start(t, clusterOptions(t, dir, 1))}
	for k := 2; k <= 5; k++ {
		rs = append(rs, start(t, clusterOptions(t, dir, k, rs[0].Addrs()["cluster"])))
	}
	waitSettled(t, rs)
	ch := rs[1].channel()
	for _, q := range []string{"a", "b", "c", "d"} {
		declare(t, ch, q)
		publish(t, ch, q, 0, 10)
	}
	gone := rs[4]
	id := uint64(gone.dir.Node().Node)
	gone.stop()
	var leader *running
	waitFor(t, "a leader that knows", func() bool {
		leader = nil
		for _, r := range rs[:4] {
			if r.catalog.Leading() && r.catalog.View().Node(id).Incarnation == 0 {
				leader = r
			}
		}
		return leader != nil
	})
	ended := make(chan error, 1)
	go func() { ended <- leader.ForgetNode(t.Context(), gone.o.Name, false) }()
	waitFor(t, "the order", func() bool { return leader.catalog.View().Barred(id) })
	leader.stop() // with the order under way
	<-ended       // whatever it says
	var rest []*running
	for _, r := range rs[:4] {
		if r != leader {
			rest = append(rest, r)
		}
	}
	waitFor(t, "another leader of the catalog", func() bool {
		return slices.ContainsFunc(rest, func(r *running) bool { return r.catalog.Leading() })
	})
	// A shard of which both held a replica waits for the one that is to come back.
	rest = append(rest, start(t, leader.o))
	waitFor(t, "the others to forget it", func() bool { return rest[0].catalog.View().Node(id) == nil })
	waitSettled(t, rest)
	for _, q := range []string{"a", "b", "c", "d"} {
		drainAll(t, rest[0].channel(), q, 10)
	}
}
