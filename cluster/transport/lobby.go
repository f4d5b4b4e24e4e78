package transport

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"

	"github.com/warrenmq/warren/internal/clock"
)

// LobbyOptions say what a node that is of no cluster yet answers.
type LobbyOptions struct {
	// Node and Cluster are the ids that the node has for itself: that of the
	// cluster is shown to who asks, and stretches the cookie.
	Node, Cluster uint64
	Cookie        *Cookie
	Probe         func() []byte // as in Options
	Clock         clock.Clock   // and these
	Rand          io.Reader
	Logger        *slog.Logger
}

// A Lobby holds a node's port while it is decided which cluster it is of: it
// answers the probes of who has the cookie and refuses everything else.
type Lobby struct {
	t    *Transport
	port *port
}

// NewLobby answers on a listener until Leave. The trust it shows is made for it
// and thrown away.
func NewLobby(o LobbyOptions, l net.Listener) (*Lobby, error) {
	d := Options{Clock: o.Clock, Rand: o.Rand}.withDefaults()
	trust, err := Found(Founder{Cluster: o.Cluster, Node: o.Node, Now: d.Clock.Now(), Rand: d.Rand})
	if err != nil {
		return nil, err
	}
	t, err := New(Options{
		Trust: trust, Clock: d.Clock, Rand: d.Rand, Logger: o.Logger, Cookie: o.Cookie, Probe: o.Probe,
		Admit: func(context.Context, JoinRequest) (Admission, error) {
			return Admission{}, refuse(RefusedBusy, "this node is of no cluster yet, it is still being formed: try again")
		},
	})
	if err != nil {
		return nil, err
	}
	lobby := &Lobby{t: t, port: newPort(l)}
	t.wg.Go(func() { _ = t.Serve(lobby.port.take()) })
	return lobby, nil
}

// Leave ends the lobby's connections and returns a listener for Transport.Serve:
// the same port, which was not closed in between.
func (l *Lobby) Leave() net.Listener {
	l.t.Close()
	return owner{l.port.take()}
}

// A port accepts for one holder after the other without ever being closed in
// between. Its goroutine ends when the listener is closed.
type port struct {
	net.Listener
	got   chan accepted
	ended chan struct{} // the listener is closed, with last
	last  error
	close chan struct{} // nobody takes any more
	once  sync.Once
}

type accepted struct {
	c   net.Conn
	err error
}

func newPort(l net.Listener) *port {
	p := &port{Listener: l, got: make(chan accepted), ended: make(chan struct{}), close: make(chan struct{})}
	go p.run() // waited for by Close, through ended
	return p
}

func (p *port) run() {
	defer close(p.ended)
	for {
		c, err := p.Listener.Accept()
		if err != nil && !passing(err) {
			p.last = err
			return
		}
		select {
		case p.got <- accepted{c, err}:
		case <-p.close:
			if c != nil {
				c.Close()
			}
		}
	}
}

// Close ends the port for all.
func (p *port) Close() error {
	p.once.Do(func() { close(p.close) })
	err := p.Listener.Close()
	<-p.ended
	return err
}

// take returns a listener that has the port until it is closed.
func (p *port) take() *holder { return &holder{port: p, done: make(chan struct{})} }

type holder struct {
	*port
	done chan struct{}
	once sync.Once
}

// Accept implements net.Listener.
func (h *holder) Accept() (net.Conn, error) {
	select {
	case a := <-h.got:
		return a.c, a.err
	case <-h.done:
		return nil, net.ErrClosed
	case <-h.ended:
		return nil, h.last
	}
}

// Close gives the port back.
func (h *holder) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// owner is the last holder: it closes the port.
type owner struct{ *holder }

func (o owner) Close() error {
	return errors.Join(o.holder.Close(), o.port.Close())
}
