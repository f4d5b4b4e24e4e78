package transport

import (
	"net"
	"strings"
	"testing"

	"github.com/warrenmq/warren/internal/secret"
)

func probeOf(t testing.TB, addr string) JoinOptions {
	return JoinOptions{Addr: addr, Cookie: testCookie(t), Clock: birthClock()}
}

func TestProbe(t *testing.T) {
	a := admitting(t, func(o *Options) { o.Probe = func() []byte { return []byte("I am") } })
	got, err := Probe(ctx(t), probeOf(t, a.addr))
	if err != nil || string(got) != "I am" {
		t.Fatalf("%q, %v", got, err)
	}
	wrong := probeOf(t, a.addr)
	wrong.Cookie, _ = NewCookie(secret.New("abcdefghijklmnopqrst"), false)
	if _, err := Probe(ctx(t), wrong); !reason(RefusedCookie)(err) {
		t.Fatal(err)
	}
	mute := admitting(t, nil)
	if _, err := Probe(ctx(t), probeOf(t, mute.addr)); !reason(RefusedClass)(err) {
		t.Fatal(err)
	}
	loud := admitting(t, func(o *Options) { o.Probe = func() []byte { return make([]byte, maxHandshake) } })
	if _, err := Probe(ctx(t), probeOf(t, loud.addr)); err == nil {
		t.Fatal("more than may be")
	}
}

// A node without a cluster answers who has the cookie; nobody joins it, and no
// member speaks with it. Then it has a trust, and the port is never closed.
func TestLobby(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	lobby, err := NewLobby(LobbyOptions{
		Node: 1, Cluster: testCluster, Cookie: testCookie(t), Clock: birthClock(), Rand: seeded(3),
		Probe: func() []byte { return []byte("forming") },
	}, l)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Probe(ctx(t), probeOf(t, at)); err != nil || string(got) != "forming" {
		t.Fatalf("%q, %v", got, err)
	}
	o := probeOf(t, at)
	o.Request = JoinRequest{Node: 2}
	if _, _, err := Join(ctx(t), o); !reason(RefusedBusy)(err) || !strings.Contains(err.Error(), "no cluster yet") {
		t.Fatal(err)
	}
	founder := testTrust(t, testCluster)
	b := start(t, options(t, member(t, founder, 2, birth)))
	b.SetPeers([]Peer{{ID: 1, Addr: at}})
	b.linkErr(is(ErrNotTrusted))
	stale, err := net.Dial("tcp", at) // in the lobby when it ends
	if err != nil {
		t.Fatal(err)
	}
	defer stale.Close()
	a := startOn(t, options(t, founder), lobby.Leave())
	a.addr = at
	a.SetPeers([]Peer{b.peer()})
	b.up(ClassRaft)
	a.up(ClassRaft)
}

// A lobby's listener that is closed from outside ends it, and what comes after.
func TestLobbyOfAClosedPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	lobby, err := NewLobby(LobbyOptions{Node: 1, Cluster: testCluster, Cookie: testCookie(t), Probe: func() []byte { return nil }}, l)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	after := lobby.Leave()
	if _, err := after.Accept(); err == nil {
		t.Fatal("a connection of a closed port")
	}
	after.Close()
}
