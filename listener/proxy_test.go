package listener

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol"
)

// headerV2 makes a header of version 2.
func headerV2(command, family byte, rest []byte) []byte {
	b := append([]byte(proxyV2), command, family)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(rest))), rest...)
}

func TestParseProxy(t *testing.T) {
	v4 := []byte{192, 0, 2, 1, 192, 0, 2, 2, 0x10, 0, 0x16, 0x28}
	v6 := append(make([]byte, 15), 1)
	v6 = append(append(v6, v6...), 0, 1, 0, 2)
	for _, tc := range []struct {
		name, in       string
		source, target string
		local          bool
		err            error
	}{
		{name: "1, IPv4", in: "PROXY TCP4 192.0.2.1 192.0.2.2 4096 5672\r\n", source: "192.0.2.1:4096", target: "192.0.2.2:5672"},
		{name: "1, IPv6", in: "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", source: "[2001:db8::1]:1", target: "[::1]:65535"},
		{name: "1, IPv4 within IPv6", in: "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", source: "192.0.2.1:1", target: "[::1]:2"},
		{name: "1, unknown", in: "PROXY UNKNOWN ffff::1 whatever\r\n"},
		{name: "2, IPv4", in: string(headerV2(0x21, 0x11, v4)), source: "192.0.2.1:4096", target: "192.0.2.2:5672"},
		{name: "2, IPv6 and more", in: string(headerV2(0x21, 0x21, append(v6, 4, 0, 1, 9))), source: "[::1]:1", target: "[::1]:2"},
		{name: "2, local", in: string(headerV2(0x20, 0, nil)), local: true},
		{name: "2, a unix socket", in: string(headerV2(0x21, 0x31, make([]byte, 216)))},
		{name: "none", in: "AMQP\x00\x00\x09\x01", err: errNoProxy},
		{name: "almost", in: "PROXy ", err: errNoProxy},
		{name: "a bare LF", in: "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", err: errBadProxy},
		{name: "a line too long", in: "PROXY UNKNOWN" + strings.Repeat("x", 200), err: errBadProxy},
		{name: "another family", in: "PROXY TCP4 ::1 ::1 1 2\r\n", err: errBadProxy},
		{name: "no family", in: "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", err: errBadProxy},
		{name: "a zone", in: "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", err: errBadProxy},
		{name: "a port too many", in: "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", err: errBadProxy},
		{name: "a port with a zero", in: "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", err: errBadProxy},
		{name: "two spaces", in: "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", err: errBadProxy},
		{name: "version 3", in: string(headerV2(0x31, 0x11, v4)), err: errBadProxy},
		{name: "no such command", in: string(headerV2(0x22, 0x11, v4)), err: errBadProxy},
		{name: "half an address", in: string(headerV2(0x21, 0x11, v4[:11])), err: errBadProxy},
		{name: "64 KiB", in: string(headerV2(0x21, 0x11, make([]byte, 65535))), err: errBadProxy},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const after = "AMQP"
			h, n, err := parseProxy([]byte(tc.in + after))
			if !errors.Is(err, tc.err) || err != nil {
				if err == nil || tc.err == nil {
					t.Fatalf("err %v, want %v", err, tc.err)
				}
				return
			}
			want := proxyHeader{local: tc.local}
			if tc.source != "" {
				want.source, want.target = netip.MustParseAddrPort(tc.source), netip.MustParseAddrPort(tc.target)
			}
			if h != want || n != len(tc.in) {
				t.Errorf("got %+v in %d bytes, want %+v in %d", h, n, want, len(tc.in))
			}
			for i := range len(tc.in) {
				if _, n, err := parseProxy([]byte(tc.in[:i])); n != 0 || err != nil {
					t.Fatalf("of %d bytes: %d, %v", i, n, err)
				}
			}
		})
	}
}

func FuzzParseProxy(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 192.0.2.2 4096 5672\r\n"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add(headerV2(0x21, 0x11, make([]byte, 12)))
	f.Add(headerV2(0x20, 0, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := parseProxy(b)
		switch {
		case n < 0 || n > len(b) || n > proxyLongest:
			t.Fatalf("%d of %d bytes", n, len(b))
		case err == nil && n == 0 && len(b) >= proxyLongest:
			t.Fatal("asks for more than it would read")
		case h.source.IsValid() != h.target.IsValid() && err == nil, h.source.Addr().Is4In6():
			t.Fatalf("header %+v", h)
		}
	})
}

