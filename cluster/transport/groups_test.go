package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/storage/storagetest"
)

// A counter proposes the next number while it leads, up to what is wanted, and
// notes what it applied.
type counter struct {
	mu      sync.Mutex
	want    int
	applied int
	wrong   bool
	leads   bool
}

func (c *counter) Lead(uint64)        { c.set(true) }
func (c *counter) Follow(_, _ uint64) { c.set(false) }

func (c *counter) set(leads bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leads = leads
}

// payload is the n-th entry: some are small, some large.
func payload(n int) []byte {
	b := bytes.Repeat([]byte{byte(n)}, 8+n*997%40000)
	binary.BigEndian.PutUint64(b, uint64(n))
	return b
}

func (c *counter) Apply(ents []commitlog.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range ents {
		if len(e.Data) == 0 {
			continue
		}
		c.wrong = c.wrong || !bytes.Equal(e.Data, payload(c.applied))
		c.applied++
	}
}

func (c *counter) Turn(_ time.Duration, p commitlog.Proposer) {
	c.mu.Lock()
	next, want := c.applied, c.want
	c.mu.Unlock()
	if _, ok := p.Leading(); !ok {
		return
	}
	// Of one term, so that what is in flight is what comes next.
	n, _ := p.InFlight()
	for next += n; next < want && n < 16; n++ {
		if _, ok := p.Propose(payload(next)); !ok {
			return
		}
		next++
	}
}

func (c *counter) at() (applied int, wrong, leads bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.applied, c.wrong, c.leads
}

// A replica is one node of a Raft group whose messages go over real sockets.
type replica struct {
	*node
	counter
	group *raftgroup.Group
	stop  func()
}

// replicas starts a group of three.
func replicas(t *testing.T) []*replica {
	t.Helper()
	founder := testTrust(t, testCluster)
	var all []*replica
	var nodes []*node
	for id := uint64(1); id <= 3; id++ {
		trust := founder
		if id > 1 {
			trust = member(t, founder, id, birth)
		}
		r := &replica{}
		var host *raftgroup.Host
		ready := make(chan struct{})
		o := options(t, trust)
		o.Raft = func(_, group uint64, msgs []*raftpb.Message) {
			<-ready
			host.Deliver(group, msgs)
		}
		r.node = start(t, o)
		log := storagetest.NewMemLog()
		h, err := raftgroup.NewHost(raftgroup.Options{NodeID: id, Log: log, Transport: r.Transport, Now: r.opts.Clock.Mono})
		if err != nil {
			t.Fatal(err)
		}
		host = h
		close(ready)
		if r.group, err = h.Open(raftgroup.GroupOptions{ID: 4, Machine: &r.counter, Voters: []uint64{1, 2, 3}}); err != nil {
			t.Fatal(err)
		}
		r.stop = r.run(h, log)
		t.Cleanup(r.stop)
		all, nodes = append(all, r), append(nodes, r.node)
	}
	mesh(nodes...)
	return all
}

// run drives a replica until the returned function is called, twice if need be.
func (r *replica) run(h *raftgroup.Host, log *storagetest.MemLog) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { log.Run(done) })
	wg.Go(func() { r.group.Run(ctx) })
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				h.Tick()
			case <-done:
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		cancel()
		r.group.Close()
		close(done)
		wg.Wait()
	})
}

// propose asks for entries and waits until all of them were applied by all.
func propose(t *testing.T, all []*replica, upTo int) {
	t.Helper()
	for _, r := range all {
		r.mu.Lock()
		r.want = upTo
		r.mu.Unlock()
	}
	eventually(t, func() bool {
		for _, r := range all {
			r.group.Wake()
			applied, wrong, _ := r.at()
			if wrong {
				t.Fatalf("node %d applied something else", r.id)
			}
			if applied < upTo {
				return false
			}
		}
		return true
	})
}

// A Raft group over real sockets: it elects, replicates, and when the leader's
// process goes the others know at once and go on.
func TestGroupOverTransport(t *testing.T) {
	all := replicas(t)
	propose(t, all, 200)
	var leader *replica
	var rest []*replica
	for _, r := range all {
		if _, _, leads := r.at(); leads {
			leader = r
		} else {
			rest = append(rest, r)
		}
	}
	if leader == nil || len(rest) != 2 {
		t.Fatal("no leader, or several")
	}
	leader.stop()
	leader.node.stop()
	for _, r := range rest {
		if id := receive(t, r.lost); id != leader.id {
			t.Fatalf("node %d lost %d", r.id, id)
		}
		r.group.ForgetLeader()
	}
	rest[0].group.Campaign()
	propose(t, rest, 400)
}
