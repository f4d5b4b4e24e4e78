package node

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"go.etcd.io/raft/v3"

	"github.com/warrenmq/warren/admin"
	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/core/catalog"
)

// noProc is what RabbitMQ says of a replica that does not answer.
const noProc = "noproc"

// QueueReplicas implements admin.Replicas.
func (o operations) QueueReplicas(ctx context.Context, q admin.QueueOf) (admin.ReplicaList, error) {
	s, err := o.shardOfQueue(q)
	if err != nil {
		return admin.ReplicaList{}, err
	}
	v := o.catalog.View()
	ids := slices.Concat(s.Members.Voters, s.Members.Others)
	for _, id := range s.Replicas {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	list := admin.ReplicaList{Replicas: make([]admin.Replica, len(ids))}
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			r, err := o.replicaOn(ctx, id, s.ID)
			if err != nil {
				r = admin.Replica{State: noProc}
				o.log.Debug("a node does not say what replica it has", "group", s.ID, "err", err)
			}
			for _, name := range namesOf(v, []uint64{id}) {
				r.Node = name
			}
			list.Replicas[i] = r
		})
	}
	wg.Wait()
	slices.SortFunc(list.Replicas, func(a, b admin.Replica) int {
		lead := func(r admin.Replica) int {
			if r.State == "leader" {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(lead(a), lead(b)), cmp.Compare(a.Node, b.Node))
	})
	return list, nil
}

// shardOfQueue returns the shard of a queue that has replicas.
func (o operations) shardOfQueue(q admin.QueueOf) (*catalog.Shard, error) {
	h, err := o.vhost(q.VHost)
	if err != nil {
		return nil, err
	}
	x := h.Queue(q.Queue)
	if x == nil {
		return nil, admin.NotFoundf(admin.QueueThing, q.Queue)
	}
	s := o.catalog.View().Shard(x.Shard)
	if s == nil {
		return nil, admin.Invalidf("queue '%s' in vhost '%s' is in the memory of one node and has no replicas", q.Queue, q.VHost)
	}
	return s, nil
}

// replicaOn asks a node what it has of a shard.
func (n *Node) replicaOn(ctx context.Context, id, of uint64) (r admin.Replica, err error) {
	if id == uint64(n.dir.Node().Node) {
		return n.replica(of), nil
	}
	if n.transport == nil {
		return r, errors.New("this node reaches no other")
	}
	ctx, cancel := context.WithTimeout(ctx, aboutTime)
	defer cancel()
	s, err := n.transport.Bulk(ctx, id, binary.BigEndian.AppendUint64([]byte{bulkReplica}, of))
	if err != nil {
		return r, fmt.Errorf("ask a node about a replica: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	text, err := io.ReadAll(io.LimitReader(s, maxAbout))
	if stop() {
		err = errors.Join(err, s.Close())
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read what a node says of a replica: %w", err)
	}
	return r, nil
}

// tellReplica answers another node.
func (n *Node) tellReplica(s *transport.BulkStream, head []byte) error {
	if len(head) != 8 {
		return errors.New("a request about no replica")
	}
	text, err := json.Marshal(n.replica(binary.BigEndian.Uint64(head)))
	if err != nil {
		return fmt.Errorf("write what replica this node has: %w", err)
	}
	_, err = s.Write(text)
	return err
}

// replica is what this node has of a shard.
func (n *Node) replica(of uint64) admin.Replica {
	g := n.host.Group(of)
	if g == nil {
		return admin.Replica{State: noProc}
	}
	st := g.Status()
	r := admin.Replica{Term: st.Term, Log: st.Last, Commit: st.Commit, Applied: st.Applied, Snapshot: max(st.First, 1) - 1}
	switch {
	case st.Role == raft.StateLeader:
		r.State = "leader"
	case slices.Contains(st.ConfState.GetLearners(), uint64(n.dir.Node().Node)):
		r.State = "learner"
	case st.Role == raft.StateFollower:
		r.State = "follower"
	default:
		r.State = "candidate"
	}
	return r
}
