package member

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A Candidate is a place where a node of the cluster may be.
type Candidate struct {
	// Key orders the candidates, and is the same on every node: the entry of a
	// list as it is written, an address, or a node's name.
	Key string
	// Addr is host:port of the cluster's listener; empty while it is not known.
	Addr string
}

// A Discoverer finds candidates, this node among them if it can. What it finds
// is not to be trusted with anything but a try: the cookie admits.
type Discoverer interface {
	Discover(ctx context.Context) ([]Candidate, error)
	// Whole reports whether every node finds the very same candidates, reachable
	// or not, as with a list. Of others a founder must see as many as there are.
	Whole() bool
}

// maxCandidates bounds what any discovery gives.
const maxCandidates = 256

// DefaultPort is where the cluster's listener is unless told otherwise.
const DefaultPort = 25672

// Static is a list of peers: host:port, host, or the names of nodes on this
// machine. Every node of the cluster is given the same list.
type Static struct {
	Peers []string
	// Registry finds names of nodes on this machine. Optional.
	Registry *Registry
	// Port of entries without one; zero means DefaultPort.
	Port uint16
}

// Whole implements Discoverer.
func (s Static) Whole() bool { return true }

// Discover implements Discoverer.
func (s Static) Discover(context.Context) ([]Candidate, error) {
	var out []Candidate
	for _, peer := range s.Peers[:min(len(s.Peers), maxCandidates)] {
		addr, err := s.resolve(peer)
		if err != nil {
			return nil, err
		}
		out = append(out, Candidate{Key: peer, Addr: addr})
	}
	return inOrder(out), nil
}

// resolve returns the address of an entry: of a node's name what the registry
// has under it, else the host in it.
func (s Static) resolve(peer string) (string, error) {
	_, host, named := strings.Cut(peer, "@")
	if s.Registry != nil {
		e, ok, err := s.Registry.Find(peer)
		if err != nil {
			return "", err
		}
		if ok {
			return e.Addr(), nil
		}
	}
	if !named {
		host = peer
	}
	if host == "" {
		return "", fmt.Errorf("member: %q is neither an address nor a node's name", peer)
	}
	return withPort(host, s.Port)
}

// withPort returns an address with a port, its own or the one given.
func withPort(host string, port uint16) (string, error) {
	if port == 0 {
		port = DefaultPort
	}
	if h, p, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(p, 10, 16); err != nil || h == "" || p == "0" {
			return "", fmt.Errorf("member: %q is no address", host)
		}
		return host, nil
	}
	bare := strings.Trim(host, "[]")
	if strings.Contains(bare, ":") {
		if _, err := netip.ParseAddr(bare); err != nil {
			return "", fmt.Errorf("member: %q is no address", host)
		}
	}
	return net.JoinHostPort(bare, strconv.Itoa(int(port))), nil
}

// A Resolver looks names up; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// DNS finds the nodes behind a name that has an address for each of them.
type DNS struct {
	Name     string
	Port     uint16 // zero means DefaultPort
	Resolver Resolver
}

// Whole implements Discoverer: a name may not have all its addresses yet.
func (d DNS) Whole() bool { return false }

// Discover implements Discoverer.
func (d DNS) Discover(ctx context.Context) ([]Candidate, error) {
	ips, err := d.Resolver.LookupNetIP(ctx, "ip", d.Name)
	if err != nil {
		return nil, fmt.Errorf("member: look up the cluster's nodes under %s: %w", d.Name, err)
	}
	var out []Candidate
	for _, ip := range ips {
		addr, err := withPort(ip.Unmap().String(), d.Port)
		if err != nil {
			return nil, err
		}
		out = append(out, Candidate{Key: addr, Addr: addr})
	}
	return inOrder(out), nil
}

// inOrder sorts candidates by key, each once, no more than the bound.
func inOrder(c []Candidate) []Candidate {
	slices.SortStableFunc(c, func(a, b Candidate) int { return strings.Compare(a.Key, b.Key) })
	c = slices.CompactFunc(c, func(a, b Candidate) bool { return a.Key == b.Key })
	return c[:min(len(c), maxCandidates)]
}
