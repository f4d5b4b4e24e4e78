package amqp091_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// A right is what a user may do with one thing: "read queue q".
type right string

func (r right) parts() (op, kind, name string) {
	f := strings.SplitN(string(r), " ", 3)
	return f[0], f[1], f[2]
}

// An operation is one that a client asks for, and what it needs for it.
type operation struct {
	name  string
	do    wire.Method
	needs []right
	// any says that one of the rights is enough.
	any bool
}

// operations are all that name a queue or an exchange.
func operations() []operation {
	queue := func(name string) []right {
		return []right{right("read queue " + name), right("write queue " + name), right("configure queue " + name)}
	}
	exchange := func(name string) []right {
		return []right{right("read exchange " + name), right("write exchange " + name), right("configure exchange " + name)}
	}
	return []operation{
		{name: "exchange.declare", do: &wire.ExchangeDeclare{Exchange: "x.new", Type: "fanout"}, needs: []right{"configure exchange x.new"}},
		{name: "exchange.declare of what is there", do: &wire.ExchangeDeclare{Exchange: "x", Type: "fanout"}, needs: []right{"configure exchange x"}},
		{
			name: "exchange.declare with an alternate",
			do: &wire.ExchangeDeclare{Exchange: "x.alt", Type: "fanout", Arguments: args(
				field("alternate-exchange", wire.String("x.to")))},
			needs: []right{"configure exchange x.alt", "read exchange x.alt", "write exchange x.to"},
		},
		{name: "exchange.declare passive", do: &wire.ExchangeDeclare{Exchange: "x", Passive: true}, needs: exchange("x"), any: true},
		{name: "exchange.delete", do: &wire.ExchangeDelete{Exchange: "x.gone"}, needs: []right{"configure exchange x.gone"}},
		{name: "exchange.bind", do: &wire.ExchangeBind{Destination: "x", Source: "src"}, needs: []right{"write exchange x", "read exchange src"}},
		{name: "exchange.unbind", do: &wire.ExchangeUnbind{Destination: "x", Source: "src"}, needs: []right{"write exchange x", "read exchange src"}},
		{name: "queue.declare", do: &wire.QueueDeclare{Queue: "q.new"}, needs: []right{"configure queue q.new"}},
		{name: "queue.declare of what is there", do: &wire.QueueDeclare{Queue: "q"}, needs: []right{"configure queue q"}},
		{
			name: "queue.declare with dead letters",
			do: &wire.QueueDeclare{Queue: "q.dead", Arguments: args(
				field("x-dead-letter-exchange", wire.String("x.to")))},
			needs: []right{"configure queue q.dead", "read queue q.dead", "write exchange x.to"},
		},
		{name: "queue.declare passive", do: &wire.QueueDeclare{Queue: "q", Passive: true}, needs: queue("q"), any: true},
		{name: "queue.delete", do: &wire.QueueDelete{Queue: "q.gone"}, needs: []right{"configure queue q.gone"}},
		{name: "queue.purge", do: &wire.QueuePurge{Queue: "q"}, needs: []right{"read queue q"}},
		{name: "queue.bind", do: &wire.QueueBind{Queue: "q", Exchange: "src"}, needs: []right{"write queue q", "read exchange src"}},
		{name: "queue.unbind", do: &wire.QueueUnbind{Queue: "q", Exchange: "src"}, needs: []right{"write queue q", "read exchange src"}},
		{name: "basic.consume", do: &wire.BasicConsume{Queue: "q"}, needs: []right{"read queue q"}},
		{name: "basic.get", do: &wire.BasicGet{Queue: "q"}, needs: []right{"read queue q"}},
		{name: "basic.publish", needs: []right{"write exchange x"}},
		{name: "basic.publish to the default exchange", needs: []right{"write exchange amq.default"}},
	}
}

// ask does an operation and returns how a refusal reads, "" if it was done.
func (o *operation) ask(p *peer) string {
	p.t.Helper()
	if o.do != nil {
		p.send(1, o.do)
	} else {
		_, _, x := o.needs[0].parts()
		p.confirms(1)
		p.publish(1, message{exchange: strings.TrimPrefix(x, "amq.default"), key: "nobody"})
	}
	switch _, m := p.next(); m := m.(type) {
	case *wire.ChannelClose:
		p.send(1, &wire.ChannelCloseOK{})
		return fmt.Sprintf("%d %s", m.ReplyCode, m.ReplyText)
	case *wire.ConnectionClose:
		p.t.Fatalf("%s ends the connection: %s", o.name, m.ReplyText)
	}
	return ""
}

// X25: every operation of the protocol, with exactly the rights it needs and
// with each of them missing. Who may not is told which right is missing, and not
// whether what it named is there.
func TestRights(t *testing.T) {
	r := own(t, nil)
	c := client.New(r.dir)
	t.Cleanup(c.Close)
	order := func(_ client.Done, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	order(c.AddUser(t.Context(), client.NewUser{UserPassword: client.UserPassword{Name: "u", Password: secret.New("pw")}}))
	// allow lets the user do this and nothing else; the names in it are no patterns.
	allow := func(rights ...right) *peer {
		t.Helper()
		may := map[string][]string{}
		for _, x := range rights {
			op, _, name := x.parts()
			may[op] = append(may[op], regexp.QuoteMeta(name))
		}
		only := func(op string) string { return "^(" + strings.Join(may[op], "|") + ")$" }
		order(c.SetPermission(t.Context(), client.NewPermission{
			PermissionOf: client.PermissionOf{User: "u", VHost: "/"},
			Configure:    only("configure"), Write: only("write"), Read: only("read"),
		}))
		p := dial(t, r.addr())
		p.start(nil, "PLAIN", plain("u", "pw"))
		expect[*wire.ConnectionTune](p, 0)
		p.send(0, &wire.ConnectionTuneOK{ChannelMax: 10, FrameMax: p.max}, &wire.ConnectionOpen{VirtualHost: "/"})
		expect[*wire.ConnectionOpenOK](p, 0)
		p.channel(1)
		return p
	}
	refusal := func(x right) string {
		op, kind, name := x.parts()
		return fmt.Sprintf("403 ACCESS_REFUSED - %s access to %s '%s' in vhost '/' refused for user 'u'", op, kind, name)
	}
	p := session(t, r.addr())
	refused := func(o operation) {
		t.Helper()
		for i, x := range o.needs {
			others := slices.Delete(slices.Clone(o.needs), i, i+1)
			if o.any {
				others, x = nil, o.needs[len(o.needs)-1]
			}
			if got := o.ask(allow(others...)); got != refusal(x) {
				t.Errorf("%s without %q:\n got %s\nwant %s", o.name, x, got, refusal(x))
			}
		}
	}
	for _, o := range operations() { // nothing is there yet
		refused(o)
	}
	for _, x := range []string{"x", "src", "x.gone"} {
		p.send(1, &wire.ExchangeDeclare{Exchange: x, Type: "fanout"})
		expect[*wire.ExchangeDeclareOK](p, 1)
	}
	for _, q := range []string{"q", "q.gone"} {
		p.send(1, &wire.QueueDeclare{Queue: q})
		expect[*wire.QueueDeclareOK](p, 1)
	}
	for _, o := range operations() {
		refused(o)
		if !o.any {
			if got := o.ask(allow(o.needs...)); got != "" {
				t.Errorf("%s with all it needs: %s", o.name, got)
			}
			continue
		}
		for _, x := range o.needs {
			if got := o.ask(allow(x)); got != "" {
				t.Errorf("%s with %q: %s", o.name, x, got)
			}
		}
	}
}
