// Package listener owns the sockets on which clients arrive. It accepts them,
// speaks TLS, looks at the first bytes to choose a frontend, and holds every
// connection to a budget of bytes and time until its frontend says that the
// peer has logged in. It never interprets a protocol beyond those first bytes.
//
// node builds one Listener per address and one Gate for all of them, and runs
// each Listener by Run: one goroutine accepts, one per connection serves it.
// When Run returns all of them have ended.
//
// What a connection may cost before login is enforced by the lowest layer, the
// budget, so that no codec, and not TLS either, has to be trusted with it.
package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/warrenmq/warren/protocol"
)

// A Listener is one listening socket.
type Listener struct {
	o      Options
	ln     net.Listener
	log    *slog.Logger
	loud   limiter      // for what a hostile peer could make us log
	silent *slog.Logger // for what is over that limit

	accepted  atomic.Int64
	refused   atomic.Int64
	failures  atomic.Int64 // failed accepts
	active    atomic.Int64
	overspent atomic.Int64 // budgets used up, in bytes or time
	reasons   tally

	mu struct {
		sync.Mutex
		conns map[*budget]struct{}
	}
}

// Stats is what a listener counts.
type Stats struct {
	Accepted       int64 // connections ever taken from the socket
	Active         int64 // connections now
	Refused        int64 // turned away by a limit
	AcceptFailures int64 // failed accepts, as for want of descriptors
	Overspent      int64 // closed because their budget before login was used up
	// Reasons counts those that were not served to their end by why not.
	Reasons map[string]int64
}

// New opens the socket. Connections wait in the system's queue until Run.
func New(ctx context.Context, o Options) (*Listener, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	ln, err := o.Network.Listen(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("open listener %s: %w", o.Name, err)
	}
	l := &Listener{
		o: o, ln: ln,
		log:  o.Logger.With("listener", o.Name),
		loud: limiter{clock: o.Clock}, silent: slog.New(slog.DiscardHandler),
	}
	l.mu.conns = map[*budget]struct{}{}
	return l, nil
}

// Name returns the listener's name.
func (l *Listener) Name() string { return l.o.Name }

// Addr returns the bound address.
func (l *Listener) Addr() net.Addr { return l.ln.Addr() }

// MaxConnections is the listener's own limit, 0 if it has none.
func (l *Listener) MaxConnections() int { return l.o.MaxConnections }

// Close closes the socket of a listener that was never run.
func (l *Listener) Close() error { return l.ln.Close() }

// Stats may be called from any goroutine.
func (l *Listener) Stats() Stats {
	return Stats{
		Accepted: l.accepted.Load(), Active: l.active.Load(), Refused: l.refused.Load(),
		AcceptFailures: l.failures.Load(), Overspent: l.overspent.Load(), Reasons: l.reasons.counts(),
	}
}

// fencedGrace is the grace where the node may not serve: a moment, for clients to
// be told why.
const fencedGrace = 500 * time.Millisecond

// Run serves until ctx ends. Then it closes the socket, tells the frontends by
// their context and its cause, gives them the grace to say goodbye, closes what
// is left and returns when the last connection has ended. If the cause is
// protocol.ErrFenced the grace is short.
func (l *Listener) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = l.ln.Close() })()
	serving, goodbye := context.WithCancelCause(context.WithoutCancel(ctx))
	defer goodbye(nil)

	var conns sync.WaitGroup
	err := l.accept(ctx, serving, &conns)
	_ = l.ln.Close() // it may have failed without being closed

	goodbye(context.Cause(ctx))
	l.closeConns(true)
	grace := l.o.Grace
	if errors.Is(context.Cause(ctx), protocol.ErrFenced) {
		grace = min(grace, fencedGrace)
	}
	done := make(chan struct{})
	go func() { conns.Wait(); close(done) }() // waited for by the two receives below
	select {
	case <-done:
	case <-l.o.Clock.After(grace):
		l.log.Warn("connections did not end in time and are closed", "count", l.active.Load(), "dur", grace)
		l.closeConns(false)
		<-done
	}
	return err
}

