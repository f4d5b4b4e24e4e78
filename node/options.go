package node

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/listener"
	"github.com/warrenmq/warren/storage"
)

// Options describe a node. Name, DataDir, Memory and SegmentBytes must be set
// (config derives the sizes from the machine); the zero value of everything else
// means its default.
type Options struct {
	// Name is the node's name within its cluster, as "rabbit@node-01".
	Name string
	// DataDir is the directory that this node alone uses. It is created if it
	// does not exist.
	DataDir string
	// Version is the program's version as clients and operators see it.
	Version string
	// Listen are the addresses to open.
	Listen []Listen
	// TLS is the certificate of the listeners that speak TLS.
	TLS listener.TLS
	// CertUser is which part of a client's certificate names the user. Default:
	// the distinguished name.
	CertUser listener.CertUser
	// Proxy says whose headers of the PROXY protocol are believed.
	Proxy listener.Proxy
	// Cluster is how the node meets others; the zero value: not at all.
	Cluster Cluster
	// Shards is how many shards the node's durable queues are spread over.
	// Default: 2.
	Shards int
	// StrictQueueType has a declaration fail if the queue exists with another
	// x-queue-type. Default: it is answered as if it were the same.
	StrictQueueType bool
	// SegmentBytes is the size of a segment of the log.
	SegmentBytes int64
	// Memory is what the node may hold in memory.
	Memory Memory
	// DiskFreeLimit is what has to be free on the disk; with less all publishers
	// wait. Default: what a round of checkpoints, two segments and a memtable take.
	DiskFreeLimit int64
	// Limits bound what clients may do.
	Limits Limits
	// Settings are the configuration that the other options were made of, and
	// ConfigFiles where it was read from: to be shown.
	Settings    []Setting
	ConfigFiles []string
	// Grace is how long clients get to leave when the node stops. Default: 5 s.
	Grace time.Duration
	// FirstUser is who may log in to a node that is started for the first time.
	FirstUser FirstUser
	// Announce is told the password of a user that was made with a random one.
	// It is the only place where it is said. Without it no such user can be made.
	Announce func(user string, password secret.String)

	// Operators is told of the node while it can be asked, and returns what ends
	// that. Default: the node opens a socket in its data directory.
	Operators func(admin.Operations) (leave func())

	// Checks are the open listeners over which the node's health is asked for.
	// Default: the node opens those of Listen, and closes them when it ends.
	Checks *Checks

	// Logger takes the node's log lines. Default: none are written.
	Logger *slog.Logger
	// FS is where the data directory lies. Default: the machine's.
	FS    vfs.FS
	modes bool // its files have modes
	// Network opens listening sockets. Default: TCP of the machine.
	Network listener.Network
	// Clock is what the listeners wait by. Default: the machine's.
	Clock listener.Clock
	// Wall is the wall clock, for showing and for seeding. Default: the
	// machine's.
	Wall func() time.Time
	// Exit ends the process with a status when the data can not be read or
	// written (74), or when a stop takes too long (1). It must not return.
	// Default: os.Exit.
	Exit func(status int)
}

// Listen is one address to open.
type Listen struct {
	// Protocol is one of Protocols.
	Protocol string
	// Addr is host:port; port 0 takes a free one.
	Addr string
	// MaxConnections bounds this listener's connections. Default:
	// Limits.MaxConnectionsPerListener.
	MaxConnections int
	// Anonymous, when set, is the user that clients of this listener may be
	// without showing anything.
	Anonymous string
	// Proxy is whether clients come through proxies. Default: Options.Proxy.Mode.
	Proxy listener.ProxyMode
}

// Memory divides a node's memory.
type Memory struct {
	// Budget is the whole: what the node aims to stay under.
	Budget int64
	// Entries bounds message bodies held in memory: half of it those of durable
	// queues, which are read from the disk beyond, half of it those of queues in
	// memory, whose publishers wait beyond.
	Entries int64
	// Memtable and Cache are Pebble's.
	Memtable, Cache int64
	// HighWatermark is what the node may hold before all publishers wait.
	// Default: 5/4 of Budget.
	HighWatermark int64
	// Machine is the memory there is, of which operators give fractions.
	// Default: 5/2 of Budget.
	Machine int64
}

// Limits bound what clients may do. Every one has a default.
type Limits struct {
	MaxConnections            int           // of the node; default 65,536
	MaxConnectionsPerListener int           // default: no bound but the node's
	MaxHalfOpen               int           // connections not logged in; default 4,096
	LoginBytes                int           // a connection may send before login; default 64 KiB
	LoginTime                 time.Duration // a connection has to log in; default 10 s
	FrameBytes                int           // of a protocol frame; default 128 KiB
	MessageBytes              int64         // of a message body; default 16 MiB, at most 128 MiB
	ChannelsPerConnection     int           // default 2,047
	MaxChannels               int           // of all connections; default: no bound
	MaxQueues                 int           // of the cluster; default: no bound
	Heartbeat                 time.Duration // suggested to clients; default 40 s
	// ConsumerTimeout is how long a delivery may be held unsettled; default 30
	// min, negative for ever.
	ConsumerTimeout time.Duration
}

