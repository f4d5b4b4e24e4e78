package listener

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/warrenmq/warren/protocol"
)

// ProxyMode says whether connections come through proxies that begin each with
// a header of the PROXY protocol, which tells who the client is.
type ProxyMode string

// The values of ProxyMode.
const (
	ProxyOff      ProxyMode = "off"      // a header is not understood
	ProxyOptional ProxyMode = "optional" // a trusted peer may send one
	ProxyRequired ProxyMode = "required" // only trusted peers, and each sends one
)

// Proxy says whose headers of the PROXY protocol are believed.
type Proxy struct {
	// Mode is off unless set.
	Mode ProxyMode
	// Trusted are the addresses of the proxies. Who is not among them is never
	// believed: he could claim to be anybody.
	Trusted []netip.Prefix
}

func (p Proxy) on() bool { return p.Mode != "" && p.Mode != ProxyOff }

// Validate reports what is wrong.
func (p Proxy) Validate() error {
	switch {
	case !p.on():
		return nil
	case p.Mode != ProxyOptional && p.Mode != ProxyRequired:
		return fmt.Errorf("proxy mode is %q, must be off, optional or required", p.Mode)
	case len(p.Trusted) == 0:
		return fmt.Errorf("proxy mode is %q, and no proxy is trusted: set proxy_protocol.trusted", p.Mode)
	}
	return nil
}

func (p Proxy) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(p.Trusted, func(t netip.Prefix) bool { return t.Contains(a) })
}

// errUntrusted says that a listener behind proxies was reached by another way.
var errUntrusted = errors.New("this listener takes connections of trusted proxies only (proxy_protocol.trusted)")

// lookThrough reads the header that a proxy sends first and puts the client in
// the proxy's place. It counts as sent before login, as everything does.
func (l *Listener) lookThrough(c *conn, in *protocol.Info) error {
	if !l.o.Proxy.trusts(in.Peer.Addr()) {
		if l.o.Proxy.Mode == ProxyRequired {
			return errUntrusted
		}
		return nil // a header, should there be one, is refused as foreign
	}
	buf := make([]byte, 0, 256)
	for {
		h, n, err := parseProxy(buf)
		switch {
		case err == nil && n > 0:
			c.unread(buf[n:])
			l.standFor(c, in, h)
			return nil
		case errors.Is(err, errNoProxy) && l.o.Proxy.Mode == ProxyOptional:
			c.unread(buf)
			return nil
		case err != nil:
			return err
		}
		buf = slices.Grow(buf, 64)
		n, err = c.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case n > 0 || err == nil:
		case len(buf) == 0 && quiet(err):
			return errSilent
		default:
			return err
		}
	}
}

// standFor takes a header's word for who the peer is. A client on the proxy's
// own machine is at the proxy's address, for its loopback is not ours; of a
// client that the proxy can not name nothing is known, and least of all that it
// is local.
func (l *Listener) standFor(c *conn, in *protocol.Info, h proxyHeader) {
	if h.local {
		return // the proxy itself, as it looks whether we are here
	}
	in.Proxy = in.Peer
	if h.source.Addr().IsLoopback() && !in.Proxy.Addr().IsLoopback() {
		return
	}
	in.Peer = h.source
	if h.target.IsValid() {
		in.Local = h.target
	}
	l.o.Gate.rehome(c.base, in.Peer.Addr())
}
