package member

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/warrenmq/warren/internal/clock"
)

// MulticastOptions of a Multicast.
type MulticastOptions struct {
	// Cluster is the cluster's name. Nodes of others on the same group are not seen.
	Cluster string
	// Name and Port are this node's name and cluster port, as it announces them.
	Name string
	Port uint16
	// Node is this node's id.
	Node uint64
	// Group is where announcements go. Required.
	Group netip.AddrPort
	// In receives, Out sends. They are the Multicast's from New on. Required.
	In, Out net.PacketConn
	// Clock. Required.
	Clock clock.Clock
	// Every is the time between two announcements. Default: 1 s.
	Every time.Duration
	// Keep is how long a node is a candidate after it was heard. Default: 5 s.
	Keep time.Duration
	// Logger; nil discards.
	Logger *slog.Logger
}

// DefaultGroup is where nodes announce themselves unless told otherwise: an
// address of the range that stays within a site.
func DefaultGroup() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 192, 25, 67}), DefaultPort)
}

// ListenMulticast opens the two sockets of a Multicast on the interface that has
// the address bind, or on the system's choice if bind is not valid.
func ListenMulticast(group netip.AddrPort, bind netip.Addr) (in, out net.PacketConn, err error) {
	if !group.Addr().IsMulticast() || group.Port() == 0 {
		return nil, nil, fmt.Errorf("member: %v is no multicast group and port", group)
	}
	var on *net.Interface
	local := &net.UDPAddr{}
	if bind.IsValid() {
		if on, err = interfaceOf(bind); err != nil {
			return nil, nil, err
		}
		// Being sent from an address of an interface, a packet leaves there.
		local.IP = bind.AsSlice()
	}
	network := "udp4"
	if group.Addr().Is6() {
		network = "udp6"
	}
	in, err = net.ListenMulticastUDP(network, on, net.UDPAddrFromAddrPort(group))
	if err != nil {
		return nil, nil, fmt.Errorf("member: listen to the group %v: %w", group, err)
	}
	out, err = net.ListenUDP(network, local)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("member: open a socket to announce this node from: %w", err), in.Close())
	}
	return in, out, nil
}

func interfaceOf(bind netip.Addr) (*net.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("member: list the network interfaces: %w", err)
	}
	for i := range all {
		addrs, err := all[i].Addrs()
		if err != nil {
			return nil, fmt.Errorf("member: list the addresses of %s: %w", all[i].Name, err)
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap() == bind.Unmap() {
				return &all[i], nil
			}
		}
	}
	return nil, fmt.Errorf("member: no network interface of this machine has the address %v", bind)
}

// A Multicast announces this node to a group and hears the others. Two
// goroutines, for as long as Run.
type Multicast struct {
	o MulticastOptions

	mu struct {
		sync.Mutex
		heard map[string]heardNode // by name
	}
}

type heardNode struct {
	addr string
	at   time.Duration
}

