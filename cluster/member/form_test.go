package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/internal/racing"
	"github.com/warrenmq/warren/internal/sim"
)

// A boot simulates the first start of nodes that are to become one cluster.
type boot struct {
	*sim.World
	net    *sim.Network[probing]
	nodes  []*booter
	whole  bool
	greedy bool // a planted bug: whoever sees nobody founds
	bad    string
}

// probing is a question (answer false) or its answer.
type probing struct {
	look   int
	answer bool
	peer   Peer
}

type booter struct {
	b       *boot
	id      uint64
	cluster string // on disk
	f       *Former
	up      bool
	life    int
	started time.Duration
	look    int
	sights  []Sight
	peer    Peer
}

func (b *boot) Whole() bool { return b.whole }
func (b *boot) Discover(context.Context) ([]Candidate, error) {
	return nil, errors.New("the simulation asks itself")
}

func (b *boot) Probe(context.Context, string) (Peer, error) { return Peer{}, errors.New("likewise") }

func newBoot(seed uint64, nodes int, whole bool) *boot {
	b := &boot{World: sim.NewWorld(seed), whole: whole}
	b.net = sim.NewNetwork(b.World, func(from, to uint64, p probing) { b.nodes[to-1].take(from, p) })
	b.net.Weather = sim.Weather{MinDelay: time.Millisecond, MaxDelay: b.Between(2*time.Millisecond, 2*time.Second), Drop: 0.2 * b.Rand.Float64()}
	for id := range nodes {
		b.nodes = append(b.nodes, &booter{b: b, id: uint64(id + 1)})
		b.After(b.Between(0, 20*time.Second), b.nodes[id].start)
	}
	return b
}

func (n *booter) start() {
	if n.up {
		return
	}
	f, err := NewFormer(FormOptions{
		Node: n.id, Name: fmt.Sprintf("n%d", n.id), Cluster: n.cluster, Discoverer: n.b, Prober: n.b,
		Clock: clock.NewManual(time.Time{}), Expect: len(n.b.nodes),
	})
	if err != nil {
		panic(err)
	}
	n.f, n.up, n.started = f, true, n.b.Now()
	n.life++
	n.peer = Peer{State: Forming, Node: n.id}
	n.round()
}

func (n *booter) crash() {
	n.up, n.life = false, n.life+1
	n.b.After(n.b.Between(0, 5*time.Second), n.start)
}

// round asks the candidates, and judges half a second to three seconds later.
func (n *booter) round() {
	if n.cluster != "" {
		n.peer = Peer{State: Joined, Node: n.id, Cluster: n.cluster}
		return
	}
	n.look++
	n.sights = n.sights[:0]
	for _, o := range n.b.nodes {
		if n.b.whole || o == n || n.b.Now() > turmoil || n.b.Chance(0.7) {
			n.sights = append(n.sights, Sight{Candidate: Candidate{Key: fmt.Sprintf("key%d", o.id)}, Err: errors.New("no answer")})
			n.b.net.Send(n.id, o.id, probing{look: n.look})
		}
	}
	life := n.life
	n.b.After(n.b.Between(500*time.Millisecond, 3*time.Second), func() {
		if n.up && n.life == life {
			n.judge()
		}
	})
}

func (n *booter) take(from uint64, p probing) {
	switch {
	case !n.up:
	case !p.answer:
		n.b.net.Send(n.id, from, probing{look: p.look, answer: true, peer: n.peer})
	case p.look == n.look:
		for i := range n.sights {
			if n.sights[i].Key == fmt.Sprintf("key%d", from) {
				n.sights[i].Peer, n.sights[i].Err = p.peer, nil
			}
		}
	}
}

func (n *booter) judge() {
	d := n.f.Decide(n.b.Now()-n.started, n.sights)
	if n.b.greedy && d.Action == Wait && !slices.ContainsFunc(n.sights, func(s Sight) bool { return s.Err == nil && s.Peer.Node != n.id }) {
		d.Action = Found
	}
	n.b.Logf("node %d: %s", n.id, d.Text)
	life, look := n.life, n.look
	switch d.Action {
	case Wait:
		n.peer = Peer{State: Fresh, Node: n.id, First: d.First}
		n.round()
	case Found:
		n.peer = Peer{State: Forming, Node: n.id}
		n.b.After(n.b.Between(0, 3*time.Second), func() {
			if n.up && n.life == life && n.look == look {
				n.enter(fmt.Sprintf("made by %d in its life %d", n.id, life))
			}
		})
	case Join:
		n.peer = Peer{State: Forming, Node: n.id}
		n.b.After(n.b.Between(0, 3*time.Second), func() {
			if n.up && n.life == life && n.look == look {
				if n.b.Now() < turmoil && n.b.Chance(0.3) { // the join failed
					n.round()
					return
				}
				n.enter(d.Cluster)
			}
		})
	case Rejoin:
		panic("a fresh node rejoins")
	}
}

