package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/listener"
	"github.com/warrenmq/warren/node"
)

// A Key is one line of the configuration.
type Key struct {
	// Name is the path in the file, as "limits.max_connections".
	Name string
	// Kind is what its value looks like, for the document.
	Kind string
	// Default is the value when nobody sets it; "" when it is derived, which
	// Derived then explains, or when there is none.
	Default, Derived string
	// Doc says what it does.
	Doc string

	set func(*Config, string) error
	get func(*Config) string
}

// Kinds of values.
const (
	kindText     = "text"
	kindNumber   = "number"
	kindSize     = "size"
	kindDuration = "duration"
	kindAddress  = "address"
	kindSecret   = "secret"
	kindNetworks = "networks"
	kindList     = "list"
)

// keys is the table of everything that can be configured, in the order of the
// document.
func keys() []Key {
	var k []Key
	k = append(k,
		text("name", "", "`warren@` and the host's name", "Name of the node within its cluster.", func(c *Config) *string { return &c.Node.Name }),
		text("data", DefaultDataDir, "", "Directory that this node alone uses; created if missing.", func(c *Config) *string { return &c.Node.DataDir }),
		text("bind", "127.0.0.1", "", "Host of every listener whose address names none. `*` means all addresses.", func(c *Config) *string { return &c.Bind }),
		number("port_offset", "0", "", "Added to the port of every listener whose address names none.", func(c *Config) *int { return &c.PortOffset }),
	)
	for _, p := range node.Protocols() {
		k = append(k, listenKey(p))
	}
	k = append(k,
		text("tls.cert", "", "", "PEM file of the certificate chain. Read anew within seconds after it changes.", func(c *Config) *string { return &c.Node.TLS.Cert }),
		text("tls.key", "", "", "PEM file of the certificate's private key.", func(c *Config) *string { return &c.Node.TLS.Key }),
		text("tls.ca", "", "", "PEM file of the authorities whose client certificates count.", func(c *Config) *string { return &c.Node.TLS.CA }),
		choice("tls.client_auth", "Whether clients must show a certificate.", func(c *Config) *string { return (*string)(&c.Node.TLS.ClientAuth) },
			string(listener.ClientAuthNone), string(listener.ClientAuthOffer), string(listener.ClientAuthRequire)),
		choice("tls.client_user", "Which part of a client's certificate is the user, for those who log in by it (SASL EXTERNAL). A distinguished name is written as `O=client,CN=app`; of several alternative names the first counts.", func(c *Config) *string { return (*string)(&c.Node.CertUser) },
			words(listener.CertUsers())...),
		choice("proxy_protocol.mode", "Whether load balancers begin each connection with a header of the PROXY protocol, version 1 or 2. With `optional`, trusted ones may; with `required`, they must, and nobody else can connect. A listener's own `proxyProtocol` wins.", func(c *Config) *string { return (*string)(&c.Node.Proxy.Mode) },
			string(listener.ProxyOff), string(listener.ProxyOptional), string(listener.ProxyRequired)),
		trusted("proxy_protocol.trusted", "Addresses and networks of these load balancers. A header from anybody else is refused.", func(c *Config) *[]netip.Prefix { return &c.Node.Proxy.Trusted }),
		size("memory.budget", "", "40 % of the smaller of RAM and the memory limit of the control group", "What the node aims to hold in memory. Go's memory limit is 7/4 of it (GOMEMLIMIT, if that is not set).", func(c *Config) *int64 { return &c.Node.Memory.Budget }),
		watermark("memory.high_watermark", "5/4 of `memory.budget`, half of the memory there is", "What the node may hold in memory before all publishers wait: a size, or a fraction of the memory there is, as 0.4. Can be changed while the node runs.", func(c *Config) *int64 { return &c.Node.Memory.HighWatermark }),
		size("memory.entries", "", "half of `memory.budget`", "Message bodies held in memory. Half of it are those of durable queues, read from disk beyond; half those of queues in memory, whose publishers wait beyond.", func(c *Config) *int64 { return &c.Node.Memory.Entries }),
		size("memory.memtable", "", "1/16 of `memory.budget`, 4 MiB to 64 MiB", "Changes gathered in memory before they are written as a sorted file.", func(c *Config) *int64 { return &c.Node.Memory.Memtable }),
		size("memory.cache", "", "1/8 of `memory.budget`, 8 MiB to 512 MiB", "Blocks of sorted files kept in memory.", func(c *Config) *int64 { return &c.Node.Memory.Cache }),
		size("disk.free_limit", "", "four segments of the log but at most 256 MiB, two more segments and a memtable", "What has to be free where the data directory lies; with less all publishers wait. Can be changed while the node runs.", func(c *Config) *int64 { return &c.Node.DiskFreeLimit }),
		number("shards", "", "the number of CPUs, 2 to 16", "Shards that the durable queues of a fresh node are spread over.", func(c *Config) *int { return &c.Node.Shards }),
		size("log.segment_size", "", "1/32 of the free disk space, 1 MiB to 64 MiB", "Size of a segment of the log.", func(c *Config) *int64 { return &c.Node.SegmentBytes }),
	)
	k = append(k, limitKeys()...)
	k = append(k,
		duration("shutdown.grace", listener.DefaultGrace, "Time clients get to leave when the node stops.", func(c *Config) *time.Duration { return &c.Node.Grace }),
		choice("logging.level", "Least level that is written.", func(c *Config) *string { return &c.LogLevel }, "info", "debug", "warn", "error"),
		choice("logging.format", "How a log line looks.", func(c *Config) *string { return &c.LogFormat }, "text", "json"),
		text("default_user.name", "guest", "", "User that a fresh node begins with, an administrator. `guest` logs in from this machine only.", func(c *Config) *string { return &c.Node.FirstUser.Name }),
		hidden("default_user.password", "`guest` for `guest`, a random one for others, which the first start prints", "Password of that user.", func(c *Config) *secret.String { return &c.Node.FirstUser.Password }),
		text("default_user.vhost", "/", "", "The vhost that a fresh node begins with.", func(c *Config) *string { return &c.Node.FirstUser.VHost }),
		choice("queues.other_type", "What a declaration gets of a queue that exists with another `x-queue-type`: the queue, or an error as RabbitMQ's.", func(c *Config) *string { return &c.OtherType }, "tolerated", "refused"),
		list("cluster.join", "Addresses of members of a cluster, as `10.0.0.1:25672`. A node whose data directory holds nothing becomes a member through one of them.", func(c *Config) *[]string { return &c.Node.Cluster.Join }),
		text("cluster.advertise", "", "`listen.cluster`, with the machine's name for all addresses", "Address at which other nodes are told to find this one.", func(c *Config) *string { return &c.Node.Cluster.Advertise }),
		text("cluster.cookie_file", "", "`.erlang.cookie` in the home directory, or one that the first node of a cluster makes in `cluster/cookie` of its data directory", "File with the secret that lets nodes into a cluster; nobody but its owner may read it.", func(c *Config) *string { return &c.Node.Cluster.CookieFile }),
		hidden("cluster.cookie", "", "That secret itself.", func(c *Config) *secret.String { return &c.Node.Cluster.Cookie }),
		choice("cluster.short_cookie", "Whether the secret may be so short that it can be guessed.", func(c *Config) *string { return &c.ShortCookie }, "refused", "allowed"),
	)
	return append(k, formingKeys()...)
}

