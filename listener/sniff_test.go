package listener

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"

	"github.com/warrenmq/warren/protocol"
)

func TestChoose(t *testing.T) {
	one := []protocol.Frontend{&echo{magic: "AMQP"}}
	several := []protocol.Frontend{&echo{magic: "AMQP"}, &echo{magic: "CONNECT\n"}, &echo{magic: "GET "}}
	for _, tc := range []struct {
		name, prefix string
		fronts       []protocol.Frontend
		want         string // a frontend, "more", or what the peer speaks
	}{
		{"own", "AMQP", one, "amqp"},
		{"own, first byte", "A", one, "more"},
		{"own, wrong version", "AMXP", one, "amqp"}, // it answers with its own
		{"own, MQTT", "\x10\x0c\x00\x04MQTT", one, "amqp"},
		{"own, TLS", "\x16\x03\x01", one, "TLS"},
		{"own, TLS so far", "\x16", one, "more"},
		{"own, HTTP", "GET / HTTP/1.1\r\n", one, "HTTP"},
		{"own, HTTP so far", "GE", one, "more"},
		{"own, HTTP/2", "PRI * HTTP/2.0\r\n", one, "HTTP"},
		{"own, PROXY 1", "PROXY TCP4 ", one, "the PROXY protocol"},
		{"own, PROXY 2", "\r\n\r\n\x00\r\nQUIT\n\x21", one, "the PROXY protocol"},
		{"auto, amqp", "AMQP\x00\x00\x09\x01", several, "amqp"},
		{"auto, HTTP served here", "GET /", several, "get "},
		{"auto, ambiguous", "CONNECT", several, "more"},
		{"auto, STOMP", "CONNECT\n", several, "connect\n"},
		{"auto, unknown", "hello", several, "an unknown protocol"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, undecided, err := choose(tc.fronts, []byte(tc.prefix))
			got := ""
			var alien *errForeign
			switch {
			case f != nil:
				got = f.Name()
			case undecided:
				got = "more"
			case errors.As(err, &alien):
				got = alien.what
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// endless is a frontend that never makes up its mind.
type endless struct{ *echo }

func (endless) Sniff([]byte) protocol.Verdict { return protocol.NeedMore }

func TestChooseEnds(t *testing.T) {
	long := make([]byte, protocol.MaxSniff)
	if _, undecided, err := choose([]protocol.Frontend{endless{}, endless{}}, long); undecided || err == nil {
		t.Errorf("undecided %v, %v after %d bytes", undecided, err, len(long))
	}
}

func FuzzChoose(f *testing.F) {
	for _, seed := range []string{"AMQP\x00\x00\x09\x01", "GET / HTTP/1.1", "\x16\x03\x01", "\r\n\r\n\x00\r\nQUIT\n", "CONNECT\n"} {
		f.Add([]byte(seed))
	}
	fronts := []protocol.Frontend{&echo{magic: "AMQP"}, &echo{magic: "CONNECT\n"}}
	f.Fuzz(func(t *testing.T, prefix []byte) {
		if len(prefix) == 0 {
			return
		}
		// Fed byte by byte or whole, the answer is the same, and there is one.
		prefix = prefix[:min(len(prefix), protocol.MaxSniff)]
		whole, undecided, _ := choose(fronts, prefix)
		for i := 1; i <= len(prefix); i++ {
			f, more, err := choose(fronts, prefix[:i])
			if more {
				continue
			}
			if f == nil && err == nil {
				t.Fatalf("%q: no answer", prefix[:i])
			}
			if undecided || f != whole {
				t.Fatalf("%q is %v, but %q is %v", prefix[:i], f, prefix, whole)
			}
			return
		}
		if !undecided {
			t.Fatalf("%q was decided only as a whole", prefix)
		}
	})
}

func TestForeignIsExplained(t *testing.T) {
	config, _ := serverTLS(t)
	plain := start(t, Options{})
	secure := start(t, Options{TLS: config})
	for _, tc := range []struct {
		name, send, want string
		r                *running
	}{
		{"TLS on plain", "\x16\x03\x01\x02\x00", "the peer speaks TLS: this listener is plain", plain},
		{"HTTP on plain", "GET / HTTP/1.1\r\n", "the peer speaks HTTP: this is a messaging port", plain},
		{"plain on TLS", "AMQP\x00\x00\x09\x01", "the peer speaks a plain protocol: this listener expects TLS", secure},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := tc.r.dial()
			if _, err := c.Write([]byte(tc.send)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "explained", func() bool { return strings.Contains(tc.r.book.String(), tc.want) })
			if strings.Contains(tc.r.book.String(), "level=WARN") {
				t.Error("logged as a warning")
			}
		})
	}
}

// One port for several protocols, with TLS and without.
func TestAuto(t *testing.T) {
	config, _ := serverTLS(t)
	one, two := make(chan protocol.Info, 4), make(chan protocol.Info, 4)
	r := start(t, Options{Name: "auto", TLS: config, PlainToo: true, Frontends: []protocol.Frontend{
		&echo{magic: "ONE", infos: one}, &echo{magic: "TWO", infos: two},
	}})
	r.dial().say("ONE plain")
	if in := <-one; in.TLS != nil {
		t.Error("TLS on a plain connection")
	}
	r.dialTLS(&tls.Config{InsecureSkipVerify: true}).say("TWO over TLS")
	if in := <-two; in.TLS == nil {
		t.Error("no TLS on a TLS connection")
	}
	c := r.dial()
	if _, err := c.Write([]byte("what")); err != nil {
		t.Fatal(err)
	}
	c.closed()
}
