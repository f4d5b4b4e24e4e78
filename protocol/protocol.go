// Package protocol is the seam between a listener and the wire protocols: what
// a listener hands to a frontend, and what a frontend may ask of it.
//
// A frontend is one wire protocol. It is given its broker when it is
// constructed, lives in its own folder below this one and never imports
// another protocol. It is compiled in by node and reached only through the
// Frontend interface.
//
// This package owns the contract and runs no goroutine. Anything beyond the
// three methods of Frontend is an optional capability, found by type
// assertion through the functions of this package.
package protocol

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
)

// A Verdict says whether the first bytes of a connection belong to a protocol.
type Verdict int

// The verdicts of Sniff.
const (
	No       Verdict = iota // these bytes can never become this protocol
	Yes                     // these bytes can only be this protocol
	NeedMore                // so far they fit; more bytes decide
)

// MaxSniff is the longest prefix a listener ever shows to Sniff. A frontend
// that still answers NeedMore then does not get the connection.
const MaxSniff = 64

// Info is what a listener knows about a connection before its first byte is
// interpreted.
type Info struct {
	Listener    string // the name of the listener, as "amqp"
	Peer, Local netip.AddrPort
	TLS         *tls.ConnectionState // nil without TLS; the handshake is complete
	// Proxy is the trusted proxy through which the peer came, if it did.
	Proxy netip.AddrPort
	// CertUser is the user whom the peer's verified certificate names, "" if
	// there is none: SASL EXTERNAL logs in as that user.
	CertUser string
	// Anonymous is the user that this listener lets anybody be, "" if none: SASL
	// ANONYMOUS logs in as that user.
	Anonymous string
}

// A Frontend speaks one wire protocol.
type Frontend interface {
	// Name is the protocol's name as logs and listeners use it, as "amqp".
	Name() string
	// Sniff judges the first bytes a peer sent. It is pure: no state, no side
	// effect, the same answer for the same bytes. It is never called with an
	// empty prefix, and never with more than MaxSniff bytes.
	Sniff(prefix []byte) Verdict
	// Serve speaks the protocol until the peer is gone, then returns; every
	// goroutine it started has ended by then. The bytes shown to Sniff are
	// read from c again. The listener closes c afterwards, whatever Serve did.
	//
	// When ctx ends, Serve says goodbye in the protocol's own words and
	// returns; c is closed under it if it takes longer than the listener's
	// grace. Until Authenticated(c) is called, c allows few bytes and little
	// time (see listener). The error tells why the connection ended if it was
	// not the peer's orderly leaving; the listener logs it once.
	Serve(ctx context.Context, c net.Conn, in Info) error
}

// Authenticated lifts the budget that a connection has before login. A frontend
// calls it once, when the peer has proved who it is. It may be called from any
// goroutine. On a connection that has no budget it does nothing.
func Authenticated(c net.Conn) {
	if a, ok := c.(interface{ Authenticated() }); ok {
		a.Authenticated()
	}
}

// WriteBuffers writes all of b with as few system calls as the connection
// allows, which net.Buffers alone only does on a bare *net.TCPConn. It consumes
// b as net.Buffers.WriteTo does.
func WriteBuffers(c net.Conn, b *net.Buffers) (int64, error) {
	if w, ok := c.(interface {
		WriteBuffers(*net.Buffers) (int64, error)
	}); ok {
		return w.WriteBuffers(b)
	}
	return b.WriteTo(c)
}
