package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/core/queue"
	"github.com/warrenmq/warren/shard"
	"github.com/warrenmq/warren/shard/replica"
	"github.com/warrenmq/warren/storage"
)

// A Recovery is what becomes of a cluster whose one survivor goes on alone.
type Recovery struct {
	Node    string `json:"node"`
	DataDir string `json:"data_dir"`
	Cluster string `json:"cluster"`
	// Generation is the present one; the survivor begins the next.
	Generation uint64 `json:"generation"`
	// Begun says that it was decided before and interrupted.
	Begun bool `json:"begun"`
	// Authority says that other nodes can be let in afterwards.
	Authority bool     `json:"authority"`
	Revision  uint64   `json:"revision"` // of the catalog
	Catalog   Kept     `json:"catalog"`
	Cut       []CutOut `json:"cut_out"`
	Kept      []Kept   `json:"kept"`
	Lost      []Lost   `json:"lost"`
	// Ended are the queues that lived in the memory of nodes, Exchanges how many
	// exchanges were not durable: they end.
	Ended     []QueueLeft `json:"ended"`
	Exchanges int         `json:"exchanges_ended"`
}

// A CutOut is a node that is never let in again under its id.
type CutOut struct {
	Name  string `json:"name"`
	Addr  string `json:"address"`
	Voter bool   `json:"voter"` // in the catalog
	// Answers says that something accepts connections at its address: it may run.
	Answers bool `json:"answers"`
}

// Kept is what the survivor has of a group.
type Kept struct {
	Shard uint64 `json:"shard"` // 0: the catalog
	// Last and Term are of the last entry of its log, Commit is the last that it
	// knows to be committed. All of the log is kept.
	Last   uint64 `json:"last"`
	Term   uint64 `json:"term"`
	Commit uint64 `json:"commit"`
	// Voter says that the survivor votes, Voters are how many do.
	Voter  bool     `json:"voter"`
	Voters int      `json:"voters"`
	Others []string `json:"also_on"` // who else had a replica
	// Newest is the time of the last entry that somebody's doing made: what it has
	// is of then. Zero: there is none.
	Newest time.Time `json:"newest,omitzero"`
	// Damaged says why the replica can not be opened. Its queues stay unavailable.
	Damaged string      `json:"damaged,omitempty"`
	Queues  []QueueLeft `json:"queues"`
}

// Complete reports whether everything that was confirmed is there: nothing could
// be confirmed without this replica.
func (k *Kept) Complete() bool { return k.Damaged == "" && k.Voter && k.Voters <= 2 }

// Lost is a shard of which the survivor has nothing. Its queues begin anew, empty.
type Lost struct {
	Shard  uint64      `json:"shard"`
	Others []string    `json:"was_on"` // who had a replica
	Queues []QueueLeft `json:"queues"`
}

// QueueLeft is a queue and what is in it.
type QueueLeft struct {
	VHost    string `json:"vhost"`
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
}

// Messages counts what is kept.
func (r *Recovery) Messages() (queues int, messages uint64) {
	for _, k := range r.Kept {
		if k.Damaged != "" {
			continue
		}
		queues += len(k.Queues)
		for _, q := range k.Queues {
			messages += q.Messages
		}
	}
	return queues, messages
}

// A holding is what this node has of a shard.
type holding struct {
	kept    bool  // something to go on with
	damage  error // why it can not be opened
	options raftgroup.GroupOptions
	raftgroup.Standing
}

func (n *Node) holding(s *catalog.Shard) (h holding, err error) {
	self := uint64(n.dir.Node().Node)
	if !s.Holds(self) {
		return h, nil
	}
	var founders []uint64
	if slices.Contains(s.Founders, self) {
		founders = s.Founders
	}
	return n.holdingOf(s.ID, founders)
}

func (n *Node) holdingOf(group uint64, founders []uint64) (h holding, err error) {
	h.options = raftgroup.GroupOptions{ID: group, Voters: founders}
	found := false
	err = n.resume(group)
	if err == nil {
		m, has, e := markOf(n.store(), group, n.slots.Of(group))
		if err = e; err == nil && has {
			h.options.Applied = m.Index
			h.options.ConfState, err = raftgroup.ParseConf(m.Conf)
		}
	}
	if err == nil {
		h.Standing, found, err = n.host.Standing(h.options)
	}
	if err == nil && found {
		err = n.lossOf(group, true)
	}
	switch {
	case refusable(err):
		return holding{kept: true, damage: err, options: h.options}, nil
	case err != nil:
		return h, fmt.Errorf("%w: group %d: %w", ErrIO, group, err)
	}
	member, _ := h.Member(uint64(n.dir.Node().Node))
	h.kept = found && member
	return h, nil
}

