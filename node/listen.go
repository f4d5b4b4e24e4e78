package node

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/auth"
	"github.com/warrenmq/warren/listener"
)

// listenerOptions are those of one listener, but for what all of them share.
func (o Options) listenerOptions(l Listen) (listener.Options, error) {
	proxy := o.Proxy
	if l.Proxy != "" {
		proxy.Mode = l.Proxy
	}
	lo := listener.Options{
		Name: l.Protocol, Addr: l.Addr, MaxConnections: cmp.Or(l.MaxConnections, o.Limits.MaxConnectionsPerListener),
		CertUser: o.CertUser, Anonymous: l.Anonymous, Proxy: proxy,
		LoginBytes: o.Limits.LoginBytes, LoginTime: o.Limits.LoginTime, Grace: o.Grace,
		Network: o.Network, Clock: o.Clock,
	}
	if l.MaxConnections < 0 || l.MaxConnections > 1<<20 {
		return lo, fmt.Errorf("maximumConnections is %d, must be 1 to %d, or 0 for limits.max_connections_per_listener", l.MaxConnections, 1<<20)
	}
	if l.Anonymous != "" {
		if err := auth.ValidateName(l.Anonymous); err != nil {
			return lo, fmt.Errorf("anonymousUser: %w", err)
		}
	}
	return lo, lo.Proxy.Validate()
}

// addListeners says who is connected where and who was not let in, and why.
func (n *Node) addListeners(st *admin.Status) {
	n.mu.Lock()
	open := slices.Concat(n.mu.listeners, n.mu.health)
	n.mu.Unlock()
	for _, l := range open {
		s := l.Stats()
		st.Listeners = append(st.Listeners, admin.Listener{
			Name: l.Name(), Address: l.Addr().String(), Connections: s.Active, Accepted: s.Accepted,
			MaxConnections: int64(l.MaxConnections()), AcceptFailures: s.AcceptFailures, Refused: s.Reasons,
		})
		if most := int64(l.MaxConnections()); most > 0 && s.Active >= most*9/10 {
			st.Limiting = append(st.Limiting, fmt.Sprintf(
				"%d of %d connections are open on listener %s: raise maximumConnections of its address, or limits.max_connections_per_listener", s.Active, most, l.Name()))
		}
	}
}

// ParseTrusted reads an address or a network, as 192.0.2.1 or 10.0.0.0/8.
func ParseTrusted(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%q must be an address or a network, as 192.0.2.1 or 10.0.0.0/8", text)
	}
	return p.Masked(), nil
}
