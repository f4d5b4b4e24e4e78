package transport

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/internal/secret"
)

// admitting is a founder that takes every node as a voter.
func admitting(t testing.TB, change func(*Options)) *node {
	t.Helper()
	o := options(t, testTrust(t, testCluster))
	o.Cookie = testCookie(t)
	o.Admit = func(_ context.Context, r JoinRequest) (Admission, error) {
		return Admission{Generation: 7, Peers: []Peer{{ID: 1, Name: "first", Addr: "here:1"}}, Voter: r.Attrs["voter"] == "yes"}, nil
	}
	if change != nil {
		change(&o)
	}
	return start(t, o)
}

func joinAs(t testing.TB, n *node, id uint64) JoinOptions {
	return JoinOptions{
		Addr: n.addr, Cookie: testCookie(t), Clock: birthClock(), Rand: seeded(id),
		Request: JoinRequest{Node: id, Name: "second", Addr: "there:2", Attrs: map[string]string{"voter": "yes"}},
	}
}

func TestJoin(t *testing.T) {
	asked := make(chan JoinRequest, 1)
	a := admitting(t, func(o *Options) {
		admit := o.Admit
		o.Admit = func(c context.Context, r JoinRequest) (Admission, error) {
			asked <- r
			return admit(c, r)
		}
	})
	got, trust, err := Join(ctx(t), joinAs(t, a, 2))
	if err != nil {
		t.Fatal(err)
	}
	if r := receive(t, asked); r.Node != 2 || r.Name != "second" || r.Addr != "there:2" || r.Attrs["voter"] != "yes" {
		t.Fatalf("%+v", r)
	}
	if got.Generation != 7 || len(got.Peers) != 1 || got.Peers[0] != (Peer{1, "first", "here:1"}) || !got.Voter {
		t.Fatalf("%+v", got)
	}
	if trust.Cluster() != testCluster || trust.Node() != 2 || !trust.HoldsAuthority() {
		t.Fatal("not its trust")
	}
	// What it got is good for the cluster.
	b := start(t, options(t, trust))
	mesh(a, b)
	a.up(ClassRaft)
	b.up(ClassRaft)
	// And it admits the next one, though not as a voter.
	oc := joinAs(t, a, 3)
	oc.Request.Attrs = nil
	if _, trust, err = Join(ctx(t), oc); err != nil || trust.HoldsAuthority() {
		t.Fatal(err)
	}
}

func TestJoinIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		member func(*Options)
		joiner func(*JoinOptions)
		want   Reason
	}{
		{"another cookie", nil, func(o *JoinOptions) { o.Cookie, _ = NewCookie(secret.New("abcdefghijklmnopqrst"), false) }, RefusedCookie},
		{"the member's own id", nil, func(o *JoinOptions) { o.Request.Node = 1 }, RefusedSelf},
		{"a known id", nil, func(o *JoinOptions) { o.Request.Node = 9 }, RefusedJoin},
		{"a forgotten id", func(o *Options) { o.Forgotten = func(id uint64) bool { return id == 2 } }, nil, RefusedForgotten},
		{"the cluster says no", func(o *Options) {
			o.Admit = func(context.Context, JoinRequest) (Admission, error) { return Admission{}, errors.New("full") }
		}, nil, RefusedJoin},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := admitting(t, c.member)
			a.SetPeers([]Peer{{ID: 9}})
			a.Transport.peer(9).seen(hello{incarnation: 1})
			o := joinAs(t, a, 2)
			if c.joiner != nil {
				c.joiner(&o)
			}
			if _, _, err := Join(ctx(t), o); !reason(c.want)(err) {
				t.Fatal(err)
			}
		})
	}
}

// The answer to a request may be lost; until the node has lived it may ask again.
func TestJoinAgain(t *testing.T) {
	a := admitting(t, nil)
	for range 2 {
		if _, _, err := Join(ctx(t), joinAs(t, a, 2)); err != nil {
			t.Fatal(err)
		}
		a.SetPeers([]Peer{{ID: 2}})
	}
	a.Transport.peer(2).seen(hello{incarnation: 1})
	if _, _, err := Join(ctx(t), joinAs(t, a, 2)); !reason(RefusedJoin)(err) {
		t.Fatal(err)
	}
}

// A member without the authority's key names those that have it.
func TestJoinIsSentOn(t *testing.T) {
	a := admitting(t, func(o *Options) {
		o.Trust = member(t, o.Trust, 5, birth)
		o.Voter = func(id uint64) bool { return id == 8 }
	})
	a.SetPeers([]Peer{{ID: 8, Addr: "voter:8"}, {ID: 9, Addr: "learner:9"}})
	_, _, err := Join(ctx(t), joinAs(t, a, 2))
	var no *Refusal
	if !errors.As(err, &no) || no.Reason != RefusedAuthority || len(no.Try) != 1 || no.Try[0].Addr != "voter:8" {
		t.Fatal(err)
	}
}

