package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// Dial connects, logs in and opens the virtual host. The context bounds all of
// it and has no meaning afterwards.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("client: options: %w", err)
	}
	o = o.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, o.HandshakeTimeout)
	defer cancel()
	nc, err := o.Dialer(ctx, o.Addr)
	if err != nil {
		return nil, fmt.Errorf("client: dialling %s: %w", o.Addr, err)
	}
	c, err := login(ctx, o, nc)
	if err != nil {
		_ = nc.Close() // the error that matters is at hand
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("client: logging in at %s: %w", o.Addr, err)
	}
	c.start()
	return c, nil
}

// past is a deadline that is over: it ends reads and writes under way.
func past() time.Time { return time.Unix(1, 0) }

func login(ctx context.Context, o Options, nc net.Conn) (*Conn, error) {
	if o.TLS != nil {
		t := tls.Client(nc, o.tlsConfig())
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		nc = t
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(past()) })
	defer stop()
	c := newConn(o, nc)
	if err := c.handshake(); err != nil {
		return nil, err
	}
	if !stop() {
		return nil, ctx.Err()
	}
	return c, nil
}

// handshake runs alone, before any goroutine.
func (c *Conn) handshake() error {
	if _, err := c.conn.Write([]byte(wire.Header091)); err != nil {
		return fmt.Errorf("protocol header: %w", err)
	}
	if err := c.refusedHeader(); err != nil {
		return err
	}
	start, err := expect[wire.ConnectionStart](c)
	if err != nil {
		return err
	}
	ok, err := c.startOK(start)
	if err != nil {
		return err
	}
	if err := c.write(ok); err != nil {
		return err
	}
	tune, err := expect[wire.ConnectionTune](c)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the server hung up, which is how some refuse a password: %w", err)
	}
	if err != nil {
		return err
	}
	tuneOK, err := c.tune(tune)
	if err != nil {
		return err
	}
	if err := c.write(tuneOK); err != nil {
		return err
	}
	if err := c.write(&wire.ConnectionOpen{VirtualHost: c.opts.VHost}); err != nil {
		return err
	}
	_, err = expect[wire.ConnectionOpenOK](c)
	return err
}

// refusedHeader reads the first bytes: a server that does not speak our version
// answers with the header it does speak.
func (c *Conn) refusedHeader() error {
	for c.in.to < wire.HeaderLen {
		switch wire.ParseProtocol(c.in.buf[:c.in.to]) {
		case wire.ProtocolPartial:
		case wire.ProtocolUnknown:
			return nil
		}
		if err := c.in.fill(); err != nil {
			return err
		}
	}
	if p := wire.ParseProtocol(c.in.buf[:c.in.to]); p != wire.ProtocolUnknown {
		return fmt.Errorf("the server does not speak AMQP 0-9-1 but %v", p)
	}
	return nil
}

func (c *Conn) startOK(start *wire.ConnectionStart) (*wire.ConnectionStartOK, error) {
	if start.VersionMajor != 0 || start.VersionMinor != 9 {
		return nil, fmt.Errorf("the server speaks AMQP %d-%d", start.VersionMajor, start.VersionMinor)
	}
	c.server = start.ServerProperties
	ok := &wire.ConnectionStartOK{Mechanism: "PLAIN", Locale: "en_US", ClientProperties: c.properties()}
	if c.opts.External {
		ok.Mechanism = "EXTERNAL"
	} else {
		login := wire.Credentials{User: c.opts.User, Password: c.opts.Password}
		ok.Response = wire.Secret(wire.AppendPlain(nil, login))
	}
	for _, m := range strings.Fields(start.Mechanisms) {
		if m == ok.Mechanism {
			return ok, nil
		}
	}
	return nil, fmt.Errorf("the server offers no login with %s but %q", ok.Mechanism, start.Mechanisms)
}

