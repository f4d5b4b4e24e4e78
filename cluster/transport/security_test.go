package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/internal/clock"
)

// rawPeer dials a node as a member would, with what the caller shows, and
// returns the connection, or why the node ended it.
func rawPeer(t *testing.T, n *node, show *Trust, change func(*tls.Config)) (*tls.Conn, error) {
	t.Helper()
	cfg := baseTLS(alpnPeer)
	cfg.InsecureSkipVerify = true
	if show != nil {
		cfg.Certificates = []tls.Certificate{*show.certificate()}
	}
	if change != nil {
		change(cfg)
	}
	c, err := tls.Dial("tcp", n.addr, cfg)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close() })
	return c, nil
}

// greetRaw says hello and returns the answer.
func greetRaw(t *testing.T, n *node, show *Trust, h hello) error {
	t.Helper()
	c, err := rawPeer(t, n, show, nil)
	if err != nil {
		return err
	}
	if err := writeOne(c, typeHello, h.marshal()); err != nil {
		return err
	}
	_, err = readOne(c, typeWelcome, maxHandshake)
	return err
}

func goodHello() hello {
	return hello{major: versionMajor, class: ClassRaft, cluster: testCluster, from: 2, to: 1, incarnation: 5, generation: 7}
}

// X31: certificates that are not this cluster's, or not of this time.
func TestStrangersCertificates(t *testing.T) {
	founder := testTrust(t, testCluster)
	forged, err := Found(Founder{Cluster: testCluster, Node: 2, Now: birth, Rand: seeded(99)})
	if err != nil {
		t.Fatal(err)
	}
	a := start(t, options(t, founder))
	a.SetPeers([]Peer{{ID: 2}, {ID: 3}})
	for name, show := range map[string]*Trust{
		"none":              nil,
		"another authority": forged,
		"wrong cluster":     testTrust(t, testCluster+1),
		"expired":           member(t, founder, 2, birth.Add(-nodeLife-time.Hour)),
	} {
		if err := greetRaw(t, a, show, goodHello()); err == nil {
			t.Errorf("%s: welcome", name)
		}
	}
	// The certificate of one node and the name of another.
	if err := greetRaw(t, a, member(t, founder, 3, birth), goodHello()); !reason(RefusedIdentity)(err) {
		t.Errorf("another node's certificate: %v", err)
	}
	if err := greetRaw(t, a, member(t, founder, 2, birth), goodHello()); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

// The dialling side wants the certificate of the very node, not of any member.
func TestAnImpostorAmongMembers(t *testing.T) {
	founder := testTrust(t, testCluster)
	a := start(t, options(t, founder))
	b := start(t, options(t, member(t, founder, 2, birth)))
	a.SetPeers([]Peer{{ID: 3, Addr: b.addr}})
	a.linkErr(is(ErrNotTrusted))
	other := start(t, options(t, testTrust(t, testCluster+1)))
	a.SetPeers([]Peer{{ID: 4, Addr: other.addr}})
	a.linkErr(is(ErrNotTrusted))
}

func TestHellosAreJudged(t *testing.T) {
	founder := testTrust(t, testCluster)
	o := options(t, founder)
	o.Forgotten = func(id uint64) bool { return id == 6 }
	a := start(t, o)
	a.SetPeers([]Peer{{ID: 2}, {ID: 6}})
	for _, c := range []struct {
		name   string
		who    uint64
		change func(*hello)
		want   Reason
	}{
		{"another major version", 2, func(h *hello) { h.major = 2 }, RefusedVersion},
		{"another cluster", 2, func(h *hello) { h.cluster++ }, RefusedCluster},
		{"itself", 1, func(h *hello) { h.from = 1 }, RefusedSelf},
		{"somebody else was meant", 2, func(h *hello) { h.to = 9 }, RefusedIdentity},
		{"unknown", 5, func(h *hello) { h.from = 5 }, RefusedUnknown},
		{"forgotten", 6, func(h *hello) { h.from = 6 }, RefusedForgotten},
		{"an older generation", 2, func(h *hello) { h.generation = 6 }, RefusedGeneration},
		{"a newer generation", 2, func(h *hello) { h.generation = 8 }, RefusedGeneration},
		{"a class that is not taken", 2, func(h *hello) { h.class = ClassBulk }, RefusedClass},
		{"a class that does not exist", 2, func(h *hello) { h.class = 77 }, RefusedClass},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := goodHello()
			c.change(&h)
			err := greetRaw(t, a, member(t, founder, c.who, birth), h)
			if !reason(c.want)(err) {
				t.Fatal(err)
			}
		})
	}
	two := member(t, founder, 2, birth)
	if err := greetRaw(t, a, two, goodHello()); err != nil {
		t.Fatal(err)
	}
	// Of the same process hellos may come in any order: it has one life after the
	// other, and dials while it has them.
	early := goodHello()
	early.incarnation = 1
	if err := greetRaw(t, a, two, early); err != nil {
		t.Fatalf("a hello that another overtook: %v", err)
	}
	for _, n := range []uint64{4, 0, 5, 6, 5} { // 5 was seen, and then 6
		h := goodHello()
		h.incarnation, h.process = n, 20+n // of processes that came one after the other
		newest, _ := a.Transport.peer(2).seen(hello{})
		err := greetRaw(t, a, two, h)
		if (err == nil) != (n == 0 || n >= newest) || err != nil && !reason(RefusedIncarnation)(err) {
			t.Errorf("incarnation %d: %v", n, err)
		}
	}
	newer := append(goodHello().marshal(), "more"...)
	newer[7] = 9 // the minor
	c, err := rawPeer(t, a, two, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = writeOne(c, typeHello, newer)
	if _, err := readOne(c, typeWelcome, maxHandshake); err == nil || !reason(RefusedIncarnation)(err) {
		t.Fatalf("a newer minor with an older incarnation: %v", err)
	}
}

