package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warrenmq/warren/cluster/member"
)

// formationPrefix is what RabbitMQ's settings of how nodes find each other begin
// with.
const formationPrefix = "cluster_formation."

const classicNodes = formationPrefix + "classic_config.nodes."

// A formation is what RabbitMQ's settings say of how nodes find each other.
type formation struct {
	backend string
	nodes   map[int]string
	dns     string
	size    *Setting
	origin  string // of the first that counts
}

// The backends that there are. The others ask services of their makers.
const (
	backendClassic = "classic_config"
	backendDNS     = "dns"
)

// RabbitMQ's settings that have nothing to set here: who founds is decided
// otherwise than by chance and retries.
func withoutEffect(key string) bool {
	switch strings.TrimPrefix(key, formationPrefix) {
	case "discovery_retry_limit", "discovery_retry_interval", "registration.enabled",
		"randomized_startup_delay_range.min", "randomized_startup_delay_range.max":
		return true
	}
	return false
}

// set takes one of RabbitMQ's settings. taken is false if it is none of them.
func (f *formation) set(s Setting) (taken bool, err error) {
	if !strings.HasPrefix(s.Key, formationPrefix) {
		return false, nil
	}
	if number, ok := strings.CutPrefix(s.Key, classicNodes); ok {
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || s.Value == "" {
			return true, fmt.Errorf("%s: %s: must be %sN = rabbit@node-01, with a number for N", s.Origin, s.Key, classicNodes)
		}
		if f.nodes == nil {
			f.nodes = map[int]string{}
		}
		f.nodes[n] = s.Value
		f.origin = s.Origin
		return true, nil
	}
	switch strings.TrimPrefix(s.Key, formationPrefix) {
	case "peer_discovery_backend":
		f.backend = strings.TrimPrefix(s.Value, "rabbit_peer_discovery_")
		if f.backend != backendClassic && f.backend != backendDNS {
			return true, fmt.Errorf("%s: %s: there is no backend %q: give the nodes by %s, or one name with all their addresses (on Kubernetes that of a headless service) by %s",
				s.Origin, s.Key, s.Value, backendClassic, backendDNS)
		}
		return true, nil
	case "dns.hostname":
		f.dns, f.origin = s.Value, s.Origin
		return true, nil
	}
	if s.Key == formationPrefix+"target_cluster_size_hint" {
		f.size = &Setting{"cluster.size", s.Value, s.Origin}
		return true, nil
	}
	return withoutEffect(s.Key), nil
}

// settle turns RabbitMQ's settings into ours, where those say nothing.
func (f *formation) settle(c *Config, table []Key) error {
	var key, value string
	switch {
	case f.backend == backendDNS:
		if f.dns == "" {
			return fmt.Errorf("%speer_discovery_backend is %s: %sdns.hostname is missing", formationPrefix, backendDNS, formationPrefix)
		}
		key, value = "cluster.dns", f.dns
	case len(f.nodes) > 0:
		var numbers []int
		for n := range f.nodes {
			numbers = append(numbers, n)
		}
		slices.Sort(numbers)
		var peers []string
		for _, n := range numbers {
			peers = append(peers, f.nodes[n])
		}
		key, value = "cluster.peers", strings.Join(peers, ",")
	default:
		return nil
	}
	x := &c.Node.Cluster.Forming
	if len(x.Peers) > 0 || x.DNS != "" || x.Name != "" {
		return nil // ours say it
	}
	if f.size != nil && x.Size == 0 {
		if err := c.apply(table, *f.size); err != nil {
			return err
		}
	}
	return c.apply(table, Setting{key, value, f.origin})
}

// formingKeys are those of how nodes find each other.
func formingKeys() []Key {
	return []Key{
		list("cluster.peers", "All nodes of the cluster, this one among them, the same list on each: `host:port`, `host`, or names as `rabbit@node-01`. Fresh ones found a cluster together, or join the one there is ([how](cluster-membership.md#the-first-start)).", func(c *Config) *[]string { return &c.Node.Cluster.Forming.Peers }),
		text("cluster.dns", "", "", "Instead: a name that has an address for every node, with a port if it is not 25672. Needs `cluster.size`.", func(c *Config) *string { return &c.Node.Cluster.Forming.DNS }),
		text("cluster.name", "", "", "Instead: a cluster's name, whose nodes find each other by multicast. Needs `cluster.size`.", func(c *Config) *string { return &c.Node.Cluster.Forming.Name }),
		number("cluster.size", "0", "", "How many nodes found the cluster, where that is not given by a list.", func(c *Config) *int { return &c.Node.Cluster.Forming.Size }),
		{
			Name: "cluster.multicast_group", Kind: kindAddress, Default: member.DefaultGroup().String(), Doc: "Group and port of the multicast of `cluster.name`.",
			set: func(c *Config, v string) (err error) {
				g, err := netip.ParseAddrPort(v)
				if err != nil {
					return fmt.Errorf("%q must be a group and a port, as %v", v, member.DefaultGroup())
				}
				c.Node.Cluster.Forming.Group = g
				return nil
			},
			get: func(c *Config) string { return c.Node.Cluster.Forming.Group.String() },
		},
		{
			Name: "cluster.multicast_interface", Kind: kindAddress, Derived: "the address of `listen.cluster`, or the system's choice", Doc: "An address of the network interface on which that multicast is.",
			set: func(c *Config, v string) (err error) {
				a, err := netip.ParseAddr(v)
				if v != "" && err != nil {
					return errors.New("must be an address of this machine, as 10.0.0.1")
				}
				c.Node.Cluster.Forming.Interface = a.Unmap()
				return nil
			},
			get: func(c *Config) string {
				if a := c.Node.Cluster.Forming.Interface; a.IsValid() {
					return a.String()
				}
				return ""
			},
		},
		foundAlone(),
	}
}

// foundAlone is a duration of which nothing means for ever.
func foundAlone() Key {
	at := func(c *Config) *time.Duration { return &c.Node.Cluster.Forming.Alone }
	k := duration("cluster.found_alone", 10*time.Second, "How long the first node of `cluster.peers` waits for those that do not answer, before it founds the cluster without them. `0s` is for ever.", at)
	set := k.set
	k.set = func(c *Config, v string) error {
		err := set(c, v)
		if err == nil && *at(c) == 0 {
			*at(c) = -1
		}
		return err
	}
	k.get = func(c *Config) string { return formatDuration(max(0, *at(c))) }
	return k
}