func limitKeys() []Key {
	limits := func(c *Config) *node.Limits { return &c.Node.Limits }
	return []Key{
		number("limits.max_connections", "", "65,536, or what the limit of open files leaves; raise both", "Connections of the node.", func(c *Config) *int { return &limits(c).MaxConnections }),
		number("limits.max_connections_per_listener", "0", "", "Connections of one listener; 0 leaves only the node's limit.", func(c *Config) *int { return &limits(c).MaxConnectionsPerListener }),
		number("limits.max_half_open", strconv.Itoa(listener.DefaultMaxHalfOpen), "", "Connections that have not logged in. When it is reached, the peer with most of them pays.", func(c *Config) *int { return &limits(c).MaxHalfOpen }),
		sizeInt("limits.login_bytes", listener.DefaultLoginBytes, "Bytes a connection may send before login.", func(c *Config) *int { return &limits(c).LoginBytes }),
		duration("limits.login_time", listener.DefaultLoginTime, "Time a connection has to log in.", func(c *Config) *time.Duration { return &limits(c).LoginTime }),
		sizeInt("limits.frame_size", node.DefaultFrameBytes, "Largest frame agreed with a client.", func(c *Config) *int { return &limits(c).FrameBytes }),
		size("limits.message_size", formatSize(node.DefaultMessageBytes), "", "Largest message body; at most 128MiB.", func(c *Config) *int64 { return &limits(c).MessageBytes }),
		number("limits.channels_per_connection", strconv.Itoa(node.DefaultChannels), "", "Channels of one connection.", func(c *Config) *int { return &limits(c).ChannelsPerConnection }),
		number("limits.max_channels", "0", "", "Channels of all connections together; 0 leaves only the limit of each connection.", func(c *Config) *int { return &limits(c).MaxChannels }),
		number("limits.max_queues", "0", "", "Queues of the cluster; 0 is no limit.", func(c *Config) *int { return &limits(c).MaxQueues }),
		consumerTimeout("limits.consumer_timeout", "Time a consumer may hold a message without settling it; then its channel is closed. `0s` is for ever. Queues (`x-consumer-timeout`, policy `consumer-timeout`) and consumers may say otherwise.", func(c *Config) *time.Duration { return &limits(c).ConsumerTimeout }),
		duration("limits.heartbeat", node.DefaultHeartbeat, "Heartbeat suggested to clients. Keep it below half of what a load balancer allows an idle connection.", func(c *Config) *time.Duration { return &limits(c).Heartbeat }),
	}
}

