package raftgroup_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"

	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/commitlog"
	"github.com/warrenmq/warren/storage/storagetest"
)

// pumps are nodes with all their goroutines: a log writer, a ticker and one
// goroutine a group, as in production.
type pumps struct {
	hosts map[uint64]*raftgroup.Host
	stop  chan struct{}
	end   context.CancelFunc
	ctx   context.Context
	wg    sync.WaitGroup
}

func newPumps() *pumps {
	p := &pumps{hosts: make(map[uint64]*raftgroup.Host), stop: make(chan struct{})}
	p.ctx, p.end = context.WithCancel(context.Background())
	return p
}

func (p *pumps) Close() {
	p.end()
	for _, h := range p.hosts {
		for _, g := range h.Groups() {
			g.Close()
		}
	}
	close(p.stop)
	p.wg.Wait()
}

// wire delivers at once. It is a Transport of one node.
type wire struct {
	p    *pumps
	from uint64
}

func (w wire) Send(to uint64, msgs []raftgroup.Message) {
	for _, m := range msgs {
		w.p.hosts[to].Deliver(m.Group, []*raftpb.Message{m.Raft})
	}
}

func (p *pumps) host(t testing.TB, id uint64) *raftgroup.Host {
	log := storagetest.NewMemLog()
	start := time.Now()
	h, err := raftgroup.NewHost(raftgroup.Options{
		NodeID: id, Log: log, Transport: wire{p, id}, Now: func() time.Duration { return time.Since(start) },
	})
	if err != nil {
		t.Fatal(err)
	}
	p.hosts[id] = h
	p.wg.Go(func() { log.Run(p.stop) })
	p.wg.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				h.Tick()
			case <-p.stop:
				return
			}
		}
	})
	return h
}

// A counter takes numbers from any goroutine, proposes them and checks that
// turns do not overlap. It has no lock of its own for what turns touch.
type counter struct {
	inTurn  atomic.Int32
	applied int
	sum     uint64
	last    uint64
	fail    func(format string, args ...any)
	notify  chan<- int
	led     chan struct{} // closed by the first Lead
	once    sync.Once

	mu struct {
		sync.Mutex
		inbox []uint64
	}
}

func (c *counter) enter() func() {
	if c.inTurn.Add(1) != 1 {
		c.fail("two turns at once")
	}
	return func() { c.inTurn.Add(-1) }
}

func (c *counter) add(v uint64) {
	c.mu.Lock()
	c.mu.inbox = append(c.mu.inbox, v)
	c.mu.Unlock()
}

func (c *counter) Apply(ents []commitlog.Entry) {
	defer c.enter()()
	for _, e := range ents {
		if c.last != 0 && e.Index != c.last+1 {
			c.fail("entry %d after %d", e.Index, c.last)
		}
		c.last = e.Index
		for d := e.Data; len(d) > 0; d = d[8:] {
			c.applied++
			c.sum += binary.BigEndian.Uint64(d)
		}
	}
	if c.notify != nil {
		c.notify <- c.applied
	}
}

func (c *counter) Lead(uint64) {
	defer c.enter()()
	if c.led != nil {
		c.once.Do(func() { close(c.led) })
	}
}

func (c *counter) Follow(_, _ uint64) { defer c.enter()() }

func (c *counter) Turn(_ time.Duration, p commitlog.Proposer) {
	defer c.enter()()
	if n, _ := p.InFlight(); n >= 4 {
		return
	}
	if _, ok := p.Leading(); !ok {
		return
	}
	c.mu.Lock()
	in := c.mu.inbox
	c.mu.inbox = nil
	c.mu.Unlock()
	if len(in) == 0 {
		return
	}
	data := make([]byte, 0, 8*len(in))
	for _, v := range in {
		data = binary.BigEndian.AppendUint64(data, v)
	}
	if _, ok := p.Propose(data); !ok {
		c.fail("dropped")
	}
}

