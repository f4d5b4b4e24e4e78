package ctl

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/warrenmq/warren/admin/client"
)

const operations = "Operations"

func connectionVerbs() []verb {
	connections := func(c *call) ([]column[client.Connection], error) {
		return choose(c, connectionColumns(), "user", "peer_host", "peer_port", "state")
	}
	channels := func(c *call) ([]column[client.Channel], error) {
		return choose(c, channelColumns(), "pid", "user", "consumer_count", "messages_unacknowledged")
	}
	consumers := func(c *call) ([]column[client.Consumer], error) {
		return choose(c, consumerColumns(), "queue_name", "channel_pid", "consumer_tag", "ack_required", "prefetch_count", "active", "arguments")
	}
	return []verb{
		{
			name: "list_connections", tools: ctl | diagnostics, group: monitoring, max: -1, timeout: listTime,
			short: "Lists AMQP 0.9.1 connections for the node", usage: "[--no-table-headers] [<column>, ...]",
			check:  func(c *call) error { _, err := connections(c); return err },
			banner: func(*call) string { return "Listing connections ..." },
			run: func(c *call) error {
				cols, err := connections(c)
				if err != nil {
					return err
				}
				return list(c, cols, c.node.Connections(c.ctx, client.ConnectionQuery{}))
			},
		},
		{
			name: "list_channels", tools: ctl | diagnostics, group: monitoring, max: -1, timeout: listTime,
			short: "Lists all channels in the node", usage: "[--no-table-headers] [<column>, ...]",
			check:  func(c *call) error { _, err := channels(c); return err },
			banner: func(*call) string { return "Listing channels ..." },
			run: func(c *call) error {
				cols, err := channels(c)
				if err != nil {
					return err
				}
				return list(c, cols, c.node.Channels(c.ctx, client.ConnectionQuery{}))
			},
		},
		{
			name: "list_consumers", tools: ctl | diagnostics, group: monitoring, max: -1, timeout: listTime,
			short: "Lists all consumers for a vhost", usage: "[--vhost <vhost>] [--no-table-headers] [<column>, ...]",
			check:  func(c *call) error { _, err := consumers(c); return err },
			banner: func(c *call) string { return fmt.Sprintf("Listing consumers in vhost %s ...", c.vhost) },
			run: func(c *call) error {
				cols, err := consumers(c)
				if err != nil {
					return err
				}
				return list(c, cols, c.node.Consumers(c.ctx, client.VHostQuery{VHost: c.vhost}))
			},
		},
	}
}

func closeVerbs() []verb {
	return []verb{
		{
			name: "close_connection", tools: ctl, group: operations, min: 2, max: 2,
			short: "Instructs the broker to close the connection associated with the process id", usage: "<connection pid> <explanation>",
			banner: func(c *call) string {
				return fmt.Sprintf("Closing connection %s, reason: %s...", c.args[0], c.args[1])
			},
			run: (*call).closeConnection,
		},
		{
			name: "close_all_connections", tools: ctl, group: operations, min: 1, max: 1,
			short:   "Instructs the broker to close all connections for the specified vhost or entire node",
			usage:   "[--vhost <vhost> --limit <limit>] [-n <node> --global] [--per-connection-delay <delay>] <explanation>",
			options: []option{own("global", ""), own("limit", "limit"), own("per-connection-delay", "milliseconds")},
			check:   func(c *call) error { _, _, err := c.pace(); return err },
			banner:  (*call).closeAllBanner,
			run:     (*call).closeAll,
		},
		{
			name: "close_all_user_connections", tools: ctl, group: operations, min: 2, max: 2,
			short: "Instructs the broker to close all connections of the specified user", usage: "<username> <explanation>",
			banner: func(c *call) string {
				return fmt.Sprintf("Closing connections of user %s, reason: %s...", c.args[0], c.args[1])
			},
			run: func(c *call) error {
				_, err := c.node.CloseConnections(c.ctx, client.CloseConnections{User: c.args[0], Reason: c.args[1]})
				return err
			},
		},
	}
}

