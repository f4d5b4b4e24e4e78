package amqp091_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/listener"
	"github.com/warrenmq/warren/node"
)

// bare logs in by a mechanism that shows nothing.
type bare string

func (m bare) Mechanism() string { return string(m) }
func (m bare) Response() string  { return "" }

// enter opens a connection and returns the error of the login, if any.
func enter(t *testing.T, nc net.Conn, auth ...amqp.Authentication) error {
	t.Helper()
	c, err := amqp.Open(nc, amqp.Config{SASL: auth, Vhost: "/"})
	if err != nil {
		_ = nc.Close()
		return err
	}
	return c.CloseDeadline(time.Now().Add(patience))
}

func dialRaw(t *testing.T, addr string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// guestPair is a certificate of guest's own, and the authority behind it.
func guestPair(t *testing.T) (pair tls.Certificate, ca string) {
	t.Helper()
	files, _ := certificate(t, "guest")
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair, files.Cert
}

// insist takes a mechanism that was not offered and wants to be sent away.
func insist(t *testing.T, nc net.Conn, mechanism string) {
	t.Helper()
	p := newPeer(t, nc)
	p.start(nil, mechanism, "")
	if got := p.closed(); got != "end" {
		t.Errorf("%s, not offered, is answered %q", mechanism, got)
	}
}

// A client logs in by its certificate, where it shows one that names a user.
func TestExternal(t *testing.T) {
	t.Parallel()
	files, pool := certificate(t)
	pair, ca := guestPair(t)
	files.CA, files.ClientAuth = ca, listener.ClientAuthOffer
	r := own(t, func(o *node.Options) {
		o.TLS, o.CertUser = files, listener.CertUserCN
		o.Listen = append(o.Listen, node.Listen{Protocol: "amqps", Addr: "127.0.0.1:0"})
	})
	dial := func(certs ...tls.Certificate) net.Conn {
		nc, err := tls.Dial("tcp", r.Addrs()["amqps"], &tls.Config{RootCAs: pool, Certificates: certs})
		if err != nil {
			t.Fatal(err)
		}
		return nc
	}
	if err := enter(t, dial(pair), &amqp.ExternalAuth{}); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
	if err := enter(t, dial(pair), &amqp.PlainAuth{Username: "guest", Password: "guest"}); err != nil {
		t.Errorf("by password, with a certificate: %v", err)
	}
	// Not offered to who shows none, and not served to who takes it nevertheless.
	if err := enter(t, dial(), &amqp.ExternalAuth{}); err == nil {
		t.Error("logged in without a certificate")
	}
	if err := enter(t, dialRaw(t, r.addr()), &amqp.ExternalAuth{}); err == nil {
		t.Error("logged in without TLS")
	}
	insist(t, dial(), "EXTERNAL")
}

// A listener lets anybody be the user that it names, and only that listener.
func TestAnonymous(t *testing.T) {
	t.Parallel()
	r := own(t, func(o *node.Options) {
		o.FirstUser = node.FirstUser{Name: "anon", Password: secret.New("unknown to all")}
		o.Listen = []node.Listen{
			{Protocol: "amqp", Addr: "127.0.0.1:0"},
			{Protocol: "auto", Addr: "127.0.0.1:0", Anonymous: "anon"},
		}
	})
	if err := enter(t, dialRaw(t, r.Addrs()["auto"]), bare("ANONYMOUS")); err != nil {
		t.Errorf("where it is offered: %v", err)
	}
	if err := enter(t, dialRaw(t, r.addr()), bare("ANONYMOUS")); err == nil {
		t.Error("logged in where it is not offered")
	}
	insist(t, dialRaw(t, r.addr()), "ANONYMOUS")
}

// guest is at home only, and a proxy's word for where somebody is counts (X19).
func TestGuestBehindProxy(t *testing.T) {
	t.Parallel()
	r := own(t, func(o *node.Options) {
		o.Proxy = listener.Proxy{Mode: listener.ProxyOptional, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	})
	for from, want := range map[string]bool{"": true, "127.0.0.1": true, "192.0.2.1": false} {
		nc := dialRaw(t, r.addr())
		if from != "" {
			if _, err := fmt.Fprintf(nc, "PROXY TCP4 %s 127.0.0.1 4711 5672\r\n", from); err != nil {
				t.Fatal(err)
			}
		}
		err := enter(t, nc, &amqp.PlainAuth{Username: "guest", Password: "guest"})
		if (err == nil) != want {
			t.Errorf("from %q: %v", from, err)
		}
	}
}

// A listener's own limit turns connections away, and the status counts them.
func TestMaximumConnections(t *testing.T) { // estate A18
	t.Parallel()
	r := own(t, func(o *node.Options) { o.Listen[0].MaxConnections = 2 })
	one := connect(t, r.addr())
	connect(t, r.addr())
	if err := enter(t, dialRaw(t, r.addr()), &amqp.PlainAuth{Username: "guest", Password: "guest"}); err == nil {
		t.Error("a third connection was served")
	}
	st, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := st.Listeners[0]
	if l.Refused["max_connections_of_listener"] != 1 || l.Connections != 2 || !strings.Contains(strings.Join(st.Limiting, "\n"), "raise maximumConnections") {
		t.Errorf("status %+v, limiting %q", l, st.Limiting)
	}
	one.close()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); enter(t, dialRaw(t, r.addr()), &amqp.PlainAuth{Username: "guest", Password: "guest"}) != nil; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("there is no room again")
		}
	}
}
