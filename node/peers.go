package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"net"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/message"
	"github.com/warrenmq/warren/internal/clock"
	"github.com/warrenmq/warren/internal/step"
)

// attrAddr is the attribute of a node that says where other nodes reach it.
const attrAddr = "addr"

const (
	// campaignStep staggers those who stand for election when a leader's process
	// is gone, so that the first in rank is likely to win.
	campaignStep = 60 * time.Millisecond
	// campaignAgain is after how long they stand again while nobody leads: who hears
	// of it later by a step stands together with the next, and neither is elected.
	campaignAgain = 150 * time.Millisecond
	// campaigns is how often they stand before Raft's own timeout is waited for.
	campaigns = 4
	// admitTime bounds how long the catalog may take to make a node known.
	admitTime = 20 * time.Second
)

// newTransport makes what connects this node to others; it dials nobody yet.
func (n *Node) newTransport() (err error) {
	cookie, err := n.cookie()
	if err != nil {
		return err
	}
	o := transport.Options{
		Self: transport.Self{
			Name:        n.o.Name,
			Incarnation: n.incarnation.Load,
			Generation:  func() uint64 { return n.dir.Node().Generation },
		},
		Trust: n.trust, Dial: n.o.Cluster.Dial, Clock: n.clock, Logger: n.log,
		Raft: n.raftCame, Beat: n.beatCame, Data: (*dataCame)(n), Bulk: (*bulkAsked)(n),
		Lost: n.lost, Unreachable: n.unreachable,
		Cookie: cookie, Admit: n.admit, Probe: n.probed, Forgotten: n.forgotten, Voter: n.voter,
	}
	n.transport, err = transport.New(o)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCluster, err)
	}
	return nil
}

// listenCluster opens the port for other nodes. What it is bound to is where
// they are told to find this node, unless the options say otherwise.
func (n *Node) listenCluster(ctx context.Context) (net.Listener, error) {
	ln, err := n.o.Network.Listen(ctx, "tcp", n.o.Cluster.Addr)
	if err != nil {
		return nil, fmt.Errorf("%w: cluster: %w", ErrAddress, err)
	}
	n.o.Cluster.Addr = ln.Addr().String()
	return ln, nil
}

// raftCame takes what a peer sent to one group. A snapshot's message waits until
// its data is here.
func (n *Node) raftCame(from, group uint64, msgs []*raftpb.Message) {
	if i := slices.IndexFunc(msgs, isSnapshot); i >= 0 {
		rest := make([]*raftpb.Message, 0, len(msgs))
		for _, m := range msgs {
			if !isSnapshot(m) {
				rest = append(rest, m)
				continue
			}
			n.receiver.Take(from, group, m, func() { n.deliverSnapshot(group, m) })
		}
		msgs = rest
	}
	n.host.Deliver(group, msgs)
}

// groupTime is how long a snapshot waits for its group to be opened: its leader
// may know of this replica before this node does.
const groupTime = 20 * time.Second

// deliverSnapshot hands a group the message whose data is here.
func (n *Node) deliverSnapshot(group uint64, m *raftpb.Message) {
	ctx, cancel := context.WithTimeout(n.work.ctx, groupTime)
	defer cancel()
	err := await(ctx, "wait for a group", func() bool { return n.stopping.Load() || n.host.Group(group) != nil })
	if err != nil || n.host.Group(group) == nil {
		return // the node stops, or the replica is not to be here any more
	}
	// The opening of the group dropped what its log did not speak of: Raft, which
	// would begin the log behind it, does not hear of it and sends another.
	if _, ok := n.slots.Staged(group, m.GetSnapshot().GetMetadata().GetIndex()); !ok {
		n.log.Info("a snapshot came before its group was opened, and is asked for again", "group", group)
		return
	}
	n.host.Deliver(group, []*raftpb.Message{m})
}

func isSnapshot(m *raftpb.Message) bool { return m.GetType() == raftpb.MsgSnap }

// bulkAsked serves other nodes what they ask for in bulk.
type bulkAsked Node

func (n *Node) beatCame(from uint64, b []byte) {
	if d := n.member.Load(); d != nil {
		d.Heard(from, b)
	}
}

// dataCame hands data streams to what serves them, as soon as there is something.
type dataCame Node

// Opened implements transport.DataHandler. A stream that comes while this node
// has no life is closed: the other side opens another.
func (d *dataCame) Opened(s *transport.Stream) {
	n := (*Node)(d)
	h := n.remote.Load()
	if h == nil {
		s.Close(errEarly)
		return
	}
	n.streams.add(s, h)
	h.Opened(s)
	if n.remote.Load() != h {
		s.Close(errOver) // it may have come behind the cut
	}
}

var errEarly = errors.New("the node is starting")

// Frames implements transport.DataHandler.
func (d *dataCame) Frames(s *transport.Stream, fs []transport.Frame) {
	if h := d.streams.handler(s); h != nil {
		h.Frames(s, fs)
	}
}

// Closed implements transport.DataHandler.
func (d *dataCame) Closed(s *transport.Stream, err error) {
	if h := d.streams.remove(s); h != nil {
		h.Closed(s, err)
	}
}

// lost says that a peer's process is proved gone: what it led finds another
// leader at once, those in the first rank first.
func (n *Node) lost(peer uint64, broke time.Duration) {
	if d := n.member.Load(); d != nil {
		d.Lost(peer, broke)
	}
	self := uint64(n.dir.Node().Node)
	for _, g := range n.host.Groups() {
		st := g.Status()
		if st.Leader != peer {
			continue
		}
		g.ForgetLeader()
		if rank := slices.Index(ranked(st.ConfState.GetVoters(), peer, g.ID()), self); rank >= 0 {
			after := time.Duration(rank) * campaignStep
			stand(n.clock, g, after, campaignAgain+after, campaigns)
		}
	}
}

