package listener

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/warrenmq/warren/protocol"
)

// errForeign says that a peer spoke something this listener does not serve.
type errForeign struct {
	what, hint string
	proxy      bool // it is a header of the PROXY protocol
}

func (e *errForeign) Error() string { return fmt.Sprintf("the peer speaks %s: %s", e.what, e.hint) }

// errSilent says that a peer left without a word, as a load balancer does that
// only looks whether the port is open.
var errSilent = errors.New("the peer said nothing")

// A foreign protocol is one that users point at the wrong port.
type foreign uint8

const (
	foreignTLS foreign = iota
	foreignHTTP
	foreignProxy
	foreigners // how many there are
)

// magic returns what the protocol's conversations begin with.
func (f foreign) magic() []string {
	switch f {
	case foreignTLS:
		return []string{"\x16\x03"}
	case foreignHTTP:
		return []string{"GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "CONNECT ", "PRI * HTTP/2"}
	default:
		return []string{proxyV1, proxyV2}
	}
}

// refusal is why it is not served, and what to do.
func (f foreign) refusal() *errForeign {
	switch f {
	case foreignTLS:
		return &errForeign{what: "TLS", hint: "this listener is plain; connect without TLS, or to the TLS listener"}
	case foreignHTTP:
		return &errForeign{what: "HTTP", hint: "this is a messaging port; the management address is another one"}
	default:
		return &errForeign{what: "the PROXY protocol", hint: "this listener does not expect it; turn it off in the load balancer, or set proxy_protocol.mode", proxy: true}
	}
}

// notTLS says what came where TLS was expected, of whose first bytes header is
// what TLS took for a header.
func notTLS(header []byte) error {
	if foreignProxy.match(header) != protocol.No {
		return foreignProxy.refusal()
	}
	return &errForeign{what: "a plain protocol", hint: "this listener expects TLS"}
}

// match tells whether prefix is this foreign protocol.
func (f foreign) match(prefix []byte) protocol.Verdict {
	verdict := protocol.No
	for _, m := range f.magic() {
		switch {
		case bytes.HasPrefix(prefix, []byte(m)):
			return protocol.Yes
		case bytes.HasPrefix([]byte(m), prefix):
			verdict = protocol.NeedMore
		}
	}
	return verdict
}

// choose judges the first bytes of a connection: the frontend that gets it, or
// the reason why none does. undecided means that more bytes are needed. It is
// pure.
func choose(fronts []protocol.Frontend, prefix []byte) (f protocol.Frontend, undecided bool, err error) {
	for _, f := range fronts {
		switch f.Sniff(prefix) {
		case protocol.Yes:
			return f, false, nil
		case protocol.NeedMore:
			undecided = true
		}
	}
	for alien := range foreigners {
		switch alien.match(prefix) {
		case protocol.Yes:
			return nil, false, alien.refusal()
		case protocol.NeedMore:
			undecided = true
		}
	}
	switch {
	case undecided && len(prefix) < protocol.MaxSniff:
		return nil, true, nil
	case len(fronts) == 1:
		// A protocol's own port: only it knows how to refuse, as by naming the
		// version it does speak.
		return fronts[0], false, nil
	}
	return nil, false, &errForeign{what: "an unknown protocol", hint: "none of those served here begins with these bytes"}
}

// sniff reads from c until it is clear who gets it, and returns what it read.
func sniff(c net.Conn, fronts []protocol.Frontend) (protocol.Frontend, []byte, error) {
	var buf [protocol.MaxSniff]byte
	n := 0
	for {
		m, err := c.Read(buf[n:])
		n += m
		if m > 0 {
			f, undecided, cerr := choose(fronts, buf[:n])
			if !undecided {
				return f, append([]byte(nil), buf[:n]...), cerr
			}
		}
		switch {
		case err == nil:
		case n == 0 && quiet(err):
			return nil, nil, errSilent
		case errors.Is(err, io.EOF):
			return nil, nil, io.ErrUnexpectedEOF
		default:
			return nil, nil, err
		}
	}
}

// sniffTLS tells whether c begins with a TLS ClientHello.
func sniffTLS(c net.Conn) (bool, []byte, error) {
	var buf [2]byte
	n, err := io.ReadAtLeast(c, buf[:], 1)
	if n == 1 && buf[0] == foreignTLS.magic()[0][0] {
		_, err = io.ReadFull(c, buf[1:])
		n = 2
	}
	switch {
	case err == nil:
		return foreignTLS.match(buf[:n]) == protocol.Yes, append([]byte(nil), buf[:n]...), nil
	case n == 0 && quiet(err):
		return false, nil, errSilent
	}
	return false, nil, err
}