// Many goroutines feed several groups of one voter, some lending themselves to
// the turns, while the log writer runs them as well.
func TestRunOneVoter(t *testing.T) {
	defer goleak.VerifyNone(t)
	const groups, producers, each = 3, 4, 2000
	p := newPumps()
	h := p.host(t, 1)
	done := make([]chan int, groups)
	var machines []*counter
	for i := range groups {
		done[i] = make(chan int, groups*producers*each)
		m := &counter{fail: t.Errorf, notify: done[i]}
		g, err := h.Open(raftgroup.GroupOptions{ID: uint64(i + 1), Machine: m, Voters: []uint64{1}})
		if err != nil {
			t.Fatal(err)
		}
		machines = append(machines, m)
		p.wg.Go(func() { g.Run(p.ctx) })
		for k := range producers {
			p.wg.Go(func() {
				for v := range uint64(each) {
					m.add(v)
					if k%2 == 0 {
						g.Wake()
					} else {
						g.TryTurn()
					}
				}
			})
		}
	}
	for i := range groups {
		for <-done[i] < producers*each {
		}
	}
	p.Close()
	for i, m := range machines {
		if want := uint64(producers * each * (each - 1) / 2); m.sum != want {
			t.Errorf("group %d: sum %d, want %d", i+1, m.sum, want)
		}
	}
}

// Three nodes with all their goroutines elect by timeout and replicate.
func TestRunThreeVoters(t *testing.T) {
	defer goleak.VerifyNone(t)
	const total = 3000
	p := newPumps()
	var hosts []*raftgroup.Host
	for id := uint64(1); id <= 3; id++ {
		hosts = append(hosts, p.host(t, id))
	}
	done := make([]chan int, 3)
	var groups []*raftgroup.Group
	var machines []*counter
	for i, h := range hosts {
		done[i] = make(chan int, 10*total)
		m := &counter{fail: t.Errorf, notify: done[i], led: make(chan struct{})}
		g, err := h.Open(raftgroup.GroupOptions{ID: 1, Machine: m, Voters: []uint64{1, 2, 3}})
		if err != nil {
			t.Fatal(err)
		}
		groups, machines = append(groups, g), append(machines, m)
		p.wg.Go(func() { g.Run(p.ctx) })
	}
	groups[0].Campaign()
	<-machines[0].led
	for v := range uint64(total) {
		machines[0].add(v)
		groups[0].Wake()
	}
	for i := range done {
		for <-done[i] < total {
		}
	}
	p.Close()
	for i, m := range machines {
		if want := uint64(total * (total - 1) / 2); m.sum != want {
			t.Errorf("node %d: sum %d, want %d", i+1, m.sum, want)
		}
	}
}

// Close ends a group whatever else goes on, and its id can be opened again once
// its appends are written.
func TestClose(t *testing.T) {
	defer goleak.VerifyNone(t)
	p := newPumps()
	h := p.host(t, 1)
	for round := range 20 {
		notify := make(chan int, 10000)
		m := &counter{fail: t.Errorf, notify: notify}
		var g *raftgroup.Group
		for {
			var err error
			if g, err = h.Open(raftgroup.GroupOptions{ID: 1, Machine: m, Voters: []uint64{1}}); err == nil {
				break
			} else if round == 0 {
				t.Fatal(err)
			}
			runtime.Gosched() // the log writer is at it
		}
		var wg sync.WaitGroup
		wg.Go(func() { g.Run(p.ctx) })
		wg.Go(func() {
			for v := range uint64(100) {
				m.add(v)
				g.Wake()
			}
		})
		<-notify
		g.Close()
		last := m.applied
		g.TryTurn()
		g.Wake()
		g.Close()
		wg.Wait()
		if m.applied != last {
			t.Errorf("round %d: applied after Close", round)
		}
	}
	p.Close()
}

// A group that is open is not opened again.
func TestOpenTwice(t *testing.T) {
	e, n, _ := solo(t, nil)
	if err := n.open(raftgroup.GroupOptions{ID: 1, Voters: []uint64{1}}); err == nil {
		t.Error("opened twice")
	}
	n.groups[1].Close()
	delete(n.groups, 1)
	n.mustOpen(raftgroup.GroupOptions{ID: 1, Voters: []uint64{1}})
	e.settle()
	if !n.groups[1].machine.leading {
		t.Error("the group opened again does not lead")
	}
	if err := fmt.Sprint(n.host.Group(1) == n.groups[1].Group); err != "true" {
		t.Error("Host.Group returns another group")
	}
}