// list takes several texts, with commas between them.
func list(name, doc string, at func(*Config) *[]string) Key {
	return Key{
		Name: name, Kind: kindList, Doc: doc,
		set: func(c *Config, v string) error {
			*at(c) = nil
			for _, one := range strings.Split(v, ",") {
				if one = strings.TrimSpace(one); one != "" {
					*at(c) = append(*at(c), one)
				}
			}
			return nil
		},
		get: func(c *Config) string { return strings.Join(*at(c), ",") },
	}
}

func text(name, def, derived, doc string, at func(*Config) *string) Key {
	return Key{
		Name: name, Kind: kindText, Default: def, Derived: derived, Doc: doc,
		set: func(c *Config, v string) error { *at(c) = v; return nil },
		get: func(c *Config) string { return *at(c) },
	}
}

// hidden is a text that is never shown.
func hidden(name, derived, doc string, at func(*Config) *secret.String) Key {
	return Key{
		Name: name, Kind: kindSecret, Derived: derived, Doc: doc,
		set: func(c *Config, v string) error {
			if v == secret.Mask {
				return errors.New("is what stands for a secret, not the secret itself")
			}
			*at(c) = secret.New(v)
			return nil
		},
		get: func(c *Config) string {
			if at(c).Empty() {
				return ""
			}
			return secret.Mask
		},
	}
}

// choice takes one of a few words; the first is the default.
func choice(name, doc string, at func(*Config) *string, words ...string) Key {
	k := text(name, words[0], "", doc, at)
	k.Kind = "`" + strings.Join(words, "`, `") + "`"
	k.set = func(c *Config, v string) error {
		if !slices.Contains(words, v) {
			return fmt.Errorf("%q must be one of %s", v, strings.Join(words, ", "))
		}
		*at(c) = v
		return nil
	}
	return k
}

func words[T ~string](all []T) (out []string) {
	for _, w := range all {
		out = append(out, string(w))
	}
	return out
}

// trusted takes addresses and networks, with commas.
func trusted(name, doc string, at func(*Config) *[]netip.Prefix) Key {
	return Key{
		Name: name, Kind: kindNetworks, Doc: doc,
		set: func(c *Config, v string) error {
			*at(c) = nil
			for one := range strings.SplitSeq(v, ",") {
				if one = strings.TrimSpace(one); one == "" {
					continue
				}
				p, err := node.ParseTrusted(one)
				if err != nil {
					return err
				}
				*at(c) = append(*at(c), p)
			}
			return nil
		},
		get: func(c *Config) string {
			var all []string
			for _, p := range *at(c) {
				all = append(all, p.String())
			}
			return strings.Join(all, ",")
		},
	}
}

func number(name, def, derived, doc string, at func(*Config) *int) Key {
	return Key{
		Name: name, Kind: kindNumber, Default: def, Derived: derived, Doc: doc,
		set: func(c *Config, v string) error {
			n, err := strconv.Atoi(strings.ReplaceAll(v, "_", ""))
			if err != nil {
				return fmt.Errorf("%q must be a whole number", v)
			}
			*at(c) = n
			return nil
		},
		get: func(c *Config) string { return strconv.Itoa(*at(c)) },
	}
}