// accept takes connections until ctx ends or the socket is beyond hope.
func (l *Listener) accept(ctx, serving context.Context, conns *sync.WaitGroup) error {
	const firstPause, longestPause = 5 * time.Millisecond, time.Second
	pause := firstPause
	for {
		c, err := l.ln.Accept()
		switch {
		case err == nil:
			pause = firstPause
			l.admit(serving, c, conns)
		case ctx.Err() != nil:
			return nil
		case !passing(err):
			return fmt.Errorf("accept on %s %s: %w", l.o.Name, l.Addr(), err)
		default:
			l.failures.Add(1)
			l.loudly(l.log).Warn("accepting failed and is tried again", "err", err, "dur", pause,
				"hint", "if descriptors ran out, raise the limit of open files (ulimit -n, LimitNOFILE=)")
			select {
			case <-ctx.Done():
				return nil
			case <-l.o.Clock.After(pause):
			}
			pause = min(2*pause, longestPause)
		}
	}
}

// passing tells whether an accept error may go away by itself.
func passing(err error) bool {
	for _, e := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED,
		syscall.ECONNRESET, syscall.EINTR, syscall.EAGAIN, syscall.EPROTO, syscall.EPERM,
		syscall.ETIMEDOUT, syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTUNREACH,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// admit lets a connection in, or closes it.
func (l *Listener) admit(serving context.Context, c net.Conn, conns *sync.WaitGroup) {
	l.accepted.Add(1)
	in := protocol.Info{Listener: l.o.Name, Peer: addrPort(c.RemoteAddr()), Local: addrPort(c.LocalAddr())}
	b, err := newBudget(c, l.o.LoginBytes, l.o.Clock.Now().Add(l.o.LoginTime))
	if err == nil {
		err = l.enter(b, in.Peer.Addr())
	}
	if err != nil {
		_ = c.Close()
		l.refused.Add(1)
		if limit, ok := errors.AsType[*limitError](err); ok {
			l.reasons.add(limit.reason)
		}
		l.loudly(l.log).Warn("connection refused", "peer", in.Peer, "err", err)
		return
	}
	l.mu.Lock()
	l.mu.conns[b] = struct{}{}
	l.mu.Unlock()
	conns.Go(func() {
		in, err := l.serve(serving, b, in)
		l.report(b, in, err)
		_ = c.Close()
		l.mu.Lock()
		delete(l.mu.conns, b)
		l.mu.Unlock()
		l.active.Add(-1)
		l.o.Gate.leave(b)
	})
}

// enter passes b through this listener's limit and the node's.
func (l *Listener) enter(b *budget, from netip.Addr) error {
	if n := l.active.Add(1); l.o.MaxConnections > 0 && n > int64(l.o.MaxConnections) {
		l.active.Add(-1)
		return &limitError{overListener, "limits.max_connections_per_listener", l.o.MaxConnections}
	}
	if err := l.o.Gate.enter(b, from); err != nil {
		l.active.Add(-1)
		return err
	}
	return nil
}

// serve finds out who the peer is and what it speaks and hands the connection
// over. It returns what it found out.
func (l *Listener) serve(ctx context.Context, b *budget, in protocol.Info) (protocol.Info, error) {
	c := &conn{Conn: b, base: b, gate: l.o.Gate}
	in.Anonymous = l.o.Anonymous
	if l.o.Proxy.on() {
		if err := l.lookThrough(c, &in); err != nil {
			return in, err
		}
	}
	if l.o.TLS != nil {
		var err error
		if c, in.TLS, err = l.secure(ctx, c); err != nil {
			return in, err
		}
		if in.TLS != nil && len(in.TLS.VerifiedChains) > 0 {
			in.CertUser = userOf(in.TLS.PeerCertificates[0], l.o.CertUser)
		}
	}
	c.serving = l.o.Serving // above TLS: it is asked once
	f, prefix, err := sniff(c, l.o.Frontends)
	if err != nil {
		return in, l.explained(err)
	}
	c.unread(prefix)
	b.served.Store(true)
	l.log.Debug("connection opened", "peer", in.Peer, "proto", f.Name())
	return in, f.Serve(ctx, c, in)
}

// explained says of a header of the PROXY protocol why it is not believed, where
// others are.
func (l *Listener) explained(err error) error {
	if alien, ok := errors.AsType[*errForeign](err); ok && alien.proxy && l.o.Proxy.on() {
		return errUntrusted
	}
	return err
}

// secure speaks TLS, or, on a listener that takes plain connections too, only if
// the peer does.
func (l *Listener) secure(ctx context.Context, c *conn) (*conn, *tls.ConnectionState, error) {
	if l.o.PlainToo {
		secured, prefix, err := sniffTLS(c)
		if c.unread(prefix); err != nil || !secured {
			return c, nil, err
		}
	}
	before, silent := c.base.left.Load(), len(c.prefix) == 0
	t := tls.Server(c, l.o.TLS)
	if err := t.HandshakeContext(ctx); err != nil {
		if silent && c.base.left.Load() == before && quiet(err) {
			return nil, nil, errSilent
		}
		if header, ok := errors.AsType[tls.RecordHeaderError](err); ok {
			return nil, nil, l.explained(notTLS(header.RecordHeader[:]))
		}
		return nil, nil, &tlsError{err}
	}
	state := t.ConnectionState()
	return &conn{Conn: t, base: c.base, gate: c.gate}, &state, nil
}

// report logs how a connection ended, each kind at the level at which somebody
// wants to read it.
func (l *Listener) report(b *budget, in protocol.Info, err error) {
	why, loggedIn := l.reason(b, err), b.lifted.Load()
	if why != noReason {
		l.reasons.add(why)
	}
	log := l.log
	if in.Proxy.IsValid() {
		log = log.With("proxy", in.Proxy)
	}
	switch why {
	case evictedHalfOpen:
		l.loudly(log).Warn("connection closed before login to make room for others", "peer", in.Peer,
			"hint", "raise the limit with --set limits.max_half_open=N")
		return
	case foreignProtocol:
		l.loudly(log).Info("connection closed, it speaks another protocol", "peer", in.Peer, "err", err)
		return
	case untrustedProxy, wrongProxyHeader:
		l.loudly(log).Warn("connection closed, the PROXY protocol is not used as agreed", "peer", in.Peer, "err", err)
		return
	case overBudget:
		l.overspent.Add(1)
		l.loudly(log).Info("connection closed before login, its budget is used up", "peer", in.Peer, "err", err)
		return
	}
	switch {
	case err == nil:
		log.Debug("connection ended", "peer", in.Peer)
	case errors.Is(err, errSilent):
		log.Debug("connection closed by the peer before it said anything", "peer", in.Peer)
	case !loggedIn:
		l.loudly(log).Info("connection ended before login", "peer", in.Peer, "err", err)
	default:
		log.Info("connection ended", "peer", in.Peer, "err", err)
	}
}

// reason tells why a connection ended, as far as it is this package's doing.
func (l *Listener) reason(b *budget, err error) reason {
	switch {
	case err == nil:
		return noReason
	case b.evicted.Load():
		return evictedHalfOpen
	case !b.lifted.Load() && (errors.Is(err, errBudget) || errors.Is(err, os.ErrDeadlineExceeded)):
		return overBudget
	case errors.Is(err, errUntrusted):
		return untrustedProxy
	case errors.Is(err, errNoProxy), errors.Is(err, errBadProxy):
		return wrongProxyHeader
	}
	if _, ok := errors.AsType[*errForeign](err); ok {
		return foreignProtocol
	}
	if _, ok := errors.AsType[*tlsError](err); ok {
		return failedTLS
	}
	return noReason
}

// closeConns closes the connections; with onlyUnserved those that no frontend
// has yet.
func (l *Listener) closeConns(onlyUnserved bool) {
	l.mu.Lock()
	var victims []*budget
	for b := range l.mu.conns {
		if !onlyUnserved || !b.served.Load() {
			victims = append(victims, b)
		}
	}
	l.mu.Unlock()
	for _, b := range victims {
		_ = b.Conn.Close()
	}
}

// quiet tells whether err is just the peer having gone.
func quiet(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

// addrPort returns the zero value for what is not an IP address, as a pipe.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