func (n *booter) enter(cluster string) {
	n.cluster = cluster
	for _, o := range n.b.nodes {
		if o.cluster != "" && o.cluster != cluster && n.b.bad == "" {
			n.b.bad = fmt.Sprintf("at %v: node %d is in the cluster %s, node %d in that %s", n.b.Now(), n.id, cluster, o.id, o.cluster)
		}
	}
	n.round()
}

func (b *boot) harm() {
	if b.Now() >= turmoil {
		return
	}
	x, y := b.nodes[b.Rand.IntN(len(b.nodes))], b.nodes[b.Rand.IntN(len(b.nodes))]
	switch b.Rand.IntN(6) {
	case 0:
		b.net.Heal()
	case 1, 2:
		if x != y {
			b.net.Cut(x.id, y.id)
		}
	case 3:
		for _, o := range b.nodes {
			if o != x {
				b.net.Split([]uint64{x.id}, []uint64{o.id})
			}
		}
	case 4:
		if x.up {
			x.crash()
		}
	}
	b.After(b.Between(100*time.Millisecond, 5*time.Second), b.harm)
}

// turmoil is how long harm lasts.
const turmoil = 60 * time.Second

func (b *boot) run() {
	b.After(0, b.harm)
	b.Run(turmoil, nil)
	b.net.Heal()
	b.net.Weather = sim.Weather{MinDelay: time.Millisecond, MaxDelay: 50 * time.Millisecond}
	b.Run(turmoil+40*time.Second, nil)
}

// Nodes that start for the first time become one cluster, and never two.
func TestFirstBootMakesOneCluster(t *testing.T) {
	for _, nodes := range []int{1, 2, 3, 5} {
		for _, whole := range []bool{true, false} {
			t.Run(fmt.Sprintf("nodes=%d/list=%v", nodes, whole), func(t *testing.T) {
				for seed := range uint64(racing.Less(300)) {
					b := newBoot(seed, nodes, whole)
					b.run()
					if b.bad != "" {
						t.Fatalf("seed %d: %s", seed, b.bad)
					}
					for _, n := range b.nodes {
						if n.cluster == "" {
							t.Fatalf("seed %d: node %d is in no cluster: %s", seed, n.id, n.f.Decide(time.Hour, n.sights).Text)
						}
					}
				}
			})
		}
	}
	for seed := range uint64(racing.Less(300)) {
		b := newBoot(seed, 3, true)
		b.greedy = true
		if b.run(); b.bad != "" {
			return
		}
	}
	t.Error("nodes that found when they see nobody are not found out")
}

func sight(key string, p Peer) Sight {
	return Sight{Candidate: Candidate{Key: key}, Peer: p}
}

func TestDecide(t *testing.T) {
	mute := func(key string) Sight {
		return Sight{Candidate: Candidate{Key: key}, Err: errors.New("connection refused")}
	}
	fresh := func(key string, id uint64, first string) Sight {
		return sight(key, Peer{Node: id, Name: "rabbit@" + key, First: first})
	}
	for _, c := range []struct {
		name   string
		o      FormOptions
		waited time.Duration
		sights []Sight
		want   Action
		text   string
	}{
		{name: "alone on the list", sights: []Sight{fresh("a", 1, "")}, want: Found, text: "founding a cluster"},
		{name: "nothing found", text: "waiting for discovery to find a node"},
		{
			name: "all agree", sights: []Sight{fresh("b", 2, "a"), fresh("a", 1, ""), fresh("c", 3, "a")},
			want: Found, text: "founding a cluster",
		},
		{
			name: "one has not looked", sights: []Sight{fresh("a", 1, ""), fresh("b", 2, "")},
			text: "waiting for rabbit@b, which has not looked around yet",
		},
		{
			name: "another list", sights: []Sight{fresh("a", 1, ""), fresh("b", 2, "b")},
			text: `waiting for rabbit@b, which would have "b" found the cluster: the nodes are given different peers`,
		},
		{
			name: "first, others mute", sights: []Sight{fresh("a", 1, ""), mute("b"), mute("c")}, waited: 9 * time.Second,
			text: "waiting for b, c, founding the cluster without them after 10s",
		},
		{
			name: "first, others mute for long", sights: []Sight{fresh("a", 1, ""), mute("b")}, waited: 10 * time.Second,
			want: Found, text: "founding a cluster without b, which do not answer",
		},
		{
			name: "first, never alone", o: FormOptions{Alone: -1}, sights: []Sight{fresh("a", 1, ""), mute("b")}, waited: time.Hour,
			text: "waiting for b before founding the cluster",
		},
		{
			name: "not first, all mute", sights: []Sight{mute("0"), fresh("a", 1, "")}, waited: time.Hour,
			text: "waiting for 0 to found the cluster, which does not answer: connection refused",
		},
		{name: "not first", sights: []Sight{fresh("0", 9, "0"), fresh("a", 1, "")}, text: "waiting for rabbit@0 to found the cluster"},
		{
			name: "a member", sights: []Sight{fresh("a", 1, ""), mute("b"), sight("c", Peer{State: Joined, Cluster: "x"})},
			want: Join, text: "joining cluster x",
		},
		{
			name:   "two clusters",
			sights: []Sight{fresh("a", 1, ""), sight("b", Peer{State: Joined, Cluster: "x"}), sight("c", Peer{State: Joined, Cluster: "y"})},
			text:   "b is in cluster x and c in cluster y: name only one of them",
		},
		{
			name: "one is starting", sights: []Sight{fresh("a", 1, ""), sight("b", Peer{State: Forming, Node: 2})}, waited: time.Hour,
			text: "waiting for b, which is starting",
		},
		{
			name: "not on the list", sights: []Sight{fresh("b", 2, "b")}, waited: time.Hour,
			text: "this node is none of the candidates: waiting for one of rabbit@b to be in a cluster",
		},
		{
			name: "too few", o: FormOptions{Discoverer: DNS{}, Expect: 3}, sights: []Sight{fresh("a", 1, ""), fresh("b", 2, "a")},
			text: "waiting for 3 nodes to found the cluster with, 2 are here",
		},
		{
			name: "mute without a list", o: FormOptions{Discoverer: DNS{}, Expect: 1}, sights: []Sight{fresh("a", 1, ""), mute("b")}, waited: time.Hour,
			text: "waiting for b, which may be in a cluster and do not answer",
		},
		{
			name: "data", o: FormOptions{Cluster: "mine"}, sights: []Sight{sight("c", Peer{State: Joined, Cluster: "x"})},
			want: Rejoin, text: "this node belongs to cluster mine",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Node, c.o.Clock, c.o.Prober = 1, clock.NewManual(time.Time{}), &boot{}
			if c.o.Discoverer == nil {
				c.o.Discoverer = Static{}
			}
			f, err := NewFormer(c.o)
			if err != nil {
				t.Fatal(err)
			}
			if d := f.Decide(c.waited, c.sights); d.Action != c.want || d.Text != c.text {
				t.Errorf("%d: %q", d.Action, d.Text)
			}
		})
	}
}