func size(name, def, derived, doc string, at func(*Config) *int64) Key {
	return Key{
		Name: name, Kind: kindSize, Default: def, Derived: derived, Doc: doc,
		set: func(c *Config, v string) (err error) { *at(c), err = ParseSize(v); return err },
		get: func(c *Config) string { return formatSize(*at(c)) },
	}
}

// watermark is a size, or a fraction of the memory there is.
func watermark(name, derived, doc string, at func(*Config) *int64) Key {
	k := size(name, "", derived, doc, at)
	k.Kind = "size or fraction"
	set := k.set
	k.set = func(c *Config, v string) error {
		if f, err := strconv.ParseFloat(v, 64); err == nil && strings.Contains(v, ".") {
			memory, _ := c.machine.memory()
			if !(f > 0 && f <= 1) {
				return fmt.Errorf("%q must be a fraction of the memory, as 0.4, or a size", v)
			}
			*at(c) = int64(f * float64(memory))
			return nil
		}
		if err := set(c, v); err != nil {
			return err
		}
		if *at(c) == 0 {
			return errors.New("would raise the alarm at once and for ever; set it on a running node for that")
		}
		return nil
	}
	return k
}

func sizeInt(name string, def int, doc string, at func(*Config) *int) Key {
	return Key{
		Name: name, Kind: kindSize, Default: formatSize(int64(def)), Doc: doc,
		set: func(c *Config, v string) error { n, err := ParseSize(v); *at(c) = int(n); return err },
		get: func(c *Config) string { return formatSize(int64(*at(c))) },
	}
}

func duration(name string, def time.Duration, doc string, at func(*Config) *time.Duration) Key {
	return Key{
		Name: name, Kind: kindDuration, Default: formatDuration(def), Doc: doc,
		set: func(c *Config, v string) error {
			d, err := time.ParseDuration(v)
			if err != nil || d < 0 {
				return fmt.Errorf("%q must be a duration, as 500ms, 10s or 2m", v)
			}
			*at(c) = d
			return nil
		},
		get: func(c *Config) string { return formatDuration(*at(c)) },
	}
}

// consumerTimeout is a duration of which nothing means for ever.
func consumerTimeout(name, doc string, at func(*Config) *time.Duration) Key {
	k := duration(name, node.DefaultConsumerTimeout, doc, at)
	set, get := k.set, k.get
	k.set = func(c *Config, v string) error {
		err := set(c, v)
		if err == nil && *at(c) == 0 {
			*at(c) = -1
		}
		return err
	}
	k.get = func(c *Config) string {
		if *at(c) < 0 {
			return formatDuration(0)
		}
		return get(c)
	}
	return k
}

func listenKey(p node.Protocol) Key {
	k := Key{
		Name: "listen." + p.Name, Kind: kindAddress, Default: "off",
		set: func(c *Config, v string) error { c.Listen[p.Name] = v; return nil },
		get: func(c *Config) string { return c.Listen[p.Name] },
	}
	switch {
	case p.Name == "auto":
		k.Doc = "One port for every protocol served, chosen by the first bytes; with TLS too if `tls.cert` is set."
	case p.TLS:
		k.Doc = fmt.Sprintf("Address of %s, over TLS; `on` means `bind` and port %d.", p.Name, p.Port)
	default:
		k.Doc = fmt.Sprintf("Address of %s; `on` means `bind` and port %d.", p.Name, p.Port)
	}
	if p.ByDefault {
		k.Default = "on"
	}
	if p.Health {
		k.Doc += " So far it answers health checks only, below `/health`."
	}
	if !p.Serves {
		k.Doc += " Comes in a later release."
	}
	return k
}

func join(host string, port int) (string, error) {
	if host == "*" {
		host = ""
	}
	if port < 0 || port > 65535 {
		return "", fmt.Errorf("port %d is not within 0 to 65535", port)
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

func find(table []Key, name string) (Key, bool) {
	i := slices.IndexFunc(table, func(k Key) bool { return k.Name == name })
	if i < 0 {
		return Key{}, false
	}
	return table[i], true
}