// NewMulticast returns a Multicast whose Run has to be called.
func NewMulticast(o MulticastOptions) (*Multicast, error) {
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.Keep == 0 {
		o.Keep = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Cluster == "" || len(o.Cluster) > maxName || !validName(o.Name) || o.Port == 0 || o.Node == 0 {
		return nil, fmt.Errorf("member: multicast wants a cluster's name (%q), a node's name (%q) and a port (%d)", o.Cluster, o.Name, o.Port)
	}
	if o.In == nil || o.Out == nil || o.Clock == nil || !o.Group.IsValid() {
		return nil, errors.New("member: multicast without a group, sockets or a clock")
	}
	m := &Multicast{o: o}
	m.mu.heard = map[string]heardNode{}
	return m, nil
}

// Whole implements Discoverer: who was not heard may be there.
func (m *Multicast) Whole() bool { return false }

// Discover implements Discoverer: who was heard of late.
func (m *Multicast) Discover(context.Context) ([]Candidate, error) {
	now := m.o.Clock.Mono()
	m.mu.Lock()
	defer m.mu.Unlock()
	out := []Candidate{}
	for name, h := range m.mu.heard {
		if now-h.at > m.o.Keep {
			delete(m.mu.heard, name)
			continue
		}
		out = append(out, Candidate{Key: name, Addr: h.addr})
	}
	return inOrder(out), nil
}

// Run announces and listens until ctx ends, and closes the sockets.
func (m *Multicast) Run(ctx context.Context) error {
	ticker := m.o.Clock.NewTicker(m.o.Every)
	defer ticker.Stop()
	failed := make(chan error, 1)
	go func() { failed <- m.listen() }()
	packet := m.announcement()
	for {
		// That an announcement cannot leave now says nothing of the next.
		if _, err := m.o.Out.WriteTo(packet, net.UDPAddrFromAddrPort(m.o.Group)); err != nil {
			m.o.Logger.Debug("announcement not sent", "err", err)
		}
		select {
		case <-ctx.Done():
			err := errors.Join(m.o.Out.Close(), m.o.In.Close())
			if heard := <-failed; !errors.Is(heard, net.ErrClosed) {
				err = errors.Join(err, heard)
			}
			return err
		case err := <-failed:
			return errors.Join(err, m.o.Out.Close(), m.o.In.Close())
		case <-ticker.C():
		}
	}
}

// listen takes announcements until the socket is closed.
func (m *Multicast) listen() error {
	buf := make([]byte, maxAnnouncement+1)
	for {
		n, from, err := m.o.In.ReadFrom(buf)
		if err != nil {
			return fmt.Errorf("member: hear announcements: %w", err)
		}
		a, err := parseAnnouncement(buf[:n])
		if err != nil || a.cluster != m.o.Cluster {
			continue // of another cluster, or of another program
		}
		m.note(&a, from)
	}
}

func (m *Multicast) note(a *announcement, from net.Addr) {
	udp, ok := from.(*net.UDPAddr)
	if !ok {
		return
	}
	addr := netip.AddrPortFrom(udp.AddrPort().Addr().Unmap(), a.port).String()
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.mu.heard[a.name]; known || len(m.mu.heard) < maxCandidates {
		m.mu.heard[a.name] = heardNode{addr: addr, at: m.o.Clock.Mono()}
	}
}

// An announcement on the wire:
//
//	"warren-node" | version u8 | node u64 | port u16 | size u8, cluster | size u8, name
type announcement struct {
	node          uint64
	port          uint16
	cluster, name string
}

const (
	announcementHead = "warren-node\x01"
	maxAnnouncement  = len(announcementHead) + 8 + 2 + 2 + 2*maxName
)

func (m *Multicast) announcement() []byte {
	b := append([]byte(nil), announcementHead...)
	b = binary.BigEndian.AppendUint64(b, m.o.Node)
	b = binary.BigEndian.AppendUint16(b, m.o.Port)
	b = append(append(b, byte(len(m.o.Cluster))), m.o.Cluster...)
	return append(append(b, byte(len(m.o.Name))), m.o.Name...)
}

func parseAnnouncement(b []byte) (a announcement, err error) {
	wrong := fmt.Errorf("%w: no announcement", ErrMessage)
	text, ok := strings.CutPrefix(string(b), announcementHead)
	if !ok || len(b) > maxAnnouncement || len(text) < 10 {
		return announcement{}, wrong
	}
	a.node = binary.BigEndian.Uint64([]byte(text[:8]))
	a.port = binary.BigEndian.Uint16([]byte(text[8:10]))
	text = text[10:]
	for _, to := range [...]*string{&a.cluster, &a.name} {
		if text == "" || len(text) < 1+int(text[0]) {
			return announcement{}, wrong
		}
		*to, text = text[1:1+int(text[0])], text[1+int(text[0]):]
	}
	if text != "" || a.node == 0 || a.port == 0 || a.cluster == "" || !validName(a.name) {
		return announcement{}, wrong
	}
	return a, nil
}