// An elector is a Raft group that can stand for election.
type elector interface {
	Status() raftgroup.Status
	Campaign()
}

// stand has a group stand for election after a time, and then every so often, while
// nobody leads it.
func stand(c clock.Clock, g elector, after, every time.Duration, times int) {
	if times == 0 {
		return
	}
	c.AfterFunc(after, func() {
		if g.Status().Leader == 0 {
			g.Campaign()
			stand(c, g, every, every, times-1)
		}
	})
}

// ranked orders the voters beside the one that is gone; the order differs from
// group to group, so that its groups find different leaders.
func ranked(voters []uint64, gone, group uint64) []uint64 {
	rest := slices.DeleteFunc(slices.Clone(voters), func(id uint64) bool { return id == gone })
	slices.Sort(rest)
	if len(rest) == 0 {
		return nil
	}
	k := int(group % uint64(len(rest)))
	return append(rest[k:], rest[:k]...)
}

func (n *Node) unreachable(peer uint64) {
	for _, g := range n.host.Groups() {
		g.ReportUnreachable(peer)
		if !n.sender.Serves(g.ID()) {
			g.ReportSnapshot(peer, false) // should one have been on its way, it is offered again
		}
	}
}

// admit makes a node known that proved the cookie.
func (n *Node) admit(ctx context.Context, r transport.JoinRequest) (a transport.Admission, err error) {
	ctx, cancel := context.WithTimeout(ctx, admitTime)
	defer cancel()
	n.awaitGoing(ctx, r)
	v := n.catalog.View()
	if v.Cluster().ID == "" || n.node() == nil {
		// Who is let in now is not told of this node, and would know nobody.
		return a, &transport.Refusal{Reason: transport.RefusedBusy, Text: "this node is just founding its cluster: try again"}
	}
	for m := range v.Nodes() {
		if m.ID != r.Node && m.Name == r.Name {
			return a, fmt.Errorf("the cluster has a node %s already: give this one another name, or forget that one", r.Name)
		}
	}
	// One that never lived may come again: the first answer may have been lost.
	if m := v.Node(r.Node); m != nil && m.Incarnation != 0 {
		return a, fmt.Errorf("node %016x is a member already", r.Node)
	}
	if _, err := n.do(ctx, &catalog.AddNode{ID: r.Node, Name: r.Name, Attrs: addrAttr(r.Addr)}); err != nil {
		return a, err
	}
	step.At(step.NodeAdmitted)
	if _, err := n.do(ctx, &catalog.AddIntent{Kind: catalog.Join, Subject: r.Node}); err != nil {
		return a, err
	}
	return transport.Admission{Generation: n.dir.Node().Generation, Peers: peersOf(n.catalog.View()), Voter: nodes(n.catalog.View()) <= maxCatalogVoters}, nil
}

// awaitGoing waits until a node that had the name of one that joins is forgotten,
// if that is under way: whoever leaves and joins again has another id.
func (n *Node) awaitGoing(ctx context.Context, r transport.JoinRequest) {
	wait, cancel := context.WithTimeout(ctx, admitTime/2)
	defer cancel()
	_ = await(wait, "wait for a name", func() bool { // if it does not get free, that is said
		for m := range n.catalog.View().Nodes() {
			if m.ID != r.Node && m.Name == r.Name && m.State == catalog.Leaving {
				return false
			}
		}
		return true
	})
}

func (n *Node) forgotten(id uint64) bool {
	return n.catalog.View().Barred(id)
}

// voter reports whether a node holds the authority's key: those that vote on the
// catalog do.
func (n *Node) voter(id uint64) bool {
	g := n.host.Group(cluster.CatalogGroup)
	return g != nil && slices.Contains(g.Status().ConfState.GetVoters(), id)
}

func nodes(v *catalog.View) (count int) {
	for range v.Nodes() {
		count++
	}
	return count
}

func addrAttr(addr string) message.Table {
	return message.AppendField(nil, attrAddr, message.StringOf(addr))
}

func peersOf(v *catalog.View) (ps []transport.Peer) {
	for m := range v.Nodes() {
		p := transport.Peer{ID: m.ID, Name: m.Name}
		if a, ok := m.Attrs.Lookup(attrAddr); ok {
			p.Addr, _ = a.Text()
		}
		ps = append(ps, p)
	}
	return ps
}

// setPeers follows the catalog, and keeps who the others are for a start at
// which there is no catalog yet.
func (n *Node) setPeers(ps []transport.Peer) {
	n.transport.SetPeers(ps)
	if err := n.savePeers(ps); err != nil {
		n.log.Warn("where the other nodes are could not be kept", "err", err)
	}
}

const peersFile = "peers.json"

func (n *Node) peersPath() string {
	return n.o.FS.PathJoin(n.o.FS.PathJoin(n.o.DataDir, clusterDir), peersFile)
}

func (n *Node) savePeers(ps []transport.Peer) (err error) {
	text, err := json.MarshalIndent(ps, "", "\t")
	if err != nil {
		return fmt.Errorf("encode the other nodes' addresses: %w", err)
	}
	path := n.peersPath()
	tmp := path + ".tmp"
	f, err := n.o.FS.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return n.o.FS.Rename(tmp, path)
}

// maxPeersFile bounds what is read of it.
const maxPeersFile = 1 << 20

func (n *Node) loadPeers() (ps []transport.Peer, err error) {
	f, err := n.o.FS.Open(n.peersPath())
	if errors.Is(err, iofs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, maxPeersFile))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &ps); err != nil {
		return nil, fmt.Errorf("%s: %w", n.peersPath(), err)
	}
	return ps, nil
}