func connectionColumns() []column[client.Connection] {
	return append([]column[client.Connection]{
		{"pid", func(x *client.Connection) any { return pid(x.PID) }},
		{"name", func(x *client.Connection) any { return x.Name }},
		{"port", func(x *client.Connection) any { return x.Port }},
		{"host", func(x *client.Connection) any { return x.Host }},
		{"peer_port", func(x *client.Connection) any { return x.PeerPort }},
		{"peer_host", func(x *client.Connection) any { return x.PeerHost }},
		{"ssl", func(x *client.Connection) any { return x.TLS }},
		{"ssl_protocol", func(x *client.Connection) any { return x.TLSVersion }},
		{"ssl_key_exchange", func(x *client.Connection) any { return cipher(x, 0) }},
		{"ssl_cipher", func(x *client.Connection) any { return cipher(x, 1) }},
		{"ssl_hash", func(x *client.Connection) any { return cipher(x, 2) }},
		{"peer_cert_subject", func(x *client.Connection) any { return x.PeerCertSubject }},
		{"peer_cert_issuer", func(x *client.Connection) any { return x.PeerCertIssuer }},
		{"peer_cert_validity", func(x *client.Connection) any { return x.PeerCertValidity }},
	}, sessionColumns()...)
}

func sessionColumns() []column[client.Connection] {
	return []column[client.Connection]{
		{"state", func(x *client.Connection) any { return atom(x.State) }},
		{"channels", func(x *client.Connection) any { return x.Channels }},
		{"protocol", func(x *client.Connection) any { return protocolVersion(x.Protocol) }},
		{"auth_mechanism", func(x *client.Connection) any { return x.AuthMechanism }},
		{"user", func(x *client.Connection) any { return x.User }},
		{"vhost", func(x *client.Connection) any { return x.VHost }},
		{"timeout", func(x *client.Connection) any { return x.HeartbeatSeconds }},
		{"frame_max", func(x *client.Connection) any { return x.FrameMax }},
		{"channel_max", func(x *client.Connection) any { return x.ChannelMax }},
		{"client_properties", func(x *client.Connection) any { return table(x.ClientProperties) }},
		{"recv_oct", func(x *client.Connection) any { return x.ReceivedBytes }},
		{"recv_cnt", func(x *client.Connection) any { return x.Reads }},
		{"send_oct", func(x *client.Connection) any { return x.SentBytes }},
		{"send_cnt", func(x *client.Connection) any { return x.Writes }},
		{"send_pend", func(x *client.Connection) any { return x.PendingBytes }},
		{"connected_at", func(x *client.Connection) any { return x.ConnectedAt }},
		{"user_provided_name", func(x *client.Connection) any { return x.ClientName }},
	}
}

// cipher takes a suite's name apart as RabbitMQ prints it: key exchange, cipher,
// hash. Those of TLS 1.3 name no key exchange.
func cipher(x *client.Connection, part int) string {
	exchange, rest, ok := strings.Cut(strings.TrimPrefix(x.TLSCipher, "TLS_"), "_WITH_")
	if !ok {
		exchange, rest = "any", exchange
	}
	at := strings.LastIndex(rest, "_")
	if x.TLSCipher == "" || at < 0 {
		return ""
	}
	return strings.ToLower([]string{exchange, rest[:at], rest[at+1:]}[part])
}

// protocolVersion is a protocol as RabbitMQ prints that of AMQP: {0,9,1}.
func protocolVersion(name string) any {
	var t tuple
	for part := range strings.SplitSeq(strings.TrimPrefix(name, "AMQP "), "-") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return name
		}
		t = append(t, n)
	}
	return t
}

func channelColumns() []column[client.Channel] {
	return []column[client.Channel]{
		{"pid", func(x *client.Channel) any { return pid(x.PID) }},
		{"connection", func(x *client.Channel) any { return pid(x.Connection) }},
		{"name", func(x *client.Channel) any { return x.Name }},
		{"number", func(x *client.Channel) any { return x.Number }},
		{"user", func(x *client.Channel) any { return x.User }},
		{"vhost", func(x *client.Channel) any { return x.VHost }},
		{"transactional", func(x *client.Channel) any { return x.Transactional }},
		{"confirm", func(x *client.Channel) any { return x.Confirm }},
		{"consumer_count", func(x *client.Channel) any { return x.Consumers }},
		{"messages_unacknowledged", func(x *client.Channel) any { return x.Unacked }},
		{"messages_uncommitted", func(x *client.Channel) any { return x.UncommittedMessages }},
		{"acks_uncommitted", func(x *client.Channel) any { return x.UncommittedAcks }},
		{"messages_unconfirmed", func(x *client.Channel) any { return x.Unconfirmed }},
		{"prefetch_count", func(x *client.Channel) any { return x.Prefetch }},
		{"global_prefetch_count", func(x *client.Channel) any { return x.GlobalPrefetch }},
	}
}

