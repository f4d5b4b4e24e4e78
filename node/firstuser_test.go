package node

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/internal/secret"
)

// announced takes what would be printed.
type announced struct {
	mu    sync.Mutex
	users []string
	last  secret.String
}

func (a *announced) hear(user string, password secret.String) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users, a.last = append(a.users, user), password
}

// afar is a network whose peers are on another machine.
type afar struct{ net.ListenConfig }

func (a *afar) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	ln, err := a.ListenConfig.Listen(ctx, network, address)
	return afarListener{ln}, err
}

type afarListener struct{ net.Listener }

func (l afarListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return afarConn{c}, nil
}

type afarConn struct{ net.Conn }

func (afarConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4711} }

// login tells whether a user may log in to a vhost.
func (r *running) login(user, password, vhost string) bool {
	r.t.Helper()
	_, port, err := net.SplitHostPort(r.Addrs()["amqp"])
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := amqp.DialConfig("amqp://127.0.0.1:"+port, amqp.Config{
		SASL: []amqp.Authentication{&amqp.PlainAuth{Username: user, Password: password}}, Vhost: vhost,
	})
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// An administrator appears when, and only when, other machines reach the node and
// nobody of them could log in (F19, X19). His password is said once and nowhere
// else; guest stays at home.
func TestRemoteUserAppears(t *testing.T) { // estate F19
	fs, dir := vfs.NewMem(), t.TempDir()
	var heard announced
	o := testOptions(t, dir, fs)
	o.Announce = heard.hear

	r := start(t, o)
	if len(heard.users) != 0 || r.catalog.View().User(adminName) != nil {
		t.Fatalf("users %q of a node that only this machine reaches", heard.users)
	}
	r.stop()

	o.Listen[0].Addr, o.Network = "0.0.0.0:0", new(afar)
	r = start(t, o)
	if len(heard.users) != 1 || heard.users[0] != adminName {
		t.Fatalf("heard of %q", heard.users)
	}
	password := heard.last.Reveal()
	if len(password) < 20 {
		t.Errorf("a password of %d characters", len(password))
	}
	for _, tc := range []struct {
		user, password string
		want           bool
	}{{adminName, password, true}, {adminName, adminName, false}, {guestName, guestName, false}} {
		if got := r.login(tc.user, tc.password, "/"); got != tc.want {
			t.Errorf("login of %s: %v", tc.user, got)
		}
	}
	if u := r.catalog.View().User(adminName); strings.Contains(r.log.String()+string(u.Password), password) {
		t.Error("the password was logged or stored")
	}
	r.stop()

	r = start(t, o)
	if len(heard.users) != 1 {
		t.Errorf("heard of %q after a restart", heard.users)
	}
	if !r.login(adminName, password, "/") {
		t.Error("the password is not good after a restart")
	}
}

// RabbitMQ's variables name the first user and vhost; guest is not made then.
func TestFirstUser(t *testing.T) {
	t.Run("with a password", func(t *testing.T) {
		o := testOptions(t, t.TempDir(), vfs.NewMem())
		o.FirstUser = FirstUser{Name: "app", Password: secret.New("its own"), VHost: "prod"}
		o.Listen[0].Addr, o.Network = "0.0.0.0:0", new(afar)
		r := start(t, o) // without Announce: nothing is to be announced
		if !r.login("app", "its own", "prod") || r.login("app", "app", "prod") || r.login(guestName, guestName, "prod") {
			t.Error("wrong users")
		}
		if r.catalog.View().VHost("/") != nil || r.catalog.View().User(guestName) != nil {
			t.Error("there is what the first user replaces")
		}
	})
	t.Run("without one", func(t *testing.T) {
		var heard announced
		o := testOptions(t, t.TempDir(), vfs.NewMem())
		o.FirstUser, o.Announce = FirstUser{Name: "app"}, heard.hear
		r := start(t, o)
		if len(heard.users) != 1 || heard.users[0] != "app" || !r.login("app", heard.last.Reveal(), "/") {
			t.Errorf("heard of %q", heard.users)
		}
	})
	t.Run("guest with another", func(t *testing.T) {
		o := testOptions(t, t.TempDir(), vfs.NewMem())
		o.FirstUser.Password = secret.New("changed")
		r := start(t, o)
		if !r.login(guestName, "changed", "/") || r.login(guestName, guestName, "/") {
			t.Error("wrong password")
		}
	})
	for _, bad := range []FirstUser{{Name: "a\x00b"}, {VHost: strings.Repeat("v", 256)}, {Password: secret.New("\x00")}} {
		o := good()
		o.FirstUser = bad
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), "first user") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