// X31: a node that was given its own address.
func TestSelfConnect(t *testing.T) {
	founder := testTrust(t, testCluster)
	a := start(t, options(t, founder))
	a.SetPeers([]Peer{a.peer()})
	if len(a.Peers()) != 0 {
		t.Fatal("its own peer")
	}
	a.SetPeers([]Peer{{ID: 2, Addr: a.addr}})
	a.linkErr(is(ErrNotTrusted))
}

// X31: nothing older than TLS 1.3.
func TestDowngrade(t *testing.T) {
	a := admitting(t, nil)
	a.SetPeers([]Peer{{ID: 2}})
	two := member(t, a.opts.Trust, 2, birth)
	for _, alpn := range []string{alpnPeer, alpnJoin} {
		if _, err := rawPeer(t, a, two, func(c *tls.Config) {
			c.MinVersion, c.MaxVersion, c.NextProtos = tls.VersionTLS12, tls.VersionTLS12, []string{alpn}
		}); err == nil {
			t.Errorf("%s: TLS 1.2 was taken", alpn)
		}
	}
	for _, alpn := range [][]string{nil, {"amqp"}, {"h2", "http/1.1"}} {
		if _, err := rawPeer(t, a, two, func(c *tls.Config) { c.NextProtos = alpn }); err == nil {
			t.Errorf("protocols %v were taken", alpn)
		}
	}
}

// X31, and 21: the port is not for clients.
func TestClientProtocolsOnThePeerPort(t *testing.T) {
	a := admitting(t, nil)
	for _, bytes := range []string{
		"AMQP\x00\x00\x09\x01", "AMQP\x03\x01\x00\x00", "CONNECT\naccept-version:1.2\n\n\x00", "\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "n\x00\x05\x00\x00", strings.Repeat("\x00", 600),
	} {
		c, err := net.Dial("tcp", a.addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte(bytes)); err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(c)
		if len(got) > 7 || len(got) > 0 && got[0] != 21 { // a TLS alert at most
			t.Errorf("%.8q was answered with %q", bytes, got)
		}
		c.Close()
	}
}