func behind(mode ProxyMode, trusted string) Proxy {
	return Proxy{Mode: mode, Trusted: []netip.Prefix{netip.MustParsePrefix(trusted)}}
}

// Who is believed, and who the peer is then (X19).
func TestProxy(t *testing.T) {
	const (
		ours   = "127.0.0.0/8"
		others = "192.0.2.0/24"
		v1     = "PROXY TCP4 198.51.100.7 192.0.2.2 4711 5672\r\n"
		none   = ""
	)
	for _, tc := range []struct {
		name   string
		proxy  Proxy
		header string
		peer   string // "" if refused; "socket" for the socket's own
		reason string
	}{
		{"off", Proxy{}, v1, "", "protocol"},
		{"optional, with", behind(ProxyOptional, ours), v1, "198.51.100.7:4711", ""},
		{"optional, without", behind(ProxyOptional, ours), none, "socket", ""},
		{"optional, not trusted, with", behind(ProxyOptional, others), v1, "", "untrusted_proxy"},
		{"optional, not trusted, without", behind(ProxyOptional, others), none, "socket", ""},
		{"required, with", behind(ProxyRequired, ours), v1, "198.51.100.7:4711", ""},
		{"required, without", behind(ProxyRequired, ours), none, "", "proxy_header"},
		{"required, not trusted, with", behind(ProxyRequired, others), v1, "", "untrusted_proxy"},
		{"required, not trusted, without", behind(ProxyRequired, others), none, "", "untrusted_proxy"},
		{"required, wrong", behind(ProxyRequired, ours), "PROXY TCP5\r\n", "", "proxy_header"},
		{"unknown", behind(ProxyRequired, ours), "PROXY UNKNOWN\r\n", "invalid AddrPort", ""},
		{"local", behind(ProxyRequired, ours), string(headerV2(0x20, 0, nil)), "socket", ""},
		{"its own loopback", behind(ProxyRequired, ours), "PROXY TCP4 127.0.0.9 127.0.0.1 1 2\r\n", "127.0.0.9:1", ""},
		{"long", behind(ProxyRequired, ours), string(headerV2(0x21, 0x11, append([]byte{198, 51, 100, 7, 1, 1, 1, 1, 0, 1, 0, 2}, make([]byte, 4000)...))), "198.51.100.7:1", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			infos := make(chan protocol.Info, 1)
			r := start(t, Options{Proxy: tc.proxy, Frontends: []protocol.Frontend{&echo{magic: "ECHO", infos: infos}}})
			c := r.dial()
			if tc.peer == "" {
				_, _ = c.Write([]byte(tc.header + "ECHO\n")) // it may be closed before it is all written
				c.closed()
				eventually(t, "counted", func() bool { return r.Stats().Reasons[tc.reason] == 1 })
				return
			}
			if _, err := c.Write([]byte(tc.header)); err != nil {
				t.Fatal(err)
			}
			c.say("ECHO")
			want := tc.peer
			if want == "socket" {
				want = c.LocalAddr().String()
			}
			if in := <-infos; in.Peer.String() != want {
				t.Errorf("peer %s, want %s", in.Peer, want)
			}
			if len(r.Stats().Reasons) != 0 {
				t.Errorf("counted %v", r.Stats().Reasons)
			}
		})
	}
}

// A client on a proxy's machine is local there, not here: whoever logs in from
// loopback only must not do so through it.
func TestProxyLoopbackElsewhere(t *testing.T) {
	l := &Listener{o: Options{Gate: NewGate(GateOptions{})}}
	afar := netip.MustParseAddrPort("192.0.2.1:99")
	b, _ := newHalfOpen(t)
	for _, from := range []string{"127.0.0.1:5", "[::1]:5"} {
		in := protocol.Info{Peer: afar}
		l.standFor(&conn{base: b}, &in, proxyHeader{source: netip.MustParseAddrPort(from)})
		if in.Peer != afar || in.Proxy != afar {
			t.Errorf("%s: info %+v", from, in)
		}
	}
}