// Defaults of Options.
const (
	DefaultShards       = 2
	DefaultFrameBytes   = 128 << 10
	DefaultMessageBytes = 16 << 20
	MaxMessageBytes     = 128 << 20
	DefaultChannels     = 2047
	// DefaultHeartbeat stays below half of the 100 s after which the load
	// balancers of our users cut an idle connection.
	DefaultHeartbeat = 40 * time.Second
	// DefaultConsumerTimeout is RabbitMQ's.
	DefaultConsumerTimeout = 30 * time.Minute
)

// MaxShards is how many shards a node may have.
const MaxShards = 64

// A Protocol is a name that a listener may have.
type Protocol struct {
	Name string
	// Port is the one its users know, 0 if there is none.
	Port int
	// TLS says that the listener speaks TLS throughout.
	TLS bool
	// Serves says that this version has a frontend for it.
	Serves bool
	// ByDefault says that it is open unless told otherwise.
	ByDefault bool
	// Health says that it tells how the node is, and serves no clients.
	Health bool
}

// Protocols returns every name a listener may have, in a fixed order.
func Protocols() []Protocol {
	return []Protocol{
		{Name: "amqp", Port: 5672, Serves: true, ByDefault: true},
		{Name: "amqps", Port: 5671, TLS: true, Serves: true},
		{Name: "mqtt", Port: 1883},
		{Name: "mqtts", Port: 8883, TLS: true},
		{Name: "stomp", Port: 61613},
		{Name: "stomps", Port: 61614, TLS: true},
		{Name: "openwire", Port: 61616},
		{Name: "openwires", Port: 61617, TLS: true},
		{Name: "ws", Port: 15675},
		{Name: "wss", Port: 15676, TLS: true},
		{Name: "http", Port: 15672, Serves: true, Health: true},
		{Name: "https", Port: 15671, TLS: true, Serves: true, Health: true},
		{Name: "metrics", Port: 15692},
		{Name: "cluster", Port: 25672, Serves: true},
		{Name: "auto", Serves: true},
	}
}

// LookupProtocol returns the protocol of that name.
func LookupProtocol(name string) (Protocol, bool) {
	all := Protocols()
	i := slices.IndexFunc(all, func(p Protocol) bool { return p.Name == name })
	if i < 0 {
		return Protocol{}, false
	}
	return all[i], true
}

func (o Options) withDefaults() Options {
	def(&o.Shards, DefaultShards)
	def(&o.Memory.HighWatermark, o.Memory.Budget/4*5)
	def(&o.Memory.Machine, o.Memory.Budget/2*5)
	def(&o.DiskFreeLimit, o.defaultDiskFreeLimit())
	def(&o.Limits.MaxConnections, listener.DefaultMaxConnections)
	def(&o.Limits.MaxHalfOpen, listener.DefaultMaxHalfOpen)
	def(&o.Limits.LoginBytes, listener.DefaultLoginBytes)
	def(&o.Limits.LoginTime, listener.DefaultLoginTime)
	def(&o.Limits.FrameBytes, DefaultFrameBytes)
	def(&o.Limits.MessageBytes, DefaultMessageBytes)
	def(&o.Limits.ChannelsPerConnection, DefaultChannels)
	def(&o.Limits.Heartbeat, DefaultHeartbeat)
	def(&o.Limits.ConsumerTimeout, DefaultConsumerTimeout)
	def(&o.Grace, listener.DefaultGrace)
	o.FirstUser = o.FirstUser.withDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS, o.modes = storage.PrivateFS(), true
	}
	if o.Network == nil {
		o.Network = &net.ListenConfig{}
	}
	if o.Version == "" {
		o.Version = "devel"
	}
	if o.Wall == nil {
		o.Wall = clock.NewReal().Now
	}
	if o.Exit == nil {
		o.Exit = os.Exit
	}
	return o
}