// properties are what we tell about ourselves. Servers branch on the
// capabilities.
func (c *Conn) properties() wire.Table {
	t := wire.Table{
		{Key: "product", Value: wire.String("warren")},
		{Key: "capabilities", Value: wire.TableOf(wire.Table{
			{Key: "publisher_confirms", Value: wire.Bool(true)},
			{Key: "basic.nack", Value: wire.Bool(true)},
			{Key: "consumer_cancel_notify", Value: wire.Bool(true)},
			{Key: "connection.blocked", Value: wire.Bool(true)},
			{Key: "authentication_failure_close", Value: wire.Bool(true)},
		})},
	}
	if c.opts.ConnectionName != "" {
		t = append(t, wire.Field{Key: "connection_name", Value: wire.String(c.opts.ConnectionName)})
	}
	return append(t, c.opts.Properties...)
}

// tune takes the lower of both sides' limits.
func (c *Conn) tune(t *wire.ConnectionTune) (*wire.ConnectionTuneOK, error) {
	if t.FrameMax != 0 && t.FrameMax < wire.FrameMinSize {
		return nil, fmt.Errorf("the server's frame-max %d is below %d", t.FrameMax, wire.FrameMinSize)
	}
	ours := uint16(0)
	if c.opts.Heartbeat > 0 {
		ours = uint16(min(c.opts.Heartbeat/time.Second, math.MaxUint16))
	}
	ok := &wire.ConnectionTuneOK{
		ChannelMax: lower(t.ChannelMax, c.opts.ChannelMax),
		FrameMax:   lower(t.FrameMax, c.opts.FrameMax),
	}
	if ours > 0 {
		ok.Heartbeat = lower(t.Heartbeat, ours)
	}
	c.frameMax, c.channelMax = ok.FrameMax, ok.ChannelMax
	c.heartbeat = time.Duration(ok.Heartbeat) * time.Second
	c.in.limit = ok.FrameMax
	return ok, nil
}

// lower returns the lower of both, where 0 from the server is no limit.
func lower[T uint16 | uint32](server, ours T) T {
	if server == 0 {
		return ours
	}
	return min(server, ours)
}

// write sends one method, before the goroutines run.
func (c *Conn) write(m wire.Method) error {
	if err := m.Validate(); err != nil {
		return err
	}
	out := m.AppendFrame(nil, 0)
	if uint64(len(out)) > uint64(c.frameMax) {
		return fmt.Errorf("%v of %d bytes exceeds the frame limit", m.ID(), len(out))
	}
	if _, err := c.conn.Write(out); err != nil {
		return fmt.Errorf("sending %v: %w", m.ID(), err)
	}
	return nil
}

// expect waits for one method, before the goroutines run.
func expect[M any, P interface {
	*M
	wire.Method
}](c *Conn,
) (P, error) {
	want := P(new(M))
	for {
		f, err := c.in.wait()
		if err != nil {
			return nil, fmt.Errorf("waiting for %v: %w", want.ID(), err)
		}
		if f.Type == wire.FrameHeartbeat && f.Channel == 0 {
			continue
		}
		if f.Type != wire.FrameMethod || f.Channel != 0 {
			return nil, &violation{wire.UnexpectedFrame(f)}
		}
		m, err := wire.DecodeMethod(f.Payload)
		if err != nil {
			return nil, broken(err)
		}
		switch m := m.(type) {
		case P:
			return m, nil
		case *wire.ConnectionClose:
			_, _ = c.conn.Write((&wire.ConnectionCloseOK{}).AppendFrame(nil, 0)) // a courtesy
			return nil, closedBy(m.ReplyCode, m.ReplyText, wire.MakeID(m.ClassID, m.MethodID), 0)
		}
		return nil, violate(wire.CodeCommandInvalid, "%v instead of %v", m.ID(), want.ID())
	}
}

func closedBy(code wire.ReplyCode, text string, id wire.ID, channel uint16) *Error {
	return &Error{Code: code, Text: text, Method: id, Channel: channel}
}