// forceAlone makes a group that is not open this node's alone.
func (n *Node) forceAlone(ctx context.Context, o raftgroup.GroupOptions) error {
	done := make(chan struct{})
	if err := n.host.ForceAlone(o, func() { close(done) }); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// survey goes through the recovery, in memory, and tells what comes of it.
func (n *Node) survey(ctx context.Context, work *crew) (*Recovery, error) {
	id := n.dir.Node()
	self := uint64(id.Node)
	r := &Recovery{DataDir: n.o.DataDir, Cluster: id.Cluster.String(), Generation: id.Generation, Begun: id.Recovering}
	if id.Recovering {
		r.Generation--
	}
	h, err := n.holdingOf(cluster.CatalogGroup, n.founders())
	if err != nil {
		return nil, err
	}
	if err := n.leadAlone(ctx, work); err != nil {
		return nil, err
	}
	v := n.catalog.View()
	me := v.Node(self)
	switch {
	case me == nil || v.Barred(self):
		return nil, fmt.Errorf("%w: the cluster has removed this node: it can not be the one that goes on", ErrRecovery)
	case nodes(v) == 1 && !id.Recovering:
		return nil, fmt.Errorf("%w: %s is alone in its cluster: it needs nobody and starts by itself", ErrRecovery, me.Name)
	}
	r.Node, r.Revision = me.Name, v.Revision()
	r.Authority = n.holdsAuthority()
	r.Catalog = n.keptOf(v, 0, h)
	r.Catalog.Newest = time.UnixMilli(v.Stamp())
	n.surveyNodes(ctx, r, v, h)
	held := map[uint64]holding{}
	cmd := &catalog.Recover{Node: self, Generation: r.Generation + 1}
	for s := range v.Shards() {
		if held[s.ID], err = n.holding(s); err != nil {
			return nil, err
		}
		cmd.Shards = append(cmd.Shards, catalog.Recovered{ID: s.ID, Kept: held[s.ID].kept})
	}
	res, err := n.catalog.Do(ctx, cmd)
	if err != nil {
		return nil, err
	}
	for _, q := range res.Removed.Queues {
		r.Ended = append(r.Ended, QueueLeft{VHost: vhostName(v, q), Name: q.Name})
	}
	r.Exchanges = len(res.Removed.Exchanges)
	for s := range v.Shards() {
		h := held[s.ID]
		if !h.kept {
			if l := lostOf(v, s, self); len(l.Queues) > 0 {
				r.Lost = append(r.Lost, l)
			}
			continue
		}
		k := n.keptOf(v, s.ID, h)
		if err := n.count(ctx, work, v, s, h, &k); err != nil {
			return nil, err
		}
		r.Kept = append(r.Kept, k)
	}
	return r, nil
}

// founders are the voters with which the catalog began, if this node is the one.
func (n *Node) founders() []uint64 {
	if id := n.dir.Node(); id.Began == storage.Founded {
		return []uint64{uint64(id.Node)}
	}
	return nil
}

// holdsAuthority reports whether this node can let others into its cluster.
func (n *Node) holdsAuthority() bool {
	t, err := transport.LoadTrust(n.trustFiles())
	return err == nil && t.HoldsAuthority()
}

func (n *Node) keptOf(v *catalog.View, id uint64, h holding) Kept {
	self := uint64(n.dir.Node().Node)
	k := Kept{Shard: id, Last: h.Last, Term: h.LastTerm, Commit: h.Commit}
	if h.damage != nil {
		k.Damaged = h.damage.Error()
	}
	voters := slices.Concat(h.Conf.GetVoters(), h.Conf.GetVotersOutgoing())
	slices.Sort(voters)
	voters = slices.Compact(voters)
	_, k.Voter = h.Member(self)
	k.Voters = len(voters)
	others := slices.Concat(voters, h.Conf.GetLearners(), h.Conf.GetLearnersNext())
	if s := v.Shard(id); s != nil {
		others = slices.Concat(others, s.Members.Voters, s.Members.Others, s.Replicas)
	}
	k.Others = othersOf(v, others, self)
	return k
}

// othersOf are the names of nodes without one of them, each once.
func othersOf(v *catalog.View, ids []uint64, self uint64) []string {
	slices.Sort(ids)
	ids = slices.DeleteFunc(slices.Compact(ids), func(id uint64) bool { return id == self })
	names := namesOf(v, ids)
	slices.Sort(names)
	return names
}

func lostOf(v *catalog.View, s *catalog.Shard, self uint64) Lost {
	return Lost{
		Shard: s.ID, Queues: queuesOf(v, s.ID),
		Others: othersOf(v, slices.Concat(s.Members.Voters, s.Members.Others, s.Replicas), self),
	}
}

// queuesOf are the queues of a shard by vhost and name; schedules are told by the
// name of their exchange.
func queuesOf(v *catalog.View, id uint64) (qs []QueueLeft) {
	for q := range v.QueuesIn(id) {
		qs = append(qs, QueueLeft{VHost: vhostName(v, q), Name: queueName(q)})
	}
	return sortQueues(qs)
}

func queueName(q *catalog.Queue) string {
	if q.Kind == catalog.Schedule {
		return "delayed messages of exchange " + q.Name
	}
	return q.Name
}

func sortQueues(qs []QueueLeft) []QueueLeft {
	slices.SortFunc(qs, func(a, b QueueLeft) int { return cmp.Or(cmp.Compare(a.VHost, b.VHost), cmp.Compare(a.Name, b.Name)) })
	return qs
}

// reachTime is how long a node that should be gone may take to show that it is not.
const reachTime = 2 * time.Second

// surveyNodes says who is cut out, and who of them may run.
func (n *Node) surveyNodes(ctx context.Context, r *Recovery, v *catalog.View, h holding) {
	dial := n.o.Cluster.Dial
	if dial == nil {
		dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	for _, p := range peersOf(v) {
		if p.ID != uint64(n.dir.Node().Node) {
			_, voter := h.Member(p.ID)
			r.Cut = append(r.Cut, CutOut{Name: p.Name, Addr: p.Addr, Voter: voter})
		}
	}
	var wg sync.WaitGroup
	for i := range r.Cut {
		wg.Go(func() {
			c, err := dial(ctx, r.Cut[i].Addr)
			if err == nil {
				r.Cut[i].Answers = true
				_ = c.Close() // nothing was said
			}
		})
	}
	wg.Wait()
	slices.SortFunc(r.Cut, func(a, b CutOut) int { return cmp.Compare(a.Name, b.Name) })
}

// A counting is a replica that tells what it has as soon as all of its log is
// applied, before it decides anything.
type counting struct {
	*replica.Shard
	lead func()
}

// Lead implements commitlog.Machine.
func (c counting) Lead(term uint64) {
	c.lead()
	c.Shard.Lead(term)
}

// count opens a shard that is kept, and counts what is in its queues.
func (n *Node) count(ctx context.Context, work *crew, v *catalog.View, s *catalog.Shard, h holding, k *Kept) error {
	k.Queues = queuesOf(v, s.ID)
	if h.damage != nil {
		return nil
	}
	r, _, err := replica.Open(replica.Options{
		Group: s.ID, Incarnation: queue.Incarnation{Node: uint64(n.dir.Node().Node), Number: v.LastIncarnation() + 1},
		Catalog: shardCatalog{n}, State: n.store(), Log: n.seglog, Loader: n.loader, Slots: n.slots,
		Budget: n.shares.bodies, HotPages: n.shares.hotPages, Wall: n.wall, Logger: n.log, Fatal: n.fatal,
		Ended: func(shard.QueueID) {},
	})
	if refusable(err) {
		k.Damaged = err.Error()
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrIO, err)
	}
	told := make(chan struct{})
	c := counting{r, sync.OnceFunc(func() { n.tally(r, v, s, k); close(told) })}
	o := h.options
	o.Machine = c
	if err := n.forceAlone(ctx, h.options); err != nil {
		return err
	}
	g, err := n.host.Open(o)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrIO, err)
	}
	r.Bind(g)
	g.Wake()
	work.run(g.Run)
	ctx, cancel := context.WithTimeout(ctx, recoveryTime)
	defer cancel()
	select {
	case <-told:
	case <-ctx.Done():
		return fmt.Errorf("count the messages of shard %d: %w", s.ID, errors.Join(context.Cause(ctx), ctx.Err()))
	}
	g.Close()
	return await(ctx, "close a shard", func() bool { return n.host.Closed(s.ID) })
}

// tally notes what is in the queues of a shard, in its turn.
func (n *Node) tally(r *replica.Shard, v *catalog.View, s *catalog.Shard, k *Kept) {
	var ids []shard.QueueID
	for q := range v.QueuesIn(s.ID) {
		ids = append(ids, q.ID)
	}
	infos, stamp := r.Standing(ids)
	if stamp > 0 {
		k.Newest = time.UnixMilli(stamp)
	}
	k.Queues = k.Queues[:0]
	for _, id := range ids {
		q := v.QueueByID(id)
		left := QueueLeft{VHost: vhostName(v, q), Name: queueName(q)}
		if i := slices.IndexFunc(infos, func(in shard.QueueInfo) bool { return in.ID == id }); i >= 0 {
			left.Messages, left.Bytes = infos[i].Ready+infos[i].Unacked, infos[i].Bytes
		}
		k.Queues = append(k.Queues, left)
	}
	sortQueues(k.Queues)
}
