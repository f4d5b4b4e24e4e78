// Package load has the clients of the tests that hurt brokers: publishers and
// consumers over amqp091-go that go on whatever breaks, on whichever node answers,
// and tell a recorder of test/chaos/checker what they did and saw.
//
// Run of each ends with its context, and with it the goroutines of its connections.
package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/test/chaos/checker"
)

// A World is what all clients of a run share.
type World struct {
	Rec *checker.Recorder
	// Addr is where a node serves, empty if nobody knows or there is none any more;
	// nodes are numbered from 1 to Nodes.
	Addr  func(node int) string
	Nodes func() int
	// User and Password log in. Default: guest.
	User, Password string
	// Heartbeat of connections. Default: 5 s.
	Heartbeat time.Duration

	last atomic.Uint32 // number of a client
}

// Patience bounds every single request of a client.
const Patience = 10 * time.Second

// Dial connects to a node, and gives up after Patience.
func (w *World) Dial(node int) (*amqp.Connection, error) {
	addr := w.Addr(node)
	if addr == "" {
		return nil, fmt.Errorf("node %d serves nowhere", node)
	}
	user, password, beat := w.User, w.Password, w.Heartbeat
	if user == "" {
		user, password = "guest", "guest"
	}
	if beat == 0 {
		beat = 5 * time.Second
	}
	// The library bounds the dialling by this time, and the handshake with it.
	return amqp.DialConfig("amqp://"+user+":"+password+"@"+addr+"/", amqp.Config{
		Heartbeat: beat,
		Dial: func(network, addr string) (net.Conn, error) {
			c, err := net.DialTimeout(network, addr, 2*time.Second)
			if err != nil {
				return nil, err
			}
			return c, c.SetDeadline(time.Now().Add(Patience))
		},
	})
}

// errSlow says that a request was not answered within Patience.
var errSlow = errors.New("no answer")

// within calls what may wait for a broker for ever.
func within(call func() error) error {
	done := make(chan error, 1)
	go func() { done <- call() }() // ends with its connection at the latest
	t := time.NewTimer(Patience)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return errSlow
	}
}

// A link is a connection with a number, and a channel.
type link struct {
	w    *World
	id   uint32
	node int
	conn *amqp.Connection
	ch   *amqp.Channel
}

// open connects to a node and says so.
func (w *World) open(node int) (*link, error) {
	conn, err := w.Dial(node)
	if err != nil {
		return nil, err
	}
	l := &link{w: w, id: w.last.Add(1), node: node, conn: conn}
	w.Rec.Add(checker.Event{Kind: checker.Open, Client: l.id, N: uint64(node)})
	err = within(func() (err error) { l.ch, err = conn.Channel(); return err })
	if err != nil {
		l.shut()
		return nil, err
	}
	return l, nil
}

// shut ends a link that is broken, or that nobody may rely on.
func (l *link) shut() {
	l.w.Rec.Add(checker.Event{Kind: checker.Leave, Client: l.id})
	_ = l.conn.CloseDeadline(time.Now().Add(time.Second)) // it is broken, as far as is known
	l.w.Rec.Add(checker.Event{Kind: checker.Shut, Client: l.id})
}

// gone says that the link broke by itself.
func (l *link) gone() {
	l.w.Rec.Add(checker.Event{Kind: checker.Shut, Client: l.id})
	_ = l.conn.CloseDeadline(time.Now().Add(time.Second)) // as above
}

// bound breaks the connection when ctx ended long ago and somebody still waits in
// it. What it returns ends that.
func (l *link) bound(ctx context.Context) (free func() bool) {
	return context.AfterFunc(ctx, func() {
		time.AfterFunc(4*Patience, func() { _ = l.conn.CloseDeadline(time.Now()) })
	})
}

// leave ends a link in order: what it settled is settled when the channel is closed.
func (l *link) leave() {
	l.w.Rec.Add(checker.Event{Kind: checker.Leave, Client: l.id})
	kind := checker.Closed
	if within(l.ch.Close) != nil {
		kind = checker.Shut
	}
	l.w.Rec.Add(checker.Event{Kind: kind, Client: l.id})
	_ = l.conn.CloseDeadline(time.Now().Add(time.Second)) // all that counts was said
}

// A turn decides to which node a client goes next: home first, then the others, a
// moment apart.
type turn struct {
	w     *World
	home  int
	tried int
	rand  *rand.Rand
}

func (u *turn) next() int {
	n, node := u.w.Nodes(), 1
	for range n { // those that are no more are passed over
		node = (u.home+u.tried-1)%n + 1
		u.tried++
		if u.w.Addr(node) != "" {
			break
		}
	}
	return node
}

// connect tries node after node until one answers or ctx ends.
func (u *turn) connect(ctx context.Context) *link {
	for ; ctx.Err() == nil; pause(ctx, u.rand) {
		if l, err := u.w.open(u.next()); err == nil {
			return l
		}
	}
	return nil
}

// pause waits a little, or ends early with ctx.
func pause(ctx context.Context, r *rand.Rand) {
	t := time.NewTimer(time.Duration(5+r.IntN(20)) * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// A Group is clients that run.
type Group struct {
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// NewGroup returns a group without clients.
func NewGroup(ctx context.Context) *Group {
	g := &Group{}
	g.ctx, g.stop = context.WithCancel(ctx)
	return g
}

// Go runs a client until the group ends.
func (g *Group) Go(run func(context.Context)) { g.wg.Go(func() { run(g.ctx) }) }

// End ends the clients and waits for them.
func (g *Group) End() {
	g.stop()
	g.wg.Wait()
}