// The budget of an unknown: 64 KiB and 10 s, whatever it does.
func TestBudgetOfBytes(t *testing.T) {
	a := admitting(t, nil)
	c, err := net.Dial("tcp", a.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// A client hello that never ends: records of a handshake that says it is long.
	record := append([]byte{22, 3, 1, 0x3f, 0xff, 1, 0, 0xff, 0xff}, make([]byte, 0x3fff-4)...)
	go func() {
		for {
			if _, err := c.Write(record); err != nil {
				return
			}
		}
	}()
	_, _ = io.Copy(io.Discard, c) // until it is closed
	// One that joins, and says too much before it proved anything.
	j := joinConn(t, a.addr)
	_ = writeOne(j, typeJoinHello, joinVersion())
	if _, err := readOne(j, typeJoinCluster, maxHandshake); err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	go func() {
		for {
			n, err := j.Write(make([]byte, 16<<10))
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	_, _ = io.Copy(io.Discard, j)
}

func TestBudgetOfTime(t *testing.T) {
	manual := clock.NewManual(birth)
	a := admitting(t, func(o *Options) { o.Clock = manual })
	silent, err := net.Dial("tcp", a.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	manual.BlockUntil(1)
	half := joinConn(t, a.addr)
	_ = writeOne(half, typeJoinHello, joinVersion())
	if _, err := readOne(half, typeJoinCluster, maxHandshake); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{}, 2)
	for _, c := range []net.Conn{silent, half} {
		go func() {
			_, _ = io.Copy(io.Discard, c)
			closed <- struct{}{}
		}()
	}
	manual.Advance(handshakeTime - time.Millisecond)
	if len(closed) > 0 {
		t.Fatal("too early")
	}
	manual.Advance(time.Millisecond)
	receive(t, closed)
	receive(t, closed)
}

// However many connect and say nothing, a node that does gets through.
func TestHalfOpenConnectionsGiveWay(t *testing.T) {
	founder := testTrust(t, testCluster)
	a := start(t, options(t, founder))
	for range maxHalfOpen + 20 {
		c, err := net.Dial("tcp", a.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	b := start(t, options(t, member(t, founder, 2, birth)))
	mesh(a, b)
	b.up(ClassRaft)
	a.Transport.mu.Lock()
	defer a.Transport.mu.Unlock()
	if n := len(a.Transport.mu.unknown); n > maxHalfOpen {
		t.Fatalf("%d half-open connections", n)
	}
}

// X32: the only addresses that are dialled are those of SetPeers, whatever
// others say.
func TestOnlyConfiguredAddressesAreDialled(t *testing.T) {
	founder := testTrust(t, testCluster)
	r := &refuser{}
	oa := options(t, founder)
	oa.Dial, oa.Cookie = r.dial, testCookie(t)
	evil := "169.254.169.254:80"
	oa.Admit = nil
	oa.Cookie = nil
	a := start(t, oa)
	b := start(t, options(t, member(t, founder, 2, birth)))
	mesh(a, b)
	a.up(ClassRaft)
	b.up(ClassRaft)
	b.Beat(1, []byte(evil))
	receive(t, a.beats)
	b.data.stream(t, true).Send(Frame{FirstType, nil, []byte(evil)})
	receive(t, a.data.frames)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.addrs) != 1 || !r.addrs[b.addr] {
		t.Fatalf("dialled %v", r.addrs)
	}
}

// X33: what clients wrote reaches the peer as bytes, whatever they are.
func FuzzClientTextReachesThePeer(f *testing.F) {
	f.Add("SUB $SYS.>\r\n1\r\nUNSUB 1\r\n")
	f.Add("\x00\x00\x00\x01\x04")
	founder := testTrust(f, testCluster)
	a := start(f, options(f, founder))
	b := start(f, options(f, member(f, founder, 2, birth)))
	mesh(a, b)
	s := a.data.stream(f, true)
	f.Fuzz(func(t *testing.T, text string) {
		if !s.Send(Frame{FirstType, []byte(text), nil}, Frame{FirstType, nil, []byte(text)}) {
			t.Fatal("the stream is closed")
		}
		for range 2 {
			if got := receive(t, b.data.frames); got != string(rune(FirstType))+text {
				t.Fatalf("%q became %q", text, got)
			}
		}
		a.Send(2, one(1, appendMessage(1, 2, 1, []byte(text))))
		for {
			got := receive(t, b.raft)
			if got.m.GetType() == raftpb.MsgApp {
				if string(got.m.Entries[0].Data) != text {
					t.Fatalf("%q became %q", text, got.m.Entries[0].Data)
				}
				return
			}
		}
	})
}

// A member that speaks out of turn loses its connection, and nothing else.
func TestFramesOutOfPlace(t *testing.T) {
	founder := testTrust(t, testCluster)
	a := start(t, options(t, founder))
	two := member(t, founder, 2, birth)
	a.SetPeers([]Peer{{ID: 2}})
	for _, class := range []Class{ClassRaft, ClassData} {
		for typ := byte(0); typ < FirstType+2; typ++ {
			if typ == typePing || class == ClassData && typ >= FirstType || class == ClassRaft && typ == typeBeat {
				continue
			}
			c, err := rawPeer(t, a, two, nil)
			if err != nil {
				t.Fatal(err)
			}
			h := goodHello()
			h.class = class
			_ = writeOne(c, typeHello, h.marshal())
			if _, err := readOne(c, typeWelcome, maxHandshake); err != nil {
				t.Fatal(err)
			}
			_ = writeOne(c, typ, []byte("x"))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, io.ErrNoProgress) {
				t.Fatal(err)
			}
		}
	}
}
