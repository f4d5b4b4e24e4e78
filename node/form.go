package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/warrenmq/warren/cluster/member"
	"github.com/warrenmq/warren/cluster/transport"
)

// Forming is how a node that was told no member's address finds its cluster, or
// founds it together with others that start. At most one of Peers, DNS and Name
// is given.
type Forming struct {
	// Peers are all nodes of the cluster, this one among them: host:port, host, or
	// names as rabbit@node-01. Every node is given the same list, and the first of
	// it, in the order of the texts, founds.
	Peers []string
	// DNS is a name with an address for every node, and a port if it is not 25672.
	DNS string
	// Name is a cluster's name: nodes of that name find each other by multicast.
	Name string
	// Group is where they do. Default: member.DefaultGroup.
	Group netip.AddrPort
	// Interface is an address of the interface on which they do. Default: that of
	// Cluster.Addr, or the system's choice.
	Interface netip.Addr
	// Size is how many nodes found the cluster. Required with DNS and Name, for
	// which a founder has to see them all.
	Size int
	// Alone is how long the first of Peers waits for those that do not answer
	// before it founds without them; negative: for ever. Default: 10 s.
	Alone time.Duration
	// Registry finds nodes on this machine by name, and has this one found.
	Registry Registry
	// Resolver looks DNS up. Default: the machine's.
	Resolver member.Resolver
}

// A Registry is a directory of the user's in which the nodes that run on this
// machine say where other nodes reach them.
type Registry struct {
	// Dir is the directory, which nobody else may look into. Empty: there is none.
	Dir string
	// Alive reports whether a process runs. Required with Dir.
	Alive func(pid int) bool
}

// registry returns nil if there is none.
func (n *Node) registry() *member.Registry {
	r := n.o.Cluster.Forming.Registry
	if r.Dir == "" {
		return nil
	}
	return &member.Registry{FS: n.o.FS, Dir: r.Dir, Alive: r.Alive}
}

// asked tells whether the node is to find others by itself.
func (f *Forming) asked() bool { return len(f.Peers) > 0 || f.DNS != "" || f.Name != "" }

// maxPeers bounds a list of peers.
const maxPeers = 64

func (o *Options) formFaults() (faults []error) {
	c := &o.Cluster
	f := &c.Forming
	ways := 0
	for _, given := range []bool{len(f.Peers) > 0, f.DNS != "", f.Name != ""} {
		if given {
			ways++
		}
	}
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf("cluster: "+format, args...))
		}
	}
	fault(ways > 1, "peers are given in more than one way: choose one of cluster.peers, cluster.dns and cluster.name")
	fault(ways > 0 && c.Addr == "", "a node that finds others needs listen.cluster")
	fault((f.DNS != "" || f.Name != "") && f.Size < 1, "the number of nodes that found the cluster is not given: set cluster.size")
	fault(f.Size < 0 || f.Size > maxPeers, "the size is %d, must be 1 to %d", f.Size, maxPeers)
	fault(len(f.Peers) > maxPeers, "%d peers are given, at most %d can be", len(f.Peers), maxPeers)
	fault(f.Group.IsValid() && (!f.Group.Addr().IsMulticast() || f.Group.Port() == 0), "%v is no multicast group and port, as %v", f.Group, member.DefaultGroup())
	fault(len(f.Name) > 200, "the name has %d bytes, at most 200", len(f.Name))
	return faults
}

// forms reports whether the node has to find its cluster before anything else.
func (n *Node) forms() bool {
	return n.o.Cluster.Forming.asked() && !n.joins() && n.dir.Node().Began == "" && n.dir.Unused() && !n.letIn()
}

// letIn reports whether a cluster let the node in, which ended before it noted
// that.
func (n *Node) letIn() bool {
	t, err := transport.LoadTrust(n.trustFiles())
	return err == nil && t.Cluster() != uint64(n.dir.Node().Cluster)
}

// resolve returns the address behind what a user wrote for a member: an address,
// or the name of a node on this machine or another.
func (n *Node) resolve(ctx context.Context, peer string) (string, error) {
	found, err := member.Static{Peers: []string{peer}, Registry: n.registry()}.Discover(ctx)
	if err != nil {
		return "", err
	}
	return found[0].Addr, nil
}

// enterRegistry has this node found by its name, on this machine.
func (n *Node) enterRegistry() {
	r := n.registry()
	if r == nil {
		return
	}
	addr, err := netip.ParseAddrPort(n.clusterPort.Addr().String())
	if err == nil {
		ip := addr.Addr().Unmap()
		if ip.IsUnspecified() {
			ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		}
		err = r.Register(member.Entry{Name: n.o.Name, Node: uint64(n.dir.Node().Node), Host: ip.String(), Port: addr.Port(), PID: os.Getpid()})
	}
	if err != nil {
		n.log.Warn("the node is not found by its name on this machine", "err", err)
	}
}

func (n *Node) leaveRegistry() {
	if r := n.registry(); r != nil {
		if err := r.Leave(n.o.Name, os.Getpid()); err != nil {
			n.log.Info("the node's name stays behind", "err", err)
		}
	}
}

// discoverer makes what finds others. With a name this node announces itself as
// long as scouts run, whether it has a cluster or not.
func (n *Node) discoverer(scouts *crew) (member.Discoverer, error) {
	f := &n.o.Cluster.Forming
	switch {
	case len(f.Peers) > 0:
		return member.Static{Peers: f.Peers, Registry: n.registry()}, nil
	case f.DNS != "":
		d := member.DNS{Name: f.DNS, Resolver: f.Resolver}
		if host, port, err := net.SplitHostPort(f.DNS); err == nil {
			p, err := strconv.ParseUint(port, 10, 16)
			if err != nil || p == 0 {
				return nil, fmt.Errorf("%w: %q must be a name, or a name and a port", ErrCluster, f.DNS)
			}
			d.Name, d.Port = host, uint16(p)
		}
		if d.Resolver == nil {
			d.Resolver = net.DefaultResolver
		}
		return d, nil
	}
	return n.multicast(scouts)
}

