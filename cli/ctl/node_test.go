package ctl

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	amqp "github.com/rabbitmq/amqp091-go"
)

// nodeDesk is a desk with a real node, whose files are in memory.
func nodeDesk(t testing.TB) (d *desk, url string) {
	d = newDesk(t, nil)
	n := newNode(t, d.dir, vfs.NewMem())
	return d, "amqp://guest:guest@" + n.Addrs()["amqp"] + "/"
}

// A peer is a client of the node.
type peer struct {
	*amqp.Connection
	t      *testing.T
	closed chan *amqp.Error
}

func dial(t *testing.T, url string) *peer {
	t.Helper()
	c, err := amqp.DialConfig(url, amqp.Config{
		Heartbeat: 40 * time.Second, Properties: amqp.Table{"connection_name": "peer-1", "product": "peer", "n": int32(3)},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{c, t, c.NotifyClose(make(chan *amqp.Error, 1))}
	t.Cleanup(func() { _ = c.Close() })
	return p
}

func (p *peer) channel() *amqp.Channel {
	p.t.Helper()
	ch, err := p.Channel()
	p.must(err)
	return ch
}

func (p *peer) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// normal takes out of an output what differs from run to run.
func normal(s string) string {
	s = regexp.MustCompile(`<rabbit@node-01\.\d+\.`).ReplaceAllString(s, "<rabbit@node-01.CREATION.")
	s = regexp.MustCompile(`127\.0\.0\.1:\d{4,5}`).ReplaceAllString(s, "127.0.0.1:PORT")
	return s
}

// transcript runs lines and returns what they print.
func (d *desk) transcript(lines ...string) string {
	d.t.Helper()
	var out strings.Builder
	for _, line := range lines {
		code := d.run(strings.Fields(line)...)
		out.WriteString("$ rabbitmqctl " + line + "\n" + d.out.String())
		if d.errs.Len() > 0 {
			out.WriteString("! " + d.errs.String())
		}
		if code != exitOK {
			out.WriteString("exit code " + strings.TrimSpace(string(rune('0'+code/10))+string(rune('0'+code%10))) + "\n")
		}
	}
	return normal(out.String())
}

// topology declares what the transcripts show: the same as was declared at
// RabbitMQ 3.10 for comparison.
func topology(t *testing.T, p *peer) {
	t.Helper()
	ch := p.channel()
	declare := func(name string, durable, exclusive bool, args amqp.Table) {
		t.Helper()
		_, err := ch.QueueDeclare(name, durable, false, exclusive, false, args)
		p.must(err)
	}
	declare("orders", true, false, amqp.Table{"x-max-length": int32(1000)})
	declare("tmp", false, true, nil)
	declare("tab\tand \"quote\" \\ é", true, false, nil)
	declare("qq", true, false, amqp.Table{"x-queue-type": "quorum"})
	p.must(ch.ExchangeDeclare("ae", "fanout", true, false, true, false, nil))
	p.must(ch.ExchangeDeclare("logs", "topic", true, false, false, false, amqp.Table{"alternate-exchange": "ae"}))
	p.must(ch.QueueBind("orders", "a.#", "logs", false, nil))
	p.must(ch.QueueBind("orders", "", "amq.headers", false, amqp.Table{"x-match": "all", "k": "v"}))
	p.must(ch.ExchangeBind("ae", "", "logs", false, nil))
	p.must(ch.Confirm(false))
	acks := ch.NotifyPublish(make(chan amqp.Confirmation, 5))
	for range 5 {
		p.must(ch.PublishWithContext(t.Context(), "", "orders", false, false, amqp.Publishing{Body: []byte("hello"), DeliveryMode: 2}))
	}
	for range 5 {
		<-acks
	}
}

// The outputs in testdata are those of RabbitMQ 3.10's rabbitmqctl for the same
// topology, but for the order of lists, pids, and what docs/ctl.md says.
// (estate R1, R9).
func TestTopologyTranscript(t *testing.T) {
	d, url := nodeDesk(t)
	p := dial(t, url)
	topology(t, p)
	golden(t, "topology.txt", d.transcript(
		"list_queues", "list_queues -q", "list_queues -s name messages",
		"list_queues name durable auto_delete arguments policy pid owner_pid exclusive type state leader members online",
		"list_queues name messages_ready messages_unacknowledged messages_ram messages_persistent message_bytes message_bytes_ready consumers consumer_capacity exclusive_consumer_tag memory",
		"list_queues name arguments messages --formatter json", "list_queues name arguments --formatter=csv",
		"list_queues --formatter pretty_table", "list_queues name messages --formatter erlang",
		"list_queues --offline", "list_queues --local name", "list_queues -p nope", "list_queues name,foo",
		"list_unresponsive_queues",
		"list_exchanges", "list_exchanges name type durable auto_delete internal arguments policy",
		"list_bindings", "list_bindings --formatter json",
		"list_users", "list_users --formatter json", "list_permissions", "list_permissions -p nope",
		"list_user_permissions guest", "list_user_permissions nope", "list_topic_permissions", "list_user_topic_permissions guest",
		"list_vhosts", "list_vhosts name tracing description tags default_queue_type",
		"list_policies", "list_operator_policies", "list_parameters", "list_global_parameters", "list_parameters -p nope",
		"purge_queue nope", "purge_queue orders", "list_queues name messages",
		"delete_queue nope", "delete_queue tmp", "delete_queue orders --if-empty --if-unused", "list_queues name",
	))
}

// (estate R9: connections as operators see and end them).
func TestConnectionTranscript(t *testing.T) {
	d, url := nodeDesk(t)
	p := dial(t, url)
	topology(t, p)
	ch := p.channel()
	p.must(ch.Qos(2, 0, false))
	got, err := ch.Consume("orders", "ctag-1", false, false, false, false, amqp.Table{"x-priority": int32(5)})
	p.must(err)
	<-got
	<-got
	_, err = ch.Consume("tmp", "ctag-2", true, true, false, false, nil)
	p.must(err)
	p.must(p.channel().Qos(7, 0, true))

	tx := p.channel()
	p.must(tx.Tx())
	p.must(tx.PublishWithContext(t.Context(), "", "orders", false, false, amqp.Publishing{Body: []byte("hello")}))
	_, _, err = tx.Get("qq", true) // answered behind the publish
	p.must(err)

	golden(t, "connections.txt", d.transcript(
		"list_connections user state protocol vhost channels timeout frame_max channel_max auth_mechanism ssl host peer_host name",
		"list_channels pid connection name number user vhost transactional confirm consumer_count messages_unacknowledged messages_uncommitted acks_uncommitted messages_unconfirmed prefetch_count global_prefetch_count",
		"list_channels", "list_consumers", "list_consumers queue_name active activity_status exclusive", "list_consumers --formatter json",
		"list_queues name messages_ready messages_unacknowledged consumers exclusive_consumer_pid exclusive_consumer_tag",
		"delete_queue orders --if-unused", "delete_queue orders --if-empty",
	))

	d.run("list_connections", "client_properties")
	for _, part := range []string{`{"connection_name","peer-1"}`, `{"product","peer"}`, `{"n",3}`, `{"capabilities",[{"`} {
		if !strings.Contains(d.out.String(), part) {
			t.Errorf("no %s in %s", part, d.out.String())
		}
	}
	if code := d.run("list_connections", "-s", "pid", "recv_oct", "recv_cnt", "send_oct", "send_cnt", "connected_at"); code != exitOK {
		t.Fatal(code, d.errs.String())
	}
	f := strings.Fields(d.out.String())
	if len(f) != 6 || !regexp.MustCompile(`^<rabbit@node-01\.\d{10}\.\d+\.0>$`).MatchString(f[0]) {
		t.Fatalf("printed %q", f)
	}
	for i, text := range f[1:] {
		if text == "0" {
			t.Errorf("column %d is 0", i+2)
		}
	}

	// Closing tells the client why.
	d.wants(exitOK, "Closing connection "+f[0]+", reason: because...\n", "", "close_connection", f[0], "because")
	if e := <-p.closed; e == nil || e.Code != amqp.ConnectionForced || e.Reason != "CONNECTION_FORCED - because" {
		t.Errorf("the client is told %v", e)
	}
	d.wants(exitOK, "", "", "-q", "close_connection", f[0], "because") // it is gone
	d.wants(exitUnavailable, "", "Error:\nError:\n{:invalid_pid_syntax, \"xyz\"}\n", "-q", "close_connection", "xyz", "because")
}

func TestCloseAllConnections(t *testing.T) {
	d, url := nodeDesk(t)
	ps := []*peer{dial(t, url), dial(t, url), dial(t, url)}
	told := func(n int) {
		t.Helper()
		for range n {
			var e *amqp.Error
			select {
			case e = <-ps[0].closed:
				ps[0].closed = nil
			case e = <-ps[1].closed:
				ps[1].closed = nil
			case e = <-ps[2].closed:
				ps[2].closed = nil
			case <-time.After(20 * time.Second):
				t.Fatal("nobody is told")
			}
			if e == nil || e.Reason != "CONNECTION_FORCED - go" {
				t.Errorf("a client is told %v", e)
			}
		}
	}
	d.wants(exitOK, "Closing 1 connections in vhost /, reason: go...\nClosed 1 connections\n", "", "close_all_connections", "--vhost", "/", "--limit", "1", "go")
	told(1)
	d.wants(exitOK, "Closing connections of user nobody, reason: go...\n", "", "close_all_user_connections", "nobody", "go")
	d.wants(exitOK, "Closing all connections in vhost nope, reason: go...\nClosed 0 connections\n", "", "close_all_connections", "-p", "nope", "go")
	ps = append(ps, dial(t, url))
	for deadline := time.Now().Add(20 * time.Second); ; { // the one that was told is let go
		d.run("-s", "list_connections", "pid")
		if strings.Count(d.out.String(), "\n") == 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("listed are\n%s", d.out.String())
		}
	}
	if code := d.run("close_all_connections", "--global", "--per-connection-delay", "1", "go"); code != exitOK || !strings.HasPrefix(d.out.String(), "Closing all connections on node rabbit@node-01, reason: go...\nClosed 3 ") {
		t.Errorf("%d %s%s", code, d.out.String(), d.errs.String())
	}
	told(2)
	if e := <-ps[3].closed; e == nil {
		t.Error("the last client is told nothing")
	}
	if code := d.run("close_all_connections", "--limit", "x", "go"); code != exitUsage {
		t.Error(code)
	}
	if _, err := amqp.Dial(url); errors.Is(err, amqp.ErrClosed) {
		t.Error("nobody gets in any more")
	}
}

// To look at a node does not stop it, and what is seen while it works is whole.
func TestListUnderTraffic(t *testing.T) {
	d, url := nodeDesk(t)
	p := dial(t, url)
	topology(t, p)
	got, err := p.channel().Consume("orders", "ctag-1", true, false, false, false, nil)
	p.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { // publishes, and opens and closes channels and connections
		for ctx.Err() == nil {
			c, err := amqp.Dial(url)
			if err != nil {
				t.Error(err)
				return
			}
			for range 3 {
				ch, err := c.Channel()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = ch.Consume("qq", "", false, false, false, false, nil)
				for range 20 {
					_ = ch.PublishWithContext(ctx, "", "orders", false, false, amqp.Publishing{Body: []byte("hello")})
				}
				_ = ch.Close()
			}
			_ = c.Close()
		}
	})
	work.Go(func() {
		for {
			select {
			case <-got:
			case <-ctx.Done():
				return
			}
		}
	})
	for range 5 {
		for _, line := range []string{
			"list_queues -s name messages consumers", "list_connections -s pid state channels recv_oct send_oct client_properties",
			"list_channels -s pid consumer_count messages_unacknowledged messages_unconfirmed", "list_consumers -s",
		} {
			if code := d.run(strings.Fields(line)...); code != exitOK {
				t.Fatalf("%s: %d %s", line, code, d.errs.String())
			}
			fields := len(strings.Fields(line)) - 2
			for row := range strings.Lines(d.out.String()) {
				if n := strings.Count(row, "\t"); fields > 0 && n != fields-1 && !strings.HasPrefix(row, "tab") {
					t.Errorf("%s: row %q", line, row)
				}
			}
		}
	}
	cancel()
	work.Wait()
}

// Who waits behind a single active consumer is shown to wait.
func TestSingleActiveConsumers(t *testing.T) {
	d, url := nodeDesk(t)
	p := dial(t, url)
	ch := p.channel()
	_, err := ch.QueueDeclare("one", true, false, false, false, amqp.Table{"x-single-active-consumer": true})
	p.must(err)
	for _, tag := range []string{"first", "second"} {
		_, err := ch.Consume("one", tag, false, false, false, false, nil)
		p.must(err)
	}
	d.wants(exitOK, "first\ttrue\tsingle_active\nsecond\tfalse\twaiting\n", "", "-s", "list_consumers", "consumer_tag", "active", "activity_status")
	d.wants(exitOK, "one\t2\tfirst\n", "", "-s", "list_queues", "name", "consumers", "exclusive_consumer_tag")
	p.must(ch.Cancel("first", false))
	d.wants(exitOK, "second\ttrue\tsingle_active\n", "", "-s", "list_consumers", "consumer_tag", "active", "activity_status")
}