func TestNoCookieNoJoin(t *testing.T) {
	a := admitting(t, func(o *Options) { o.Cookie = nil })
	if _, _, err := Join(ctx(t), joinAs(t, a, 2)); err == nil {
		t.Fatal("admitted")
	}
}

// relay stands between a joiner and a member with a TLS connection to each.
func relay(t *testing.T, to string, change func(toMember bool, b []byte)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	trust := testTrust(t, 0xbad)
	cfg := baseTLS(alpnJoin)
	cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return trust.certificate(), nil }
	done := make(chan struct{})
	go func() {
		defer close(done)
		in, err := l.Accept()
		if err != nil {
			return
		}
		server := tls.Server(in, cfg)
		defer server.Close()
		out := baseTLS(alpnJoin)
		out.InsecureSkipVerify = true
		client, err := tls.Dial("tcp", to, out)
		if err != nil {
			return
		}
		defer client.Close()
		back := make(chan struct{})
		go func() {
			defer close(back)
			pass(server, client, func(b []byte) { change(false, b) })
			server.Close()
		}()
		pass(client, server, func(b []byte) { change(true, b) })
		client.Close()
		<-back
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

func pass(to io.Writer, from io.Reader, look func([]byte)) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		look(b[:n])
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// X31: one who stands between, and passes on every byte, gets nothing: the
// member sees a proof for another connection.
func TestJoinThroughAManInTheMiddle(t *testing.T) {
	a := admitting(t, func(o *Options) {
		o.Admit = func(context.Context, JoinRequest) (Admission, error) {
			t.Error("asked to admit")
			return Admission{}, nil
		}
	})
	o := joinAs(t, a, 2)
	o.Addr = relay(t, a.addr, func(toMember bool, b []byte) {
		if len(b) > 4 && b[4] == typeJoinRequest {
			t.Error("the joiner asked somebody who has not the cookie")
		}
	})
	if _, _, err := Join(ctx(t), o); !reason(RefusedCookie)(err) {
		t.Fatal(err)
	}
}

// A member that has not the cookie learns nothing but one proof, which is for
// this connection only, and is not asked.
func TestJoinWantsTheMembersProof(t *testing.T) {
	a := admitting(t, nil)
	o := joinAs(t, a, 2)
	o.Addr = impostor(t, func(c *tls.Conn) {
		if _, err := readOne(c, typeJoinHello, maxHandshake); err != nil {
			t.Error(err)
		}
		_ = writeOne(c, typeJoinCluster, binary.BigEndian.AppendUint64(joinVersion(), testCluster))
		proof, err := readOne(c, typeJoinProof, maxHandshake)
		if err != nil {
			t.Error(err)
		}
		_ = writeOne(c, typeJoinProof, proof) // reflected
		if _, err := readOne(c, typeJoinRequest, maxHandshake); err == nil {
			t.Error("asked without a proof")
		}
	})
	if _, _, err := Join(ctx(t), o); !errors.Is(err, ErrNotTrusted) {
		t.Fatal(err)
	}
}

// impostor is a server that speaks TLS as members do to joiners.
func impostor(t *testing.T, serve func(*tls.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	trust := testTrust(t, 0xbad)
	cfg := baseTLS(alpnJoin)
	cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return trust.certificate(), nil }
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		serve(tls.Server(c, cfg))
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String()
}

// X31, replay: what one joiner said is worth nothing on another connection.
func TestReplayOfAJoin(t *testing.T) {
	a := admitting(t, nil)
	c := joinConn(t, a.addr)
	_ = writeOne(c, typeJoinHello, joinVersion())
	if _, err := readOne(c, typeJoinCluster, maxHandshake); err != nil {
		t.Fatal(err)
	}
	cs := c.ConnectionState()
	proof, err := testCookie(t).prove(testCluster, roleJoiner, &cs)
	if err != nil {
		t.Fatal(err)
	}
	again := joinConn(t, a.addr)
	_ = writeOne(again, typeJoinHello, joinVersion())
	_, _ = readOne(again, typeJoinCluster, maxHandshake)
	_ = writeOne(again, typeJoinProof, proof)
	if _, err := readOne(again, typeJoinProof, maxHandshake); !reason(RefusedCookie)(err) {
		t.Fatal(err)
	}
	// It was right where it was made.
	_ = writeOne(c, typeJoinProof, proof)
	if _, err := readOne(c, typeJoinProof, maxHandshake); err != nil {
		t.Fatal(err)
	}
	// But a signature made for another connection is not.
	key, err := newKey(seeded(4))
	if err != nil {
		t.Fatal(err)
	}
	_ = writeOne(c, typeJoinRequest, JoinRequest{Node: 2}.marshal(key, make([]byte, 64)))
	if _, err := readOne(c, typeJoinAdmission, maxHandshake); !reason(RefusedIdentity)(err) {
		t.Fatal(err)
	}
}

func joinConn(t *testing.T, addr string) *tls.Conn {
	t.Helper()
	cfg := baseTLS(alpnJoin)
	cfg.InsecureSkipVerify = true
	c, err := tls.Dial("tcp", addr, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestJoinOfAnotherVersion(t *testing.T) {
	a := admitting(t, nil)
	c := joinConn(t, a.addr)
	_ = writeOne(c, typeJoinHello, append([]byte(joinMagic), 0, 99, 0, 0))
	if _, err := readOne(c, typeJoinCluster, maxHandshake); !reason(RefusedVersion)(err) {
		t.Fatal(err)
	}
}

type addr string

func (a addr) Network() string { return "tcp" }
func (a addr) String() string  { return string(a) + ":1234" }

// One wrong try a second, whoever makes it; right ones wait for nobody.
func TestTurnstile(t *testing.T) {
	c := clock.NewManual(birth)
	s := newTurnstile(c)
	bg := context.Background()
	over, cancel := context.WithCancel(bg)
	cancel()
	for range 10 {
		done, ok := s.enter(bg, addr("a"))
		if !ok {
			t.Fatal("a right one had to wait")
		}
		done(true)
	}
	done, _ := s.enter(bg, addr("a"))
	done(false)
	c.Advance(999 * time.Millisecond)
	if _, ok := s.enter(over, addr("b")); ok {
		t.Fatal("two tries in a second")
	}
	c.Advance(time.Millisecond)
	done, ok := s.enter(bg, addr("b"))
	if !ok {
		t.Fatal("no try after a second")
	}
	// While b has its turn, few from one address may wait, so that c can.
	entered := make(chan func(bool), 8)
	for range maxOfOne {
		go func() {
			done, _ := s.enter(bg, addr("a"))
			entered <- done
		}()
	}
	eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.mu.waiting["a"] == maxOfOne
	})
	if _, ok := s.enter(bg, addr("a")); ok {
		t.Fatal("too many of one address")
	}
	done(true)
	for range maxOfOne {
		receive(t, entered)(true)
	}
	if s.mu.all != 0 || len(s.mu.waiting) != 0 {
		t.Fatal("some are counted still")
	}
}

func TestWrongCookiesWait(t *testing.T) {
	a := admitting(t, nil)
	wrong := joinAs(t, a, 2)
	wrong.Cookie, _ = NewCookie(secret.New("abcdefghijklmnopqrst"), false)
	from := a.opts.Clock.Mono()
	for range 2 {
		if _, _, err := Join(ctx(t), wrong); !reason(RefusedCookie)(err) {
			t.Fatal(err)
		}
	}
	if d := a.opts.Clock.Mono() - from; d < tryPause {
		t.Fatalf("two guesses in %v", d)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	c := testCookie(t)
	var b strings.Builder
	for _, s := range []string{c.String(), c.GoString()} {
		b.WriteString(s)
	}
	if strings.Contains(b.String(), "ABC") {
		t.Fatal(b.String())
	}
}

func TestRenew(t *testing.T) {
	founder := testTrust(t, testCluster)
	voters := map[uint64]bool{2: true}
	oa := options(t, founder)
	oa.Voter = func(id uint64) bool { return voters[id] }
	a := start(t, oa)
	b := start(t, options(t, member(t, founder, 2, birth.Add(-4*365*24*time.Hour))))
	c := start(t, options(t, member(t, founder, 3, birth)))
	mesh(a, b, c)
	a.up(ClassRaft)
	trust := b.opts.Trust
	before, key := trust.Expires(), trust.now.Load().key
	if err := b.Renew(ctx(t), 1); err != nil {
		t.Fatal(err)
	}
	if !trust.Expires().After(before) || trust.now.Load().key.Equal(key) || !trust.HoldsAuthority() {
		t.Fatal("not renewed")
	}
	if err := c.Renew(ctx(t), 1); err != nil || c.opts.Trust.HoldsAuthority() {
		t.Fatalf("a learner got the key, or %v", err)
	}
	if err := a.Renew(ctx(t), 3); !reason(RefusedAuthority)(err) {
		t.Fatal(err)
	}
	if err := a.RenewSelf(); err != nil {
		t.Fatal(err)
	}
	// New connections use the new ones.
	a.drop()
	b.drop()
	a.up(ClassRaft)
	b.up(ClassRaft)
}
