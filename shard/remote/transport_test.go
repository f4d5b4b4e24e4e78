package remote

import (
	"context"
	"crypto/rand"
	"net"
	"testing"
	"time"

	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/origin"
)

// A tcpNode is a node on the real transport.
type tcpNode struct {
	*transport.Transport
	Handler
	l    net.Listener
	host *fakeHost
}

func startTCP(t *testing.T, trust *transport.Trust, l net.Listener, led *ledger) *tcpNode {
	t.Helper()
	n := &tcpNode{l: l}
	inc := queue.Incarnation{Node: trust.Node(), Number: trust.Node()}
	one := func() uint64 { return 1 }
	n.host = &fakeHost{n: &node{w: &world{t: t}}, t: theShard, l: led}
	n.Server = NewServer(ServerOptions{Incarnation: inc, View: one, Clock: clock.NewReal(), Logger: quiet(), Host: func(Target) shard.Host { return n.host }})
	n.Hub = NewHub(HubOptions{Incarnation: inc, View: one, Clock: clock.NewReal(), Logger: quiet()})
	n.host.n.server = n.Server
	n.serve(t, trust)
	return n
}

func (n *tcpNode) serve(t *testing.T, trust *transport.Trust) {
	t.Helper()
	cookie, err := transport.NewCookie(secret.New("ABCDEFGHIJKLMNOPQRST"), false)
	if err != nil {
		t.Fatal(err)
	}
	admit := func(context.Context, transport.JoinRequest) (transport.Admission, error) {
		return transport.Admission{Generation: 1}, nil
	}
	number := func() uint64 { return trust.Node() }
	n.Transport, err = transport.New(transport.Options{
		Trust: trust, Data: n.Handler, Cookie: cookie, Admit: admit,
		Self: transport.Self{Name: "n", Incarnation: number, Generation: func() uint64 { return 1 }},
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = n.Serve(n.l)
	}()
	t.Cleanup(func() {
		n.Transport.Close()
		n.l.Close()
		<-done
	})
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

type confirmed chan bool

func (c confirmed) Confirmed(_ uint64, n uint32, refused bool) {
	for range n {
		c <- !refused
	}
}
func (c confirmed) Unknown(uint64, uint32) { c <- false }
func (c confirmed) Wake()                  {}

type arrivals chan shard.Delivery

func (c arrivals) Deliver(_ *shard.Consumer, ds []shard.Delivery) {
	for i := range ds {
		c <- ds[i]
	}
}
func (c arrivals) Cancelled(*shard.Consumer) {}
func (c arrivals) Wake()                     {}

// Over the real transport: what one node publishes another stores, confirms, and
// delivers back.
func TestTransport(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	founder, err := transport.Found(transport.Founder{Cluster: 9, Node: 1, Now: time.Now(), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	led := newLedger()
	a := startTCP(t, founder, listen(t), led)
	l := listen(t)
	cookie, err := transport.NewCookie(secret.New("ABCDEFGHIJKLMNOPQRST"), false)
	if err != nil {
		t.Fatal(err)
	}
	_, trust, err := transport.Join(ctx, transport.JoinOptions{
		Addr: a.l.Addr().String(), Cookie: cookie, Request: transport.JoinRequest{Node: 2, Name: "n", Addr: l.Addr().String()},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := startTCP(t, trust, l, led)
	peers := []transport.Peer{{ID: 1, Name: "n", Addr: a.l.Addr().String()}, {ID: 2, Name: "n", Addr: b.l.Addr().String()}}
	a.host.lead(true)
	a.SetPeers(peers)
	b.SetPeers(peers)

	c := b.Hub.Shard(uint64(theShard), origin.New(queue.Incarnation{Node: 2, Number: 2}))
	told, got := make(confirmed, 100), make(arrivals, 100)
	c.Consume(&shard.Consumer{Queue: theQueue, Sink: got}, func(err error) {
		if err != nil {
			t.Error(err)
		}
	})
	large := make([]byte, 1<<20)
	for i, body := range [][]byte{[]byte("one"), large, []byte("two")} {
		c.Publish([]shard.Publish{{Message: &message.Message{Body: body}, Queues: []uint64{theQueue}, To: told, Tag: uint64(i)}})
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for confirms, deliveries := 0, 0; confirms < 3 || deliveries < 3; {
		select {
		case ok := <-told:
			if confirms++; !ok {
				t.Fatal("a publish was refused")
			}
		case d := <-got:
			deliveries++
			c.Settle([]shard.Settle{{Queue: theQueue, Seq: d.Seq, Holding: d.Holding}}, nil)
		case <-tick.C:
			a.host.commit()
			b.Hub.Tick()
		case <-ctx.Done():
			t.Fatalf("%d confirmed, %d delivered", confirms, deliveries)
		}
	}
	settled := make(chan error, 1)
	c.Settle(nil, func(err error) { settled <- err })
	for {
		select {
		case err := <-settled:
			if err != nil {
				t.Fatal(err)
			}
			return
		case <-tick.C:
			a.host.commit()
		case <-ctx.Done():
			t.Fatal("what was settled is not committed")
		}
	}
}
