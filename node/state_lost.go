package node

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"slices"
	"strconv"
	"syscall"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/reconcile"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/storage"
	"github.com/warrenmq/warren/storage/slot"
	"github.com/warrenmq/warren/storage/state"
)

// The state store holds the checkpoints of all replicas of a node. If it is damaged
// so that it can not be opened, or was met damaged while the node ran, a node of a
// cluster puts it aside and begins with an empty one: every replica whose log does
// not reach back to its beginning counts as damaged then, and is made anew from the
// others. What was put aside is kept until an operator deletes it.
//
// Who needs what is damaged ends the process. A compaction, or who sends a snapshot,
// can go on without; but damage that is let lie is there when another node is
// damaged too. So the node starts again for it as soon as the others are whole:
// what it has and they lack must not go before they have got it.

// stateLostFile notes in the cluster's directory that the state store is damaged.
const stateLostFile = "state.lost"

func (n *Node) stateLostPath() string {
	return n.o.FS.PathJoin(n.o.FS.PathJoin(n.o.DataDir, clusterDir), stateLostFile)
}

// rebuilds reports whether what is lost here can be had from a majority of others.
func (n *Node) rebuilds() bool {
	if !n.clustered() {
		return false
	}
	ps, err := n.loadPeers()
	return err == nil && len(ps) > 2
}

// openState opens the state store, an empty one if what there is is damaged and can
// be made anew.
func (n *Node) openState() error {
	if _, err := n.o.FS.Stat(n.stateLostPath()); err == nil && n.rebuilds() {
		if err := n.putStateAside(errors.New("it was met damaged while the node ran")); err != nil {
			return err
		}
		if err := n.o.FS.Remove(n.stateLostPath()); err != nil {
			return fmt.Errorf("%w: %w", ErrIO, err)
		}
	}
	err := n.openStateOnce()
	if err != nil && unreadable(err) && n.rebuilds() {
		n.closeState()
		if err := n.putStateAside(err); err != nil {
			return err
		}
		err = n.openStateOnce()
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrIO, err)
	}
	return nil
}

// unreadable reports whether an error of opening the store says that its files are
// damaged. The store has no one word for that; what may be the disk's or the
// machine's bad moment is told apart.
func unreadable(err error) bool {
	for _, passing := range []error{
		syscall.EIO, syscall.ENOSPC, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EROFS, iofs.ErrPermission, context.Canceled,
	} {
		if errors.Is(err, passing) {
			return false
		}
	}
	return true
}

func (n *Node) openStateOnce() (err error) {
	n.stateDamage.Store(nil)
	n.state, err = state.OpenPebble(state.Options{
		FS: n.o.FS, Dir: n.dir.StatePath(), MemoryBytes: uint64(n.o.Memory.Memtable + n.o.Memory.Cache),
		Logger: n.log, Clock: n.clock, Fatal: n.fatal,
		Damaged: func(err error) { n.stateDamage.CompareAndSwap(nil, &err) },
	})
	if err != nil {
		return err
	}
	n.slots, err = slot.Open(n.store())
	return err
}

// putStateAside renames the store's directory.
func (n *Node) putStateAside(why error) error {
	from := n.dir.StatePath()
	for k := 1; ; k++ {
		to := from + ".damaged-" + strconv.Itoa(k)
		if _, err := n.o.FS.Stat(to); err == nil {
			continue
		}
		n.log.Error("the state store is damaged and put aside, it is made anew from the other nodes", "path", to, "err", why)
		if err := n.o.FS.Rename(from, to); err != nil {
			return fmt.Errorf("%w: put the damaged state store aside: %w", ErrIO, err)
		}
		n.stateLost = true
		return nil
	}
}

// noteDamage has the next start put the state store aside, if an error says that it
// is damaged; it reports whether that will be so.
func (n *Node) noteDamage(err error) bool {
	if !errors.Is(err, storage.ErrDamaged) || !n.rebuilds() {
		return false
	}
	if err := n.replaceFile(n.stateLostPath(), nil); err != nil {
		n.log.Error("the damage could not be noted", "err", err)
		return false
	}
	n.log.Info("the next start of the node makes the damaged state store anew from the other nodes")
	return true
}

// remake has the node start again, with an empty state store, if that is damaged and
// every replica here can be had from others.
func (k *keeper) remake(v *catalog.View) {
	n := k.n
	why := n.stateDamage.Load()
	if why == nil || n.again.Load() || !k.spared(v) || !n.noteDamage(*why) {
		return // a start that finds no note would meet the damage again
	}
	n.log.Error("the node starts again, its state store is damaged", "err", *why)
	n.startAgain()
}

// spared reports whether no shard with a replica here, nor the catalog, needs it:
// each has a majority without it, all of whom live and lack nothing.
func (k *keeper) spared(v *catalog.View) bool {
	self := uint64(k.n.dir.Node().Node)
	well := func(voters []uint64) bool {
		return !slices.Contains(voters, self) || len(voters) > 2 && !slices.ContainsFunc(voters, func(id uint64) bool {
			m := v.Node(id)
			return id != self && (m == nil || m.Incarnation == 0)
		})
	}
	for s := range v.Shards() {
		if !s.Holds(self) {
			continue
		}
		voters := s.Members.Voters
		if s.Members.At == 0 {
			voters = s.Founders
		}
		lacks := func(id uint64) bool { return !slices.Contains(voters, id) || reconcile.Damaged(s, id) }
		if !well(voters) || len(s.Members.Others) > 0 || slices.ContainsFunc(s.Replicas, lacks) {
			return false
		}
	}
	g := k.n.host.Group(cluster.CatalogGroup)
	return g != nil && well(g.Status().ConfState.GetVoters())
}

// stateText says what becomes of a state store that is damaged; empty if none is.
func (n *Node) stateText() string {
	why := n.stateDamage.Load()
	switch {
	case why == nil:
		return ""
	case n.rebuilds():
		return fmt.Sprintf("the state store is damaged, it is made anew when no shard here needs it and the other nodes are whole: %v", *why)
	}
	return fmt.Sprintf("the state store is damaged, and there are no other nodes to make it anew from: restore a backup, see docs/partitions.md: %v", *why)
}
