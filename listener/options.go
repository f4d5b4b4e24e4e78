package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/warrenmq/warren/protocol"
)

// Defaults of Options and of GateOptions.
const (
	DefaultLoginBytes     = 64 << 10
	DefaultLoginTime      = 10 * time.Second
	DefaultGrace          = 5 * time.Second
	DefaultMaxConnections = 65536
	DefaultMaxHalfOpen    = 4096
)

// A Network opens listening sockets. *net.ListenConfig is one.
type Network interface {
	Listen(ctx context.Context, network, address string) (net.Listener, error)
}

// A Clock tells the time and wakes a waiting accept loop.
type Clock interface {
	Now() time.Time
	After(d time.Duration) <-chan time.Time
}

// Options describe one listener. Only Name, Addr, Frontends and Gate must be
// set; the zero value of everything else means its default.
type Options struct {
	// Name is the name of the listener in logs, settings and ports.json.
	Name string
	// Addr is host:port; port 0 takes a free one.
	Addr string
	// Frontends are the protocols served here. One: the listener is that
	// protocol's own. Several: the first bytes of a connection choose.
	Frontends []protocol.Frontend
	// TLS, when set, is spoken by every connection, or, with PlainToo, by those
	// that begin with a TLS ClientHello.
	TLS *tls.Config
	// PlainToo lets connections in that do not speak TLS.
	PlainToo bool
	// CertUser says which part of a client's certificate names the user.
	// Default: the distinguished name.
	CertUser CertUser
	// Anonymous, when set, is the user that a client may be without showing
	// anything (SASL ANONYMOUS).
	Anonymous string
	// Proxy says whose headers of the PROXY protocol are believed. Default:
	// nobody's.
	Proxy Proxy
	// Gate holds the limits this listener shares with the node's others.
	Gate *Gate
	// MaxConnections bounds the connections of this listener alone.
	// Default: no bound but the gate's.
	MaxConnections int
	// LoginBytes and LoginTime are what a connection may cost before
	// protocol.Authenticated is called. Defaults: 64 KiB and 10 s.
	LoginBytes int
	LoginTime  time.Duration
	// Grace is how long frontends may take to say goodbye. Default: 5 s.
	Grace time.Duration
	// Serving says whether the node may serve clients now. It is asked after each
	// read and before each write; see protocol.ErrFenced. Default: it always may.
	Serving func() bool
	// Network opens the socket. Default: TCP of the machine.
	Network Network
	// Clock is the time. Default: the machine's.
	Clock Clock
	// Logger takes the listener's log lines. Default: none are written.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.LoginBytes == 0 {
		o.LoginBytes = DefaultLoginBytes
	}
	if o.LoginTime == 0 {
		o.LoginTime = DefaultLoginTime
	}
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.Network == nil {
		o.Network = &net.ListenConfig{}
	}
	if o.Clock == nil {
		o.Clock = machineClock{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Validate reports every fault of the options at once.
func (o Options) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("listener %s: "+format, append([]any{o.Name}, args...)...))
		}
	}
	fault(o.Name == "", "has no name")
	fault(len(o.Frontends) == 0, "serves no protocol")
	fault(o.Gate == nil, "has no gate")
	if err := o.Proxy.Validate(); err != nil {
		fault(true, "%w", err)
	}
	fault(o.MaxConnections < 0, "max connections is %d, must not be negative", o.MaxConnections)
	fault(o.LoginBytes < 0, "login bytes is %d, must not be negative", o.LoginBytes)
	fault(o.LoginTime < 0, "login time is %s, must not be negative", o.LoginTime)
	fault(o.Grace < 0, "grace is %s, must not be negative", o.Grace)
	return errors.Join(faults...)
}

type machineClock struct{}

func (machineClock) Now() time.Time                         { return time.Now() }
func (machineClock) After(d time.Duration) <-chan time.Time { return time.After(d) }
