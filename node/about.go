package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/broker"
	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/protocol/amqp091"
)

const (
	// aboutTime is how long another node may take to say something of itself.
	aboutTime = 2 * time.Second
	// maxAbout bounds what it says.
	maxAbout = 1 << 20
	// clusterName is the parameter of the cluster that names it, as RabbitMQ has it.
	clusterName = "cluster_name"
)

// Cluster implements admin.Clusters.
func (o operations) Cluster(ctx context.Context, _ admin.ClusterQuery) (admin.Cluster, error) {
	v := o.catalog.View()
	c := admin.Cluster{Intents: o.Intents()}
	var wg sync.WaitGroup
	var members []*catalog.Node
	for m := range v.Nodes() {
		if m.State == catalog.Leaving {
			continue // Intents tells how far that is
		}
		members = append(members, m)
		c.Members = append(c.Members, admin.MemberState{
			Member: admin.Member{Name: m.Name, Running: m.Incarnation != 0}, Draining: m.State == catalog.Draining,
		})
	}
	for i, m := range members {
		at := &c.Members[i]
		if m.Incarnation == 0 {
			continue
		}
		wg.Go(func() {
			about, err := o.aboutNode(ctx, m.ID)
			if err != nil {
				o.log.Debug("another node says nothing of itself", "peer", m.Name, "err", err)
				return
			}
			at.About = about
		})
	}
	wg.Wait()
	slices.SortFunc(c.Members, func(a, b admin.MemberState) int { return cmp.Compare(a.Name, b.Name) })
	c.Name = nameOf(v)
	c.Intents = append(c.Intents, o.waits()...)
	return c, nil
}

// nameOf is what the cluster is called, on all its nodes: as an operator said last,
// or as it was founded, which is as the node that did if nobody said otherwise.
func nameOf(v *catalog.View) string {
	var name string
	if p := v.Parameter(0, "", clusterName); p != nil && json.Unmarshal(p.Value, &name) == nil && name != "" {
		return name
	}
	return v.Cluster().Name
}

// waits says what this node serves nobody for, or not all: whoever looks at the
// cluster at a node that can not reach it is told so.
func (n *Node) waits() (all []admin.Intent) {
	if d := n.member.Load(); d != nil && !d.Serving() {
		st := d.Status()
		x := admin.Intent{Kind: st.State.String(), Subject: n.o.Name, Text: st.Text}
		if do := st.Advice(); do != "" {
			x.Text += "; to do: " + do
		}
		all = append(all, x)
	}
	v, self, t := n.catalog.View(), uint64(n.dir.Node().Node), n.shards.Load()
	for _, id := range slices.Sorted(maps.Keys(t.refused)) {
		if s := v.Shard(id); s != nil {
			all = append(all, admin.Intent{Kind: "damaged", Subject: fmt.Sprintf("shard %d on %s", id, n.o.Name), Text: refusedText(s, self)})
		}
	}
	return all
}

// aboutNode asks a node what it says of itself.
func (n *Node) aboutNode(ctx context.Context, id uint64) (*admin.About, error) {
	if id == uint64(n.dir.Node().Node) {
		return n.about(), nil
	}
	if n.transport == nil {
		return nil, errors.New("this node reaches no other")
	}
	ctx, cancel := context.WithTimeout(ctx, aboutTime)
	defer cancel()
	s, err := n.transport.Bulk(ctx, id, []byte{bulkAbout})
	if err != nil {
		return nil, fmt.Errorf("ask a node about itself: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	text, err := io.ReadAll(io.LimitReader(s, maxAbout))
	if stop() {
		err = errors.Join(err, s.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("read what a node says of itself: %w", err)
	}
	var a admin.About
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("read what a node says of itself: %w", err)
	}
	return &a, nil
}

// tellAbout answers another node.
func (n *Node) tellAbout(s *transport.BulkStream) error {
	text, err := json.Marshal(n.about())
	if err != nil {
		return fmt.Errorf("write what this node says of itself: %w", err)
	}
	_, err = s.Write(text)
	return err
}

// about is what this node says of itself.
func (n *Node) about() *admin.About {
	a := &admin.About{
		Version: n.o.Version, Compatible: amqp091.CompatVersion, Runtime: runtime.Version(), CPUs: runtime.NumCPU(),
		Alarms: n.alarmNames(), Unreached: n.unreached(),
	}
	var st admin.Status
	n.addListeners(&st)
	for _, l := range st.Listeners {
		a.Listeners = append(a.Listeners, admin.Listener{Name: l.Name, Address: l.Address})
	}
	if n.clusterPort != nil {
		a.Listeners = append(a.Listeners, admin.Listener{Name: "cluster", Address: n.clusterPort.Addr().String()})
	}
	return a
}

// alarmNames are memory and disk, as far as they are up.
func (n *Node) alarmNames() (names []string) {
	b := n.broker.Load()
	if b == nil {
		return nil
	}
	if b.Alarms()&broker.LowMemory != 0 {
		names = append(names, "memory")
	}
	if b.Alarms()&broker.LowDisk != 0 {
		names = append(names, "disk")
	}
	return names
}

// unreached are the members that run, as far as the cluster knows, and that this
// node has no connection to: a partition, if it lasts.
func (n *Node) unreached() (names []string) {
	if n.transport == nil {
		return nil
	}
	v := n.catalog.View()
	for _, l := range n.transport.Links() {
		if m := v.Node(l.Peer.ID); l.Class == transport.ClassRaft && !l.Up && l.Err != nil && m != nil && m.Incarnation != 0 {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names
}

// mostNodeName bounds what is taken as the name of a node.
const mostNodeName = 300

// goneTime is how long a node that was stopped just now may count as running: its
// end has to be noted by the cluster.
const goneTime = 6 * time.Second

// ForgetNode implements admin.Clusters.
func (o operations) ForgetNode(ctx context.Context, x admin.ForgetNode) (admin.Done, error) {
	if x.Node == "" || len(x.Node) > mostNodeName || strings.ContainsAny(x.Node, " \t\n") {
		return admin.Done{}, admin.Invalidf("%q is not the name of a node", x.Node)
	}
	gone, cancel := context.WithTimeout(ctx, goneTime)
	defer cancel()
	for {
		err := o.Node.ForgetNode(ctx, x.Node, x.Force)
		if admin.KindOf(err) != admin.InUse || !slices.Contains(o.unreached(), x.Node) {
			return admin.Done{}, err
		}
		select {
		case <-time.After(tickEvery):
		case <-gone.Done():
			return admin.Done{}, err
		}
	}
}
