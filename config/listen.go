package config

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/warrenmq/warren/listener"
	"github.com/warrenmq/warren/node"
)

// The options that a listener's address may have behind a question mark.
const (
	optionConnections = "maximumConnections" // as ActiveMQ's users write it
	optionAnonymous   = "anonymousUser"
	optionProxy       = "proxyProtocol"
)

// parseListenOptions reads "maximumConnections=1000&anonymousUser=anon". The
// ampersand may be written as in XML, from where such addresses are copied.
func parseListenOptions(text string) (l node.Listen, err error) {
	values, err := url.ParseQuery(strings.ReplaceAll(text, "&amp;", "&"))
	if err != nil {
		return l, fmt.Errorf("options %q can not be read: %w", text, err)
	}
	for name, all := range values {
		if len(all) > 1 {
			return l, fmt.Errorf("option %s is given twice", name)
		}
		if err := setListenOption(&l, name, all[0]); err != nil {
			return l, err
		}
	}
	return l, nil
}

func setListenOption(l *node.Listen, name, value string) (err error) {
	switch name {
	case optionConnections:
		if l.MaxConnections, err = strconv.Atoi(value); err != nil {
			return fmt.Errorf("%s=%q must be a whole number", name, value)
		}
	case optionAnonymous:
		l.Anonymous = value
	case optionProxy:
		modes := []listener.ProxyMode{listener.ProxyOff, listener.ProxyOptional, listener.ProxyRequired}
		if l.Proxy = listener.ProxyMode(value); !slices.Contains(modes, l.Proxy) {
			return fmt.Errorf("%s=%q must be off, optional or required", name, value)
		}
	default:
		return fmt.Errorf("option %q is not known, must be %s, %s or %s", name, optionConnections, optionAnonymous, optionProxy)
	}
	return nil
}

// listenText writes what parseListenOptions and the address were read from.
func listenText(l node.Listen) string {
	values := url.Values{}
	if l.MaxConnections != 0 {
		values.Set(optionConnections, strconv.Itoa(l.MaxConnections))
	}
	if l.Anonymous != "" {
		values.Set(optionAnonymous, l.Anonymous)
	}
	if l.Proxy != "" {
		values.Set(optionProxy, string(l.Proxy))
	}
	if len(values) == 0 {
		return l.Addr
	}
	return l.Addr + "?" + values.Encode()
}