// A header in pieces, before TLS, on a listener that takes plain connections too;
// and one that never ends is held to the budget.
func TestProxyInPieces(t *testing.T) {
	config, _ := serverTLS(t)
	infos := make(chan protocol.Info, 2)
	r := start(t, Options{
		TLS: config, PlainToo: true, Proxy: behind(ProxyRequired, "127.0.0.1/32"), LoginTime: time.Second,
		Frontends: []protocol.Frontend{&echo{magic: "ECHO", infos: infos}},
	})
	const header = "PROXY TCP4 198.51.100.7 192.0.2.2 4711 5672\r\n"
	plain := r.dial()
	for i := range header {
		if _, err := plain.Write([]byte(header[i : i+1])); err != nil {
			t.Fatal(err)
		}
	}
	plain.say("ECHO")

	raw := r.dial()
	if _, err := raw.Write([]byte(header)); err != nil {
		t.Fatal(err)
	}
	secured := newClient(t, tls.Client(raw.Conn, &tls.Config{InsecureSkipVerify: true}))
	secured.say("ECHO")
	for range 2 {
		if in := <-infos; in.Peer.String() != "198.51.100.7:4711" || in.Proxy.Addr().String() != "127.0.0.1" {
			t.Errorf("info %+v", in)
		}
	}

	stuck := r.dial()
	if _, err := stuck.Write([]byte("PROXY TCP4")); err != nil {
		t.Fatal(err)
	}
	stuck.closed()
	eventually(t, "counted", func() bool { return r.Stats().Reasons["login_budget"] >= 1 })
}

// A health check through a proxy, with its header and without, is not worth a
// line; a header where TLS is expected says what it is.
func TestProxyHealthChecks(t *testing.T) {
	config, _ := serverTLS(t)
	r := start(t, Options{TLS: config, Proxy: behind(ProxyOptional, "127.0.0.1/32")})
	for _, text := range []string{"", "PROXY UNKNOWN\r\n"} {
		c := r.dial()
		_, _ = c.Write([]byte(text))
		_ = c.Close()
	}
	eventually(t, "seen", func() bool { s := r.Stats(); return s.Accepted == 2 && s.Active == 0 })
	if book := r.book.String(); strings.Contains(book, "level=INFO") || strings.Contains(book, "level=WARN") {
		t.Error(book)
	}
	plain := start(t, Options{TLS: config})
	c := plain.dial()
	_, _ = c.Write([]byte("PROXY TCP4 198.51.100.7 192.0.2.2 4711 5672\r\n"))
	c.closed()
	eventually(t, "explained", func() bool { return strings.Contains(plain.book.String(), "the peer speaks the PROXY protocol") })
}

// Clients behind one proxy are not one source to the gate.
func TestProxyClientsAreSources(t *testing.T) {
	gate := NewGate(GateOptions{})
	r := start(t, Options{Gate: gate, Proxy: behind(ProxyRequired, "127.0.0.1/32")})
	for _, addr := range []string{"198.51.100.7", "198.51.100.8"} {
		c := r.dial()
		if _, err := c.Write([]byte("PROXY TCP4 " + addr + " 192.0.2.2 4711 5672\r\n")); err != nil {
			t.Fatal(err)
		}
		c.say("ECHO")
	}
	gate.mu.Lock()
	defer gate.mu.Unlock()
	if len(gate.mu.peers) != 2 || gate.mu.half != 2 || gate.mu.peers[sourceOf(netip.MustParseAddr("198.51.100.8"))] == nil {
		t.Errorf("sources %v", gate.mu.peers)
	}
}

func TestProxyOptions(t *testing.T) {
	for _, p := range []Proxy{{Mode: "maybe"}, {Mode: ProxyRequired}, {Mode: ProxyOptional}} {
		o := Options{Name: "x", Frontends: []protocol.Frontend{&echo{}}, Gate: NewGate(GateOptions{}), Proxy: p}
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), "proxy") {
			t.Errorf("%+v: %v", p, err)
		}
	}
}
