package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/warrenmq/warren/protocol/amqp091/wire"
)

// ParseURI reads amqp://user:password@host:port/vhost?heartbeat=10 and amqps://
// with the same parts. What is missing is guest, guest, 5672 (5671) and the
// vhost "/", also for a path of one slash. Parameters:
// heartbeat (s), connection_timeout (ms), channel_max, frame_max and
// server_name_indication (with amqps). Others are refused, because some of them
// ask for checks that would not happen. Errors do not repeat the URI: it has a
// password in it.
func ParseURI(uri string) (Options, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return Options{}, errors.New("client: malformed URI")
	}
	var o Options
	port := "5672"
	switch u.Scheme {
	case "amqp":
	case "amqps":
		port = "5671"
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	default:
		return Options{}, errors.New("client: the URI's scheme is neither amqp nor amqps")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	host := u.Hostname()
	if host == "" {
		host = "localhost"
	}
	o.Addr = net.JoinHostPort(host, port)
	o.User, o.Password = "guest", "guest"
	if u.User != nil {
		password, _ := u.User.Password()
		o.User, o.Password = u.User.Username(), wire.Secret(password)
	}
	if o.VHost, err = vhostOf(u); err != nil {
		return Options{}, err
	}
	if u.Fragment != "" || u.Opaque != "" {
		return Options{}, errors.New("client: malformed URI")
	}
	return o, o.parameters(u.RawQuery)
}

func vhostOf(u *url.URL) (string, error) {
	path := u.EscapedPath()
	if path == "" || path == "/" {
		// "" is the default; what "/" alone means differs between clients, and
		// a vhost without a name is what nobody has.
		return "/", nil
	}
	vhost, err := url.PathUnescape(path[1:])
	if err != nil || strings.Contains(path[1:], "/") {
		return "", errors.New("client: the URI's path is not one escaped vhost")
	}
	return vhost, nil
}

func (o *Options) parameters(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("client: malformed parameters in the URI")
	}
	for name, list := range values {
		if len(list) != 1 {
			return fmt.Errorf("client: parameter %s is given %d times", name, len(list))
		}
		if err := o.parameter(name, list[0]); err != nil {
			return fmt.Errorf("client: parameter %s: %w", name, err)
		}
	}
	return nil
}

func (o *Options) parameter(name, value string) error {
	if name == "server_name_indication" {
		if o.TLS == nil || value == "" || value == "disable" {
			return errors.New("needs amqps and a name")
		}
		o.TLS.ServerName = value
		return nil
	}
	bits := map[string]int{"heartbeat": 16, "connection_timeout": 31, "channel_max": 16, "frame_max": 32}[name]
	if bits == 0 {
		return errors.New("not supported")
	}
	n, err := strconv.ParseUint(value, 10, bits)
	if err != nil {
		return errors.New("not a number in range")
	}
	switch name {
	case "heartbeat":
		if o.Heartbeat = time.Duration(n) * time.Second; n == 0 {
			o.Heartbeat = -1
		}
	case "connection_timeout":
		o.HandshakeTimeout = time.Duration(n) * time.Millisecond
	case "channel_max":
		o.ChannelMax = uint16(n)
	case "frame_max":
		o.FrameMax = uint32(n)
	}
	return nil
}
