package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// The names by which the two conversations on the port are told apart, before
// anything of them is said.
const (
	alpnPeer = "warren-peer"
	alpnJoin = "warren-join"
)

// baseTLS is what both sides of both conversations have in common. Sessions are
// never resumed: each connection proves anew who it is.
func baseTLS(alpn string) *tls.Config {
	return &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		NextProtos:                  []string{alpn},
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	}
}

// serverTLS asks for a certificate only where one can be had.
func (t *Transport) serverTLS() *tls.Config {
	peer := baseTLS(alpnPeer)
	peer.ClientAuth = tls.RequireAnyClientCert // verified by verifyPeer, against our authority alone
	peer.VerifyConnection = t.verifyPeer
	join := baseTLS(alpnJoin)
	for _, c := range []*tls.Config{peer, join} {
		c.Time = t.opts.Clock.Now
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return t.opts.Trust.certificate(), nil }
	}
	front := baseTLS(alpnPeer)
	front.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		for _, p := range h.SupportedProtos {
			switch {
			case p == alpnPeer:
				return peer, nil
			case p == alpnJoin && t.opts.Cookie != nil:
				return join, nil
			}
		}
		return nil, errors.New("not a node of a cluster")
	}
	return front
}

func (t *Transport) verifyPeer(cs tls.ConnectionState) error {
	_, err := t.opts.Trust.identify(&cs, t.opts.Clock.Now())
	return err
}

// clientTLS wants the certificate of one node. Names of hosts play no part, so
// the library's own check is off and ours is made in its place.
func (t *Transport) clientTLS(to uint64) *tls.Config {
	c := baseTLS(alpnPeer)
	c.Time = t.opts.Clock.Now
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.opts.Trust.certificate(), nil }
	c.InsecureSkipVerify = true //nolint:gosec // VerifyConnection does it, by node
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		node, err := t.opts.Trust.identify(&cs, t.opts.Clock.Now())
		switch {
		case err != nil:
			return err
		case node != to:
			return fmt.Errorf("%w: the certificate is of node %016x, want %016x", ErrNotTrusted, node, to)
		case cs.NegotiatedProtocol != alpnPeer:
			return fmt.Errorf("%w: it does not speak as a member", ErrNotTrusted)
		}
		return nil
	}
	return c
}

// dial makes a connection of a class to a node that is trusted, and has said
// hello and welcome.
func (t *Transport) dial(ctx context.Context, p *peer, addr string, class Class) (*conn, error) {
	nc, err := t.connect(ctx, addr)
	if err != nil {
		return nil, err
	}
	if class == ClassRaft {
		keepUnsentShort(nc)
	}
	s := newSocket(nc, t.opts.Clock)
	expiry := s.expire(greetTime)
	defer expiry.Stop()
	stop := context.AfterFunc(ctx, func() { s.fail(ErrClosed) })
	defer stop()
	c := &conn{Conn: tls.Client(s, t.clientTLS(p.id)), sock: s}
	h, err := t.greet(ctx, c, class, p.id)
	if err != nil {
		err = c.err(err)
		c.fail(err)
		return nil, err
	}
	p.seen(h)
	s.stand(t.opts.Idle, t.opts.Stall)
	return c, nil
}

// connect dials for as long as it is worth.
func (t *Transport) connect(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	expiry := t.opts.Clock.AfterFunc(dialTime, cancel)
	defer expiry.Stop()
	return t.opts.Dial(ctx, addr)
}

// greet returns the welcome.
func (t *Transport) greet(ctx context.Context, c *conn, class Class, to uint64) (hello, error) {
	if err := c.HandshakeContext(ctx); err != nil {
		return hello{}, fmt.Errorf("tls: %w", err)
	}
	own := t.ownHello(class, to)
	if err := writeOne(c, typeHello, own.marshal()); err != nil {
		return hello{}, fmt.Errorf("say hello: %w", err)
	}
	b, err := readOne(c, typeWelcome, maxHandshake)
	if err != nil {
		return hello{}, fmt.Errorf("wait for a welcome: %w", err)
	}
	h, err := parseHello(b)
	if err != nil {
		return hello{}, err
	}
	return h, judgeWelcome(own, h)
}

// accept makes a server connection of what a listener gave.
func (t *Transport) accept(nc net.Conn) *conn {
	s := newSocket(nc, t.opts.Clock)
	return &conn{Conn: tls.Server(s, t.tls), sock: s}
}
