package cli

import (
	"net"
	"net/url"
	"strings"

	"github.com/warrenmq/warren/config"
)

// A broker is one address to connect to.
type broker struct {
	Addr  string // host:port
	VHost string
	TLS   bool
}

func (b broker) String() string {
	if b.TLS {
		return "ssl://" + b.Addr
	}
	return "tcp://" + b.Addr
}

// A login is who connects. Its password is printed by nothing.
type login struct{ User, Password string }

// brokerURL is what --brokerUrl says.
type brokerURL struct {
	text    string
	brokers []broker
	login   login // from the URL; "" if it names nobody
}

// parseBrokerURL reads the forms that users of other brokers know:
//
//	amqp://user:password@host:5672/vhost   amqps://…   tcp://host:port   ssl://…
//	host:port,host:port                    several, tried in turn
//	failover:(tcp://a:5672,tcp://b:5672)?options
//	discovery:fabric:default               the node whose data directory is here
//
// local finds the addresses for discovery.
func parseBrokerURL(text string, local func() []string) (brokerURL, error) {
	u := brokerURL{text: text}
	list := text
	switch {
	case strings.HasPrefix(text, "discovery:"):
		list = strings.Join(local(), ",")
	case strings.HasPrefix(text, "failover:"):
		list = strings.TrimPrefix(strings.TrimPrefix(text, "failover:"), "//")
		if inner, ok := strings.CutPrefix(list, "("); ok {
			list, _, ok = strings.Cut(inner, ")")
			if !ok {
				return u, usagef("--brokerUrl %s: a bracket is not closed", text)
			}
		}
	}
	scheme := ""
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimSpace(one)
		if s, _, ok := strings.Cut(one, "://"); ok {
			scheme = s
		} else {
			one = orElse(scheme, "amqp") + "://" + one // amqp://a,b means both
		}
		b, who, err := parseBroker(one)
		if err != nil {
			return u, err
		}
		u.brokers = append(u.brokers, b)
		if who.User != "" {
			u.login = who
		}
	}
	return u, nil
}

func parseBroker(text string) (b broker, who login, err error) {
	u, perr := url.Parse(text)
	if perr != nil {
		// The parser's own text would repeat the password.
		return b, who, usagef("--brokerUrl: not an address: write it as amqp://HOST:PORT/VHOST")
	}
	port := "5672"
	switch u.Scheme {
	case "amqp", "tcp", "nio":
	case "amqps", "ssl", "tls":
		b.TLS, port = true, "5671"
	default:
		return b, who, usagef("--brokerUrl: scheme %q is not known; use amqp, amqps, tcp, ssl, failover or discovery", u.Scheme)
	}
	if u.Hostname() == "" {
		return b, who, usagef("--brokerUrl: no host in it: write it as amqp://HOST:PORT/VHOST")
	}
	b.Addr = net.JoinHostPort(u.Hostname(), orElse(u.Port(), port))
	b.VHost = "/"
	if vhost := strings.TrimPrefix(u.EscapedPath(), "/"); vhost != "" {
		if b.VHost, err = url.PathUnescape(vhost); err != nil {
			return b, who, usagef("--brokerUrl: vhost %q: %v", vhost, err)
		}
	}
	if u.User != nil {
		who.User = u.User.Username()
		who.Password, _ = u.User.Password()
	}
	return b, who, nil
}

// localAddrs returns the AMQP addresses of the node that runs here, or the usual
// one.
func (a *App) localAddrs() []string {
	dir := orElse(a.Getenv("WARREN_DATA"), config.DefaultDataDir)
	if addrs, err := readPorts(dir); err == nil && addrs["amqp"] != "" {
		return []string{addrs["amqp"]}
	}
	return []string{"127.0.0.1:5672"}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
