package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// Options say how to reach a server and as whom.
type Options struct {
	// Addr is host:port.
	Addr string
	// TLS asks for TLS. The server's name is checked against ServerName, or
	// against Addr's host when that is empty; versions below 1.2 are not
	// spoken. Nil is plain TCP.
	TLS *tls.Config

	User     string
	Password wire.Secret
	// External logs in with the certificate in TLS instead of User and
	// Password.
	External bool
	// VHost is the virtual host; "" is "/".
	VHost string

	// ConnectionName is shown in the server's lists of connections.
	ConnectionName string
	// Properties are told to the server besides our own.
	Properties wire.Table

	// Heartbeat is the interval we propose; the lower one of both sides' is
	// used. Zero is 60 s, negative is none.
	Heartbeat time.Duration
	// FrameMax is the greatest frame we accept, 0 is 128 KiB, at least 8 KiB.
	FrameMax uint32
	// ChannelMax is the greatest channel number, 0 is 2047.
	ChannelMax uint16
	// MaxMessage is the greatest body we accept in bytes, 0 is 512 MiB.
	MaxMessage uint64
	// HandshakeTimeout bounds Dial when its context does not; 0 is 10 s.
	HandshakeTimeout time.Duration
	// CloseTimeout bounds Close when its context does not; 0 is 5 s.
	CloseTimeout time.Duration

	// OnBlocked is called when the server stops or resumes taking publishes.
	OnBlocked func(Blocked)

	// Dialer opens the connection; nil is TCP.
	Dialer func(ctx context.Context, addr string) (net.Conn, error)
	// Now is the clock for write deadlines; nil is time.Now.
	Now func() time.Time
	// Tick starts the ticks of the heartbeat; nil is time.NewTicker.
	Tick func(time.Duration) (ticks <-chan time.Time, stop func())
}

// Blocked says whether the server takes publishes on this connection.
type Blocked struct {
	Active bool
	Reason string
}

func (o Options) withDefaults() Options {
	if o.VHost == "" {
		o.VHost = "/"
	}
	setZero(&o.Heartbeat, 60*time.Second)
	setZero(&o.FrameMax, wire.DefaultFrameMax)
	setZero(&o.ChannelMax, 2047)
	setZero(&o.MaxMessage, 512<<20)
	setZero(&o.HandshakeTimeout, 10*time.Second)
	setZero(&o.CloseTimeout, 5*time.Second)
	if o.Dialer == nil {
		o.Dialer = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tick == nil {
		o.Tick = func(d time.Duration) (<-chan time.Time, func()) {
			t := time.NewTicker(d)
			return t.C, t.Stop
		}
	}
	return o
}

func setZero[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Validate reports all faults at once.
func (o Options) Validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(o.Addr); err != nil {
		errs = append(errs, fmt.Errorf("addr: %w", err))
	}
	if o.FrameMax != 0 && o.FrameMax < wire.FrameMinSize {
		errs = append(errs, fmt.Errorf("frame max %d is below %d", o.FrameMax, wire.FrameMinSize))
	}
	if o.Heartbeat > math.MaxUint16*time.Second {
		errs = append(errs, fmt.Errorf("heartbeat %v does not fit", o.Heartbeat))
	}
	if o.Heartbeat > 0 && o.Heartbeat < time.Second {
		errs = append(errs, fmt.Errorf("heartbeat %v is below a second", o.Heartbeat))
	}
	if len(o.VHost) > 255 {
		errs = append(errs, errors.New("vhost is longer than 255 bytes"))
	}
	if o.External && o.TLS == nil {
		errs = append(errs, errors.New("external login needs TLS"))
	}
	if !o.External && o.User == "" {
		errs = append(errs, errors.New("user is empty"))
	}
	return errors.Join(errs...)
}

// tlsConfig returns the configuration to dial with.
func (o Options) tlsConfig() *tls.Config {
	c := o.TLS.Clone()
	if c.ServerName == "" {
		c.ServerName, _, _ = net.SplitHostPort(o.Addr)
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	return c
}
