package node

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/internal/secret"
)

// What operators order about users holds at once, for connections that are open
// as well (X23).
func TestUserOrdersTakeEffect(t *testing.T) {
	dir := t.TempDir()
	n := start(t, testOptions(t, dir, vfs.NewMem()))
	c := client.New(dir)
	t.Cleanup(c.Close)
	ctx := t.Context()
	of := client.PermissionOf{User: "app", VHost: "/"}
	order := func(_ client.Done, err error) { t.Helper(); must(t, err) }
	password := func(text string) client.UserPassword {
		return client.UserPassword{Name: "app", Password: secret.New(text)}
	}
	order(c.AddUser(ctx, client.NewUser{UserPassword: password("one")}))
	login := func(text, vhost string) (*amqp.Connection, error) {
		return amqp.DialConfig("amqp://"+n.Addrs()["amqp"], amqp.Config{
			SASL: []amqp.Authentication{&amqp.PlainAuth{Username: "app", Password: text}}, Vhost: vhost,
		})
	}
	refused := func(err error, code int, why string) {
		t.Helper()
		var e *amqp.Error
		if !errors.As(err, &e) || e.Code != code {
			t.Errorf("%s: %v, want %d", why, err, code)
		}
	}
	_, err := login("one", "/")
	refused(err, amqp.NotAllowed, "no permission in the vhost")

	order(c.SetPermission(ctx, client.NewPermission{PermissionOf: of, Configure: "^app-", Write: ".*", Read: ".*"}))
	conn, err := login("one", "/")
	must(t, err)
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	declare := func(name string) error {
		ch, err := conn.Channel()
		must(t, err)
		_, err = ch.QueueDeclare(name, true, false, false, false, nil)
		return err
	}
	must(t, declare("app-1"))
	refused(declare("other"), amqp.AccessRefused, "outside the pattern")
	order(c.SetPermission(ctx, client.NewPermission{PermissionOf: of, Configure: "^other", Write: ".*", Read: ".*"}))
	must(t, declare("other"))
	refused(declare("app-2"), amqp.AccessRefused, "outside the new pattern")
	order(c.ClearPermission(ctx, of))
	refused(declare("other-2"), amqp.AccessRefused, "nothing is permitted any more")
	order(c.SetPermission(ctx, client.NewPermission{PermissionOf: of, Configure: ".*", Write: ".*", Read: ".*"}))

	// A password that was right a moment ago is not when it was changed.
	order(c.ChangePassword(ctx, password("two")))
	_, err = login("one", "/")
	if err == nil {
		t.Error("the old password logs in")
	}
	second, err := login("two", "/")
	must(t, err)
	must(t, second.Close())
	order(c.ChangePassword(ctx, password("")))
	if _, err := login("two", "/"); err == nil {
		t.Error("a password logs in that was cleared")
	}

	order(c.DeleteUser(ctx, client.UserName{Name: "app"}))
	select {
	case e := <-closed:
		if e == nil || e.Code != amqp.ConnectionForced || !strings.Contains(e.Reason, "user 'app' is deleted") {
			t.Errorf("the connection ended with %v", e)
		}
	case <-time.After(10 * time.Second):
		t.Error("the connection of a deleted user lives")
	}
}

// A vhost that is deleted takes its connections, queues and messages along, and
// one made anew by its name has nothing of it.
func TestDeleteVHostCleansUp(t *testing.T) {
	dir := t.TempDir()
	n := start(t, testOptions(t, dir, vfs.NewMem()))
	c := client.New(dir)
	t.Cleanup(c.Close)
	ctx := t.Context()
	order := func(_ client.Done, err error) { t.Helper(); must(t, err) }
	open := func() (*amqp.Connection, *amqp.Channel) {
		conn, err := amqp.Dial("amqp://guest:guest@" + n.Addrs()["amqp"] + "/v")
		must(t, err)
		ch, err := conn.Channel()
		must(t, err)
		must(t, ch.Confirm(false))
		_, err = ch.QueueDeclare("q", true, false, false, false, nil)
		must(t, err)
		return conn, ch
	}
	allow := func() {
		order(c.AddVHost(ctx, client.NewVHost{Name: "v"}))
		order(c.SetPermission(ctx, client.NewPermission{PermissionOf: client.PermissionOf{User: "guest", VHost: "v"}, Configure: ".*", Write: ".*", Read: ".*"}))
	}
	allow()
	conn, ch := open()
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	send(t, ch, "q", amqp.Publishing{Body: []byte("of the old one")})
	order(c.DeleteVHost(ctx, client.VHostName{Name: "v"}))
	select {
	case e := <-closed:
		if e == nil || e.Code != amqp.ConnectionForced {
			t.Errorf("the connection ended with %v", e)
		}
	case <-time.After(10 * time.Second):
		t.Error("a connection to a deleted vhost lives")
	}
	if _, err := c.DeleteVHost(ctx, client.VHostName{Name: "v"}); client.KindOf(err) != client.NotFound {
		t.Errorf("deleted twice: %v", err)
	}
	allow()
	again, ch := open()
	if got := drain(t, ch, "q"); len(got) != 0 {
		t.Errorf("the new vhost has %q", got)
	}
	must(t, again.Close())
}
