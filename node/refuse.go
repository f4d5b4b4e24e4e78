package node

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/raftgroup"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/shard/replica"
	"github.com/warrenmq/warren/storage"
)

// A shardTable is the shards of this node. It does not change once it is
// published.
type shardTable struct {
	open    map[uint64]*replica.Shard
	refused map[uint64]error // those that lost acknowledged data, and what
}

// changeShards publishes a changed copy of the table. change may be called more
// than once.
func (n *Node) changeShards(change func(*shardTable)) {
	for {
		old := n.shards.Load()
		t := &shardTable{open: map[uint64]*replica.Shard{}, refused: map[uint64]error{}}
		maps.Copy(t.open, old.open)
		maps.Copy(t.refused, old.refused)
		change(t)
		if n.shards.CompareAndSwap(old, t) {
			return
		}
	}
}

// lossOf returns what is known to be lost of a group's log, nil if it is whole.
// known says that the log has, or should have, the group.
func (n *Node) lossOf(group uint64, known bool) error {
	gs, found := n.seglog.Bounds(group)
	damages := n.seglog.Damages()
	switch {
	case found && !gs.Damaged, !found && (!known || len(damages) == 0):
		return nil
	case len(damages) == 0:
		return fmt.Errorf("%w: found at an earlier start", storage.ErrDamaged)
	}
	var places []string
	for _, d := range damages {
		if d.Known && d.Group != group {
			continue
		}
		if len(places) == maxPlaces {
			places = append(places, fmt.Sprintf("and more (%d places in all)", len(damages)))
			break
		}
		places = append(places, d.Place())
	}
	if !found {
		places = append(places, "nothing of the group is left")
	}
	return fmt.Errorf("%w: %s", storage.ErrDamaged, strings.Join(places, "; "))
}

// maxPlaces bounds how many places of a loss are named.
const maxPlaces = 8

// refusable tells whether an error of a shard's start says that the shard lost
// data. The shard is refused then, and the rest serves; after any other error
// the disk is not to be trusted.
func refusable(err error) bool {
	return errors.Is(err, storage.ErrDamaged) || errors.Is(err, raftgroup.ErrInconsistent)
}

// refuse gives a shard up and says what is lost.
func (n *Node) refuse(s *catalog.Shard, why error) {
	var queues []string
	count := 0
	for q := range n.catalog.View().QueuesIn(s.ID) {
		if count++; len(queues) < maxPlaces {
			queues = append(queues, q.Name)
		}
	}
	n.log.Error("shard refused, it lost acknowledged data", "text", refusedText(s, uint64(n.dir.Node().Node)),
		"group", s.ID, "err", why, "count", count, "queue", queues)
	n.changeShards(func(t *shardTable) { delete(t.open, s.ID); t.refused[s.ID] = why })
}

// catalogError says why the catalog, and with it the node, can not start.
func catalogError(err error) error {
	if refusable(err) {
		return fmt.Errorf("%w: the catalog (group %d), which names every queue and user, lost acknowledged data; restore the data directory from a copy: %w",
			ErrIO, cluster.CatalogGroup, err)
	}
	return fmt.Errorf("%w: catalog: %w", ErrIO, err)
}