func (n *Node) multicast(scouts *crew) (member.Discoverer, error) {
	f := &n.o.Cluster.Forming
	at, err := netip.ParseAddrPort(n.clusterPort.Addr().String())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCluster, err)
	}
	group, bind := f.Group, f.Interface
	if !group.IsValid() {
		group = member.DefaultGroup()
	}
	if ip := at.Addr().Unmap(); !ip.IsUnspecified() {
		if bind.IsValid() && bind != ip {
			return nil, fmt.Errorf("%w: others would look for this node at %v, from where it announces itself, and it listens on %v: cluster.multicast_interface and listen.cluster have to agree", ErrCluster, bind, ip)
		}
		bind = ip
	}
	in, out, err := member.ListenMulticast(group, bind)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCluster, err)
	}
	m, err := member.NewMulticast(member.MulticastOptions{
		Cluster: f.Name, Name: n.o.Name, Port: at.Port(), Node: uint64(n.dir.Node().Node),
		Group: group, In: in, Out: out, Clock: n.clock, Logger: n.log,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrCluster, err), in.Close(), out.Close())
	}
	scouts.run(func(ctx context.Context) {
		if err := m.Run(ctx); err != nil {
			n.log.Warn("the node does not announce itself any more", "err", err)
		}
	})
	return m, nil
}

// form finds out which cluster a fresh node is of, and has it let in, or leaves
// it to found one. Until that is settled its port answers who asks what it is,
// and nothing else.
func (n *Node) form(ctx context.Context, d member.Discoverer) error {
	cookie, err := n.cookie()
	if err != nil {
		return err
	}
	f := &n.o.Cluster.Forming
	former, err := member.NewFormer(member.FormOptions{
		Node: uint64(n.dir.Node().Node), Name: n.o.Name, Discoverer: d, Prober: prober{n, cookie}, Clock: n.clock,
		Expect: f.Size, Alone: f.Alone, Waiting: n.saysWaiting,
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCluster, err)
	}
	lobby, err := transport.NewLobby(transport.LobbyOptions{ //nolint:contextcheck // Leave ends it
		Node: uint64(n.dir.Node().Node), Cluster: uint64(n.dir.Node().Cluster), Cookie: cookie, Clock: n.clock, Logger: n.log,
		Probe: func() []byte { p := former.Peer(); return p.Append(nil) },
	}, n.clusterPort)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCluster, err)
	}
	defer func() { n.setClusterPort(lobby.Leave()) }()
	var refused refusals
	for {
		dec, err := former.Form(ctx)
		if err != nil {
			return err
		}
		n.log.Info("forming a cluster", "text", dec.Text)
		if dec.Action != member.Join {
			n.waitsFor("")
			return nil // what founding leaves behind is made with the stores
		}
		for _, m := range dec.Members {
			a, t, err := n.joinThrough(ctx, m.Addr, cookie)
			if err == nil {
				return n.joined(a, t, m.Addr)
			}
			if refused.final(err) {
				return fmt.Errorf("%w: %w", ErrCluster, err)
			}
			n.saysWaiting(fmt.Sprintf("waiting to be let into a cluster by %s: %v", m.Addr, err))
		}
		select {
		case <-time.After(joinPause):
		case <-ctx.Done():
			return fmt.Errorf("wait to be let into a cluster: %w", ctx.Err())
		}
	}
}

// saysWaiting tells what a fresh node waits for.
func (n *Node) saysWaiting(text string) {
	if was := n.waiting.Load(); was != nil && *was == text {
		return
	}
	n.waitsFor(text)
	n.log.Info("waiting for a cluster", "text", text)
}

// refusals counts those that a wait does not mend.
type refusals int

// final reports whether a join is to be given up.
func (r *refusals) final(err error) bool {
	var no *transport.Refusal
	if !errors.As(err, &no) || no.Reason == transport.RefusedBusy || no.Reason == transport.RefusedAuthority {
		return false
	}
	*r++
	return *r >= joinRefusals
}

// A prober asks nodes what they are.
type prober struct {
	n      *Node
	cookie *transport.Cookie
}

// Probe implements member.Prober.
func (p prober) Probe(ctx context.Context, addr string) (member.Peer, error) {
	b, err := transport.Probe(ctx, transport.JoinOptions{Addr: addr, Cookie: p.cookie, Dial: p.n.o.Cluster.Dial, Clock: p.n.clock})
	if err != nil {
		return member.Peer{}, err
	}
	return member.ParsePeer(b)
}

// probed answers who asks a node that has a cluster.
func (n *Node) probed() []byte {
	id := n.dir.Node()
	p := member.Peer{State: member.Joined, Node: uint64(id.Node), Name: n.o.Name, Cluster: id.Cluster.String()}
	return p.Append(nil)
}

func (n *Node) setClusterPort(l net.Listener) {
	n.mu.Lock()
	n.clusterPort = l
	n.mu.Unlock()
}

// find has a node that was told how to find others do so.
func (n *Node) find(ctx context.Context) error {
	n.enterRegistry()
	if n.o.Cluster.Forming.asked() {
		n.scouts = newCrew()
		d, err := n.discoverer(n.scouts)
		switch {
		case err != nil && n.forms():
			return err
		case err != nil:
			n.log.Warn("other nodes are not told where this one is", "err", err)
		case n.forms():
			return n.form(ctx, d)
		}
	}
	if n.joins() {
		return n.join(ctx)
	}
	return nil
}