func consumerColumns() []column[client.Consumer] {
	return []column[client.Consumer]{
		{"queue_name", func(x *client.Consumer) any { return x.Queue }},
		{"channel_pid", func(x *client.Consumer) any { return pid(x.ChannelPID) }},
		{"consumer_tag", func(x *client.Consumer) any { return x.Tag }},
		{"ack_required", func(x *client.Consumer) any { return x.AckRequired }},
		{"prefetch_count", func(x *client.Consumer) any { return x.Prefetch }},
		{"active", func(x *client.Consumer) any { return x.Active }},
		{"activity_status", func(x *client.Consumer) any { return atom(x.Status) }},
		{"arguments", func(x *client.Consumer) any { return table(x.Arguments) }},
		{"exclusive", func(x *client.Consumer) any { return x.Exclusive }},
	}
}

func (c *call) closeConnection() error {
	_, err := c.node.CloseConnections(c.ctx, client.CloseConnections{PID: c.args[0], Reason: c.args[1]})
	switch client.KindOf(err) {
	case client.NotFound:
		return nil // it went by itself, as scripts find that list and close
	case client.Invalid:
		return c.failed(exitUnavailable, "Error:\n{:invalid_pid_syntax, %q}", c.args[0])
	}
	return err
}

// pace returns how many connections are to be closed at most, and the pause
// after each.
func (c *call) pace() (limit int, pause time.Duration, err error) {
	number := func(name string) (n int) {
		text, ok := c.opt(name)
		if !ok {
			return 0
		}
		if n, err = strconv.Atoi(text); err != nil || n < 0 {
			err = c.invalid(exitUsage, "Invalid options for this command:\n--%s : %s", name, text)
		}
		return n
	}
	limit = number("limit")
	if err == nil {
		pause = time.Duration(number("per-connection-delay")) * time.Millisecond
	}
	return limit, pause, err
}

func (c *call) closeAllBanner() string {
	limit, _, _ := c.pace() // checked before
	which := "all"
	if limit > 0 {
		which = strconv.Itoa(limit)
	}
	where := "in vhost " + c.vhost
	if c.is("global") {
		where = "on node " + c.self.Node
	}
	return fmt.Sprintf("Closing %s connections %s, reason: %s...", which, where, c.args[0])
}

func (c *call) closeAll() error {
	limit, pause, err := c.pace()
	if err != nil {
		return err
	}
	o := client.CloseConnections{VHost: c.vhost, Reason: c.args[0], Limit: limit}
	if c.is("global") {
		o.VHost, o.All = "", true
	}
	if pause > 0 {
		return c.closeSlowly(o, pause)
	}
	n, err := c.node.CloseConnections(c.ctx, o)
	if err != nil {
		return err
	}
	c.say("Closed %d connections", n.Connections)
	return nil
}

// closeSlowly closes those that are open now one by one, with a pause after
// each, so that they do not all come back at the same time.
func (c *call) closeSlowly(o client.CloseConnections, pause time.Duration) error {
	n := 0
	t := time.NewTimer(0)
	defer t.Stop()
	for x, err := range c.node.Connections(c.ctx, client.ConnectionQuery{VHost: o.VHost}) {
		if err != nil {
			return err
		}
		select {
		case <-t.C:
			t.Reset(pause)
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
		if _, err := c.node.CloseConnections(c.ctx, client.CloseConnections{PID: x.PID, Reason: o.Reason}); err == nil {
			n++
		} else if client.KindOf(err) != client.NotFound {
			return err
		}
		if n == o.Limit && n > 0 {
			break
		}
	}
	c.say("Closed %d connections", n)
	return nil
}