func def[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// nodeName is what a name may look like: it becomes part of file names and log
// lines.
const nodeName = `^[A-Za-z0-9_.-]{1,100}(@[A-Za-z0-9_.-]{1,150})?$`

// Validate reports every fault of the options at once. Zero values are
// defaults, and right.
func (o Options) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(!regexp.MustCompile(nodeName).MatchString(o.Name),
		"name is %q, must be like rabbit@node-01: letters, digits, '_', '.' and '-'", o.Name)
	fault(o.DataDir == "", "the data directory is not set")
	fault(o.Shards < 0 || o.Shards > MaxShards, "shards is %d, must be 1 to %d", o.Shards, MaxShards)
	fault(o.SegmentBytes < 1<<20, "segment size is %d bytes, must be at least 1 MiB", o.SegmentBytes)
	fault(o.Memory.Budget < 64<<20, "the memory budget is %d bytes, must be at least 64 MiB", o.Memory.Budget)
	fault(o.Memory.Entries <= 0 || o.Memory.Memtable <= 0 || o.Memory.Cache <= 0,
		"memory is %+v, every share must be positive", o.Memory)
	fault(o.Memory.Entries+o.Memory.Memtable+o.Memory.Cache > o.Memory.Budget,
		"memory is %+v, the shares must fit the budget", o.Memory)
	fault(o.Memory.HighWatermark < 0 || o.Memory.Machine < 0, "memory is %+v, must not be negative", o.Memory)
	fault(o.DiskFreeLimit < 0, "the free disk limit is %d bytes, must not be negative", o.DiskFreeLimit)
	fault(o.Grace < 0, "grace is %s, must not be negative", o.Grace)
	if err := o.memberOptions(1).Validate(); err != nil { // whatever its id
		faults = append(faults, err)
	}
	faults = append(faults, o.Limits.faults()...)
	faults = append(faults, o.FirstUser.faults()...)
	faults = append(faults, o.listenFaults()...)
	faults = append(faults, o.formFaults()...)
	return errors.Join(faults...)
}

func (l Limits) faults() (faults []error) {
	within := func(name string, v, least, most int64) {
		if v != 0 && (v < least || v > most) {
			faults = append(faults, fmt.Errorf("limit %s is %d, must be %d to %d", name, v, least, most))
		}
	}
	within("max connections", int64(l.MaxConnections), 1, 1<<20)
	within("max connections per listener", int64(l.MaxConnectionsPerListener), 1, 1<<20)
	within("max half-open", int64(l.MaxHalfOpen), 1, 1<<20)
	within("login bytes", int64(l.LoginBytes), 4096, 1<<20)
	within("login time (ms)", l.LoginTime.Milliseconds(), 100, 600_000)
	within("frame bytes", int64(l.FrameBytes), 4096, 16<<20)
	within("message bytes", l.MessageBytes, 1024, MaxMessageBytes)
	within("channels per connection", int64(l.ChannelsPerConnection), 1, 65535)
	within("max channels", int64(l.MaxChannels), 1, 1<<31-1)
	within("max queues", int64(l.MaxQueues), 1, 1<<31-1)
	within("heartbeat (s)", int64(l.Heartbeat/time.Second), 1, 65535)
	return faults
}

func (o Options) listenFaults() (faults []error) {
	seen := map[string]bool{}
	for _, l := range o.Listen {
		p, known := LookupProtocol(l.Protocol)
		switch {
		case !known:
			faults = append(faults, fmt.Errorf("listen: protocol %q is not known, must be one of %s", l.Protocol, protocolNames()))
			continue
		case !p.Serves:
			faults = append(faults, fmt.Errorf("listen: this version does not serve %s yet; it comes in a later release", p.Name))
		case seen[l.Protocol]:
			faults = append(faults, fmt.Errorf("listen: %s is given twice", p.Name))
		}
		seen[l.Protocol] = true
		if _, err := SplitAddr(l.Addr); err != nil {
			faults = append(faults, fmt.Errorf("listen: %s: %w", p.Name, err))
		}
		if _, err := o.listenerOptions(l); err != nil {
			faults = append(faults, fmt.Errorf("listen: %s: %w", p.Name, err))
		}
		if p.TLS && (o.TLS.Cert == "" || o.TLS.Key == "") {
			faults = append(faults, fmt.Errorf("listen: %s needs a certificate: set tls.cert and tls.key", p.Name))
		}
	}
	return faults
}

// An Addr is a host and a port.
type Addr struct {
	Host string
	Port uint16
}

// SplitAddr splits host:port and checks both. An empty host means all addresses.
func SplitAddr(addr string) (Addr, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return Addr{}, fmt.Errorf("address %q must be HOST:PORT, as 127.0.0.1:5672", addr)
	}
	n, err := net.LookupPort("tcp", port)
	if err != nil {
		return Addr{}, fmt.Errorf("address %q: port %q must be a number from 0 to 65535", addr, port)
	}
	return Addr{host, uint16(n)}, nil
}

// Loopback tells whether only this machine can reach the address.
func (a Addr) Loopback() bool {
	if a.Host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(a.Host)
	return err == nil && ip.Unmap().IsLoopback()
}

func protocolNames() string {
	var names []string
	for _, p := range Protocols() {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}
