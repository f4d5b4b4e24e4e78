package amqp091

import (
	"errors"
	"fmt"
	"time"

	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/protocol"
	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// openTimeout is how long a client that logged in has to open its connection.
const openTimeout = 10 * time.Second

// Clients branch on product and version: kombu, for one, reads from them what
// basic.qos means. We name the dialect we speak there, and ourselves beside it.
const (
	compatProduct = "RabbitMQ"
	compatVersion = "3.13.7"
)

// mechanisms are those that this peer may log in by.
func (c *conn) mechanisms() string {
	m := "PLAIN AMQPLAIN"
	if c.in.CertUser != "" {
		m += " EXTERNAL"
	}
	if c.in.Anonymous != "" {
		m += " ANONYMOUS"
	}
	return m
}

// credentials reads what a peer shows by a mechanism that it was offered.
func (c *conn) credentials(m *wire.ConnectionStartOK) (cred wire.Credentials, proven bool, err error) {
	switch {
	case m.Mechanism == "PLAIN":
		cred, err = wire.ParsePlain([]byte(m.Response))
	case m.Mechanism == "AMQPLAIN":
		cred, err = wire.ParseAMQPlain([]byte(m.Response))
	case m.Mechanism == "EXTERNAL" && c.in.CertUser != "":
		return wire.Credentials{User: c.in.CertUser}, true, nil
	case m.Mechanism == "ANONYMOUS" && c.in.Anonymous != "":
		return wire.Credentials{User: c.in.Anonymous}, true, nil
	default:
		err = &wire.Error{
			Code: wire.CodeCommandInvalid, Method: wire.IDConnectionStartOK,
			Text: fmt.Sprintf("unknown authentication mechanism '%.64s'", m.Mechanism),
		}
	}
	return cred, false, err
}

func (c *conn) start() {
	yes := wire.Bool(true)
	caps := wire.Table{
		{Key: "publisher_confirms", Value: yes},
		{Key: "exchange_exchange_bindings", Value: yes},
		{Key: "basic.nack", Value: yes},
		{Key: "consumer_cancel_notify", Value: yes},
		{Key: "connection.blocked", Value: yes},
		{Key: "consumer_priorities", Value: yes},
		{Key: "authentication_failure_close", Value: yes},
		{Key: "per_consumer_qos", Value: yes},
		{Key: "direct_reply_to", Value: yes},
	}
	o := &c.f.o
	properties := wire.Table{
		{Key: "capabilities", Value: wire.TableOf(caps)},
		{Key: "cluster_name", Value: wire.String(o.ClusterName())},
		{Key: "copyright", Value: wire.String("Copyright the Warren authors")},
		{Key: "information", Value: wire.String("Warren, licensed under the Apache License 2.0")},
		{Key: "platform", Value: wire.String("Warren " + o.Version)},
		{Key: "product", Value: wire.String(compatProduct)},
		{Key: "version", Value: wire.String(compatVersion)},
	}
	if o.Node != "" {
		properties = append(properties, wire.Field{Key: "node", Value: wire.String(o.Node)})
	}
	c.send(&wire.ConnectionStart{
		VersionMajor: 0, VersionMinor: 9, Mechanisms: c.mechanisms(), Locales: "en_US",
		ServerProperties: properties,
	})
}

// connectionMethod handles a method on channel 0.
func (c *conn) connectionMethod(payload []byte) error {
	id, args, err := wire.SplitMethod(payload)
	if err != nil {
		return err
	}
	switch {
	case id == wire.IDConnectionClose:
		return c.peerCloses()
	case id == wire.IDConnectionStartOK && c.state == wantStartOK:
		return c.startOK(args)
	case id == wire.IDConnectionTuneOK && c.state == wantTuneOK:
		return c.tuneOK(args)
	case id == wire.IDConnectionOpen && c.state == wantOpen:
		return c.open(args)
	case id == wire.IDConnectionUpdateSecret && c.state == running:
		return c.updateSecret(args)
	case !id.Known():
		return &wire.Error{Code: wire.CodeCommandInvalid, Text: "unimplemented method", Method: id}
	}
	return &wire.Error{Code: wire.CodeChannelError, Text: "unexpected method in connection state " + c.state.String(), Method: id}
}

// peerCloses answers connection.close, after what was published before it was
// handed over, what was settled is committed and exclusive queues are gone.
func (c *conn) peerCloses() error {
	if err := c.flush(); err != nil {
		return err
	}
	if err := c.unpark(); err != nil {
		return err
	}
	if c.state == closing { // for a fault in what was parked
		c.send(&wire.ConnectionCloseOK{})
		c.state = closed
		return nil
	}
	for _, ch := range c.channels {
		if err := ch.settlePublishes(); err != nil {
			return err
		}
	}
	c.dropChannels()
	if err := c.awaitSettled(); err != nil {
		return err
	}
	if c.session != nil {
		c.session.Close()
	}
	c.send(&wire.ConnectionCloseOK{})
	c.state = closed
	return nil
}

func (c *conn) startOK(args []byte) error {
	var m wire.ConnectionStartOK
	if err := m.Decode(args); err != nil {
		return err
	}
	cred, proven, err := c.credentials(&m)
	if err != nil {
		return err
	}
	if t, ok := m.ClientProperties.Get("capabilities"); ok {
		if t, ok := t.Table(); ok {
			c.caps.cancelNotify = isTrue(t, "consumer_cancel_notify")
			c.caps.authFailureClose = isTrue(t, "authentication_failure_close")
			c.caps.blocked = isTrue(t, "connection.blocked")
		}
	}
	name := ""
	if v, ok := m.ClientProperties.Get("connection_name"); ok {
		name, _ = v.Text()
	}
	ident, err := c.f.o.Broker.Login(c.ctx, broker.Credentials{User: cred.User, Password: secret.New(string(cred.Password)), Peer: c.in.Peer, Mechanism: m.Mechanism, Proven: proven})
	switch {
	case err != nil && c.ctx.Err() != nil:
		return err // nobody was refused: the node goes
	case err != nil:
		return c.refuse(m.Mechanism, cred.User, err)
	}
	c.session = c.f.o.Broker.NewSession(ident, broker.SessionInfo{Peer: c.in.Peer, Protocol: "AMQP 0-9-1", Name: name, Listener: c.in.Listener, End: c.end})
	c.seen.mechanism, c.seen.props = m.Mechanism, kept(m.ClientProperties)
	protocol.Authenticated(c.nc)
	c.closeBy(openTimeout) // the budget before login is lifted, the handshake goes on
	c.state = wantTuneOK
	c.send(&wire.ConnectionTune{ChannelMax: c.f.o.ChannelMax, FrameMax: c.f.o.FrameMax, Heartbeat: uint16(c.f.o.Heartbeat / time.Second)})
	return nil
}

// updateSecret answers that the new secret counts, as RabbitMQ does for every
// user of its own database: a password does not expire, so the session has
// nothing to renew and asks nobody. To check it would let who is logged in try
// passwords without being slowed.
func (c *conn) updateSecret(args []byte) error {
	var m wire.ConnectionUpdateSecret
	if err := m.Decode(args); err != nil {
		return err
	}
	c.send(&wire.ConnectionUpdateSecretOK{})
	return nil
}

func isTrue(t wire.Table, key string) bool {
	v, ok := t.Get(key)
	if !ok {
		return false
	}
	b, ok := v.Bool()
	return ok && b
}

// refuse ends a login that failed: with a word if the client asked for one.
func (c *conn) refuse(mechanism, user string, err error) error {
	c.log.Warn("login refused", "peer", c.in.Peer.String(), "user", fmt.Sprintf("%.64q", user), "err", err)
	if !c.caps.authFailureClose {
		return errPeerGone
	}
	return &wire.Error{
		Code: wire.CodeAccessRefused,
		Text: fmt.Sprintf("Login was refused using authentication mechanism %s. For details see the broker logfile.", mechanism),
	}
}

func (c *conn) tuneOK(args []byte) error {
	var m wire.ConnectionTuneOK
	if err := m.Decode(args); err != nil {
		return err
	}
	o := &c.f.o
	if err := negotiated("channel_max", uint32(m.ChannelMax), uint32(o.ChannelMax), 1); err != nil {
		return err
	}
	if err := negotiated("frame_max", m.FrameMax, o.FrameMax, minFrameMax); err != nil {
		return err
	}
	c.chanMax, c.frameMax = m.ChannelMax, m.FrameMax
	c.out.setFrameMax(m.FrameMax)
	c.heartbeat = time.Duration(m.Heartbeat) * time.Second
	if c.heartbeat > 0 {
		c.beat = time.AfterFunc(time.Hour, c.onBeat)
		c.beat.Reset(c.heartbeat / 2) // it reads c.beat
	}
	c.state = wantOpen
	return nil
}

// minFrameMax is the least that 0-9-1 allows; old clients ask for it.
const minFrameMax = wire.FrameFloor

// negotiated checks a value of tune-ok: 0 asks for no limit, which exceeds ours.
func negotiated(name string, got, limit, least uint32) error {
	switch {
	case got == 0 || got > limit:
		return &wire.Error{
			Code: wire.CodeNotAllowed, Method: wire.IDConnectionTuneOK,
			Text: fmt.Sprintf("negotiated %s = %d is higher than the maximum allowed value (%d)", name, got, limit),
		}
	case got < least:
		return &wire.Error{
			Code: wire.CodeNotAllowed, Method: wire.IDConnectionTuneOK,
			Text: fmt.Sprintf("negotiated %s = %d is lower than the minimum allowed value (%d)", name, got, least),
		}
	}
	return nil
}

func (c *conn) open(args []byte) error {
	var m wire.ConnectionOpen
	if err := m.Decode(args); err != nil {
		return err
	}
	if err := c.session.Open(c.ctx, m.VirtualHost); err != nil {
		we := hardError(err, wire.IDConnectionOpen)
		var be *broker.Error
		if errors.As(err, &be) {
			switch be.Kind {
			case broker.OverLimit:
				we.Code = wire.CodeNotAllowed
			case broker.NotFound:
				we.Code, we.Text = wire.CodeNotAllowed, fmt.Sprintf("vhost %s not found", m.VirtualHost)
			case broker.Denied:
				we.Code, we.Text = wire.CodeNotAllowed, fmt.Sprintf("access to vhost '%s' refused for user '%s'", m.VirtualHost, be.User)
			}
		}
		return we
	}
	c.channels = map[uint16]*channel{}
	c.state = running
	c.readOn()
	c.session.Show(c)
	c.send(&wire.ConnectionOpenOK{})
	c.log.Info("connection open", "peer", c.in.Peer.String(), "user", c.session.User(), "vhost", m.VirtualHost)
	return nil
}

// onBeat runs twice per heartbeat interval, on a timer's goroutine.
func (c *conn) onBeat() {
	if c.served.Load() {
		return
	}
	wrote := c.wrote.Swap(false)
	// While the broker makes the reader wait, or the client makes the writer
	// wait, nothing is read: that is no sign of a dead client, unless it takes
	// nothing either.
	at := c.at.Load()
	alive := c.readSince.Swap(false) || at == handling || at == draining && wrote
	if alive {
		c.silent = 0
	} else if c.silent++; c.silent >= 4 {
		c.log.Warn("connection closed: missed heartbeats from client", "peer", c.in.Peer.String())
		c.out.kill()
		_ = c.nc.Close() // the peer does not answer: nothing is left to say
		return
	}
	if !wrote {
		c.out.beat(c)
	}
	c.beat.Reset(c.heartbeat / 2)
	if c.served.Load() {
		c.beat.Stop()
	}
}