// peers answers probes by address.
type peers map[string]func() Peer

func (p peers) Probe(ctx context.Context, addr string) (Peer, error) {
	if f := p[addr]; f != nil {
		return f(), nil
	}
	<-ctx.Done() // nobody there: the look's bound ends it
	return Peer{}, context.Cause(ctx)
}

func TestForm(t *testing.T) {
	c := clock.NewManual(time.Time{})
	texts := make(chan string, 10)
	var f *Former
	b := make(chan Peer, 1)
	b <- Peer{Node: 2, Name: "rabbit@b"}
	p := peers{
		"a:25672": func() Peer { return f.Peer() },
		"b:25672": func() Peer { x := <-b; b <- x; return x },
	}
	f, err := NewFormer(FormOptions{
		Node: 1, Name: "rabbit@a", Clock: c, Prober: p, Discoverer: Static{Peers: []string{"a", "b", "c"}},
		Waiting: func(text string) { texts <- text },
	})
	if err != nil {
		t.Fatal(err)
	}
	if f.Peer().State != Forming {
		t.Error("fresh before it has looked around")
	}
	done := make(chan Decision)
	go func() {
		d, err := f.Form(context.Background())
		if err != nil {
			t.Error(err)
		}
		done <- d
	}()
	next := func() string {
		for {
			c.BlockUntil(1)
			select {
			case s := <-texts:
				return s
			case <-time.After(time.Millisecond):
				c.Advance(100 * time.Millisecond)
			}
		}
	}
	if s := next(); s != "waiting for rabbit@b, which has not looked around yet" {
		t.Errorf("says %q", s)
	}
	if p := f.Peer(); p.State != Fresh || p.First != "a" {
		t.Errorf("answers %+v", p)
	}
	<-b
	b <- Peer{Node: 2, Name: "rabbit@b", First: "a"}
	if s := next(); !strings.HasPrefix(s, "waiting for c, founding") {
		t.Errorf("says %q", s)
	}
	for {
		select {
		case d := <-done:
			if d.Action != Found || f.Peer().State != Forming {
				t.Errorf("%+v, answers %+v", d, f.Peer())
			}
			return
		case <-time.After(time.Millisecond):
			c.Advance(100 * time.Millisecond)
		}
	}
}

func TestFormEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	o := FormOptions{
		Node: 1, Clock: clock.NewManual(time.Time{}), Prober: peers{}, Discoverer: Static{Peers: []string{"b"}},
		Waiting: func(string) {},
	}
	f, err := NewFormer(o)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := f.Form(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	o.Cluster = "x"
	if f, err = NewFormer(o); err != nil {
		t.Fatal(err)
	}
	if d, err := f.Form(context.Background()); err != nil || d.Action != Rejoin || f.Peer().State != Joined {
		t.Errorf("%+v %v", d, err)
	}
	o.Cluster, o.Discoverer = "", DNS{}
	if _, err := NewFormer(o); err == nil {
		t.Error("a founder may not know how many there are")
	}
}
