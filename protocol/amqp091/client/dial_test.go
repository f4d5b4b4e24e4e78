package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

func TestHandshake(t *testing.T) {
	var ok wire.ConnectionStartOK
	c, err := dialFake(t, Options{VHost: "/v", ConnectionName: "orders", Properties: wire.Table{{Key: "x", Value: wire.Bool(true)}}}, func(s *fake) {
		ok, _ = s.greet()
		s.close()
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(c.Err(), ErrClosed) {
		t.Errorf("after Close, Err is %v", c.Err())
	}
	login, err := wire.ParsePlain([]byte(ok.Response))
	if err != nil || login != (wire.Credentials{User: "u", Password: "p"}) || ok.Mechanism != "PLAIN" {
		t.Errorf("login with %s as %+v: %v", ok.Mechanism, login, err)
	}
	if v, _ := ok.ClientProperties.Get("connection_name"); v != wire.String("orders") {
		t.Errorf("properties: %v", ok.ClientProperties)
	}
	if v, _ := ok.ClientProperties.Get("x"); v != wire.Bool(true) {
		t.Errorf("properties: %v", ok.ClientProperties)
	}
	if v, _ := c.ServerProperties().Get("product"); v != wire.String("fake") {
		t.Errorf("server properties: %v", c.ServerProperties())
	}
}

func TestTune(t *testing.T) {
	for _, c := range []struct {
		name   string
		server wire.ConnectionTune
		ours   Options
		want   wire.ConnectionTuneOK
	}{
		{
			"server's are lower",
			wire.ConnectionTune{ChannelMax: 10, FrameMax: 8192, Heartbeat: 5},
			Options{Heartbeat: time.Minute},
			wire.ConnectionTuneOK{ChannelMax: 10, FrameMax: 8192, Heartbeat: 5},
		},
		{
			"ours are lower",
			wire.ConnectionTune{ChannelMax: 65535, FrameMax: 1 << 31, Heartbeat: 65535},
			Options{ChannelMax: 3, FrameMax: 9000, Heartbeat: 2 * time.Second},
			wire.ConnectionTuneOK{ChannelMax: 3, FrameMax: 9000, Heartbeat: 2},
		},
		{
			"server has none",
			wire.ConnectionTune{ChannelMax: 0, FrameMax: 0, Heartbeat: 0},
			Options{Heartbeat: time.Minute},
			wire.ConnectionTuneOK{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60},
		},
		{
			"no heartbeat wanted",
			wire.ConnectionTune{ChannelMax: 1, FrameMax: 8192, Heartbeat: 1},
			Options{},
			wire.ConnectionTuneOK{ChannelMax: 1, FrameMax: 8192},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := newConn(withLogin(c.ours).withDefaults(), nil)
			got, err := conn.tune(&c.server)
			if err != nil || *got != c.want {
				t.Fatalf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
	for _, frameMax := range []uint32{1, 8, 4096, 8191} {
		conn := newConn(withLogin(Options{}).withDefaults(), nil)
		if _, err := conn.tune(&wire.ConnectionTune{FrameMax: frameMax}); err == nil {
			t.Errorf("a frame-max of %d is taken", frameMax)
		}
	}
}

func TestHandshakeRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		script func(s *fake)
		want   string
	}{
		{"other version", func(s *fake) { s.write([]byte(wire.Header10SASL)) }, "does not speak AMQP 0-9-1 but AMQP 1.0 with SASL"},
		{"version", func(s *fake) { m := start(); m.VersionMinor = 8; s.send(0, m) }, "speaks AMQP 0-8"},
		{"mechanism", func(s *fake) { m := start(); m.Mechanisms = "EXTERNAL XPLAIN"; s.send(0, m) }, "offers no login with PLAIN"},
		{"not a frame", func(s *fake) { s.write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, "FRAME_ERROR"},
		{"hangs up", func(s *fake) {}, "EOF"},
		{"hangs up at the password", func(s *fake) { s.send(0, start()); want[wire.ConnectionStartOK](s, 0) }, "refuse a password"},
		{"refuses the password", func(s *fake) {
			s.send(0, start())
			want[wire.ConnectionStartOK](s, 0)
			s.send(0, &wire.ConnectionClose{ReplyCode: wire.CodeAccessRefused, ReplyText: "ACCESS_REFUSED - no"})
			want[wire.ConnectionCloseOK](s, 0)
		}, "403 \"ACCESS_REFUSED - no\""},
		{"challenge", func(s *fake) {
			s.send(0, start())
			want[wire.ConnectionStartOK](s, 0)
			s.send(0, &wire.ConnectionSecure{})
		}, "connection.secure instead of connection.tune"},
		{"skips tune", func(s *fake) {
			s.send(0, start())
			want[wire.ConnectionStartOK](s, 0)
			s.send(0, &wire.ConnectionOpenOK{})
		}, "connection.open-ok instead of connection.tune"},
		{"starts twice", func(s *fake) {
			s.send(0, start())
			want[wire.ConnectionStartOK](s, 0)
			s.send(0, start())
		}, "connection.start instead of connection.tune"},
		{"other channel", func(s *fake) { s.send(1, start()) }, "UNEXPECTED_FRAME"},
		{"large frame before tune", func(s *fake) { s.write([]byte{1, 0, 0, 0, 2, 0, 0}) }, "frame_too_large,131072,8184"},
		{"vhost", func(s *fake) {
			s.send(0, start())
			want[wire.ConnectionStartOK](s, 0)
			s.send(0, &wire.ConnectionTune{})
			want[wire.ConnectionTuneOK](s, 0)
			want[wire.ConnectionOpen](s, 0)
			s.send(0, &wire.ConnectionClose{ReplyCode: wire.CodeNotAllowed, ReplyText: "NOT_ALLOWED - vhost / not found", ClassID: 10, MethodID: 40})
			want[wire.ConnectionCloseOK](s, 0)
		}, "vhost / not found\" after connection.open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := dialFake(t, Options{}, func(s *fake) {
				s.readHeader()
				c.script(s)
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
		})
	}
}

// TestDialGivesUp: a server that accepts and says nothing.
func TestDialGivesUp(t *testing.T) {
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = far.Read(make([]byte, 8))
		cancel()
		_, _ = io.Copy(io.Discard, far) // until the client hangs up
		_ = far.Close()
	})
	defer wg.Wait()
	o := withLogin(Options{Dialer: func(context.Context, string) (net.Conn, error) { return near, nil }})
	if _, err := Dial(ctx, o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestOptionsValidate(t *testing.T) {
	err := Options{
		Addr: "nowhere", FrameMax: 100, Heartbeat: time.Millisecond, VHost: strings.Repeat("v", 256), External: true,
	}.Validate()
	for _, part := range []string{"addr", "frame max 100", "heartbeat", "vhost", "external login needs TLS"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in %v", part, err)
		}
	}
	if err := (Options{Addr: "h:1"}).Validate(); err == nil {
		t.Error("nobody may log in as nobody")
	}
	if _, err := Dial(t.Context(), Options{}); err == nil {
		t.Error("Dial does not validate")
	}
}

// certificate returns a self-signed one for the name.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestTLS(t *testing.T) {
	cert, pool := certificate(t, "broker.test")
	for _, c := range []struct {
		name   string
		addr   string
		config *tls.Config
		max    uint16 // the server's greatest version
		want   string // in the error; "" is success
	}{
		{"by the address", "broker.test:5671", &tls.Config{RootCAs: pool}, 0, ""},
		{"by the given name", "10.0.0.1:5671", &tls.Config{RootCAs: pool, ServerName: "broker.test"}, 0, ""},
		{"another host", "other.test:5671", &tls.Config{RootCAs: pool}, 0, "not other.test"},
		{"unknown authority", "broker.test:5671", &tls.Config{RootCAs: x509.NewCertPool()}, 0, "unknown authority"},
		{"old version", "broker.test:5671", &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10}, tls.VersionTLS11, "protocol version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			near, far := net.Pipe()
			server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: c.max})
			s := &fake{t: t, conn: server, in: frameReader{conn: server, limit: wire.DefaultFrameMax}}
			var wg sync.WaitGroup
			wg.Go(func() {
				defer far.Close()
				defer func() { _ = recover() }() // the client may hang up at any point
				s.greet()
				s.close()
			})
			defer wg.Wait()
			o := withLogin(Options{Addr: c.addr, TLS: c.config, Dialer: func(context.Context, string) (net.Conn, error) { return near, nil }})
			conn, err := Dial(within(t), o)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("error %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.Close(within(t)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestParseURI(t *testing.T) {
	for _, c := range []struct {
		uri  string
		want Options
	}{
		{"amqp://", Options{Addr: "localhost:5672", User: "guest", Password: "guest", VHost: "/"}},
		{"amqp://h/", Options{Addr: "h:5672", User: "guest", Password: "guest", VHost: "/"}},
		{"amqp://u:p%40ss@h:1/%2Fv", Options{Addr: "h:1", User: "u", Password: "p@ss", VHost: "/v"}},
		{"amqp://u@[::1]/v", Options{Addr: "[::1]:5672", User: "u", VHost: "v"}},
		{
			"amqp://h?heartbeat=0&channel_max=9&frame_max=9000&connection_timeout=1500",
			Options{
				Addr: "h:5672", User: "guest", Password: "guest", VHost: "/", Heartbeat: -1, ChannelMax: 9, FrameMax: 9000,
				HandshakeTimeout: 1500 * time.Millisecond,
			},
		},
	} {
		got, err := ParseURI(c.uri)
		if err != nil || got.TLS != nil {
			t.Errorf("%s: %v, TLS %v", c.uri, err, got.TLS)
		}
		if got.Addr != c.want.Addr || got.User != c.want.User || got.Password != c.want.Password || got.VHost != c.want.VHost ||
			got.Heartbeat != c.want.Heartbeat || got.ChannelMax != c.want.ChannelMax || got.FrameMax != c.want.FrameMax ||
			got.HandshakeTimeout != c.want.HandshakeTimeout {
			t.Errorf("%s: got %+v", c.uri, got)
		}
	}
	got, err := ParseURI("amqps://h?server_name_indication=other")
	if err != nil || got.TLS == nil || got.TLS.InsecureSkipVerify || got.TLS.ServerName != "other" || got.Addr != "h:5671" {
		t.Errorf("amqps: %+v, %v", got, err)
	}
	for _, uri := range []string{
		"http://u:canary@h", "amqp://u:canary@h:port", "amqp://u:canary@h/a/b", "amqp://u:canary@h?verify=verify_none",
		"amqps://u:canary@h?cacertfile=x", "amqp://u:canary@h?heartbeat=1&heartbeat=2", "amqp://u:canary@h?heartbeat=-1",
		"amqp://u:canary@h?channel_max=65536", "amqp://u:canary@h?server_name_indication=x", "amqp://u:canary@h#x", "amqp:u:canary",
		"amqp://u:canary%zz@h", "amqps://u:canary@h?server_name_indication=disable", "amqp://u:canary@h/%zz", "",
	} {
		if _, err := ParseURI(uri); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", uri, err)
		}
	}
}
