package node

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/cluster"
	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/core/catalog"
	"github.com/warrenmq/warren/storage"
)

// A node whose replica of the catalog lost what it had acknowledged has no catalog
// to be told by. It asks the members that it knows the addresses of to have it
// taken out of the catalog's group. When that is committed without it, it notes
// where, drops what it has, begins with nothing, mute up to there, and asks to be
// let in again. Each step is found done when it ends in between:
//
//	cluster/catalog.lost   "lost": the replica counts for nothing; a number: it was
//	                       out of the group at that index, and may be dropped

// ErrAgain is returned by Run of a node that has to be started again to go on: its
// catalog turned out to lack what it had acknowledged, or its state store is damaged,
// and is made anew then.
var ErrAgain = errors.New("the node has to be started again, to make anew from the others what is damaged here")

const (
	lostFile = "catalog.lost"
	lostWord = "lost"
	// lostTime bounds what a member does for one that lost its catalog.
	lostTime = 20 * time.Second
)

// What a bulk request about a lost catalog asks for.
const (
	askOut  = 'o' // take me out of the catalog's group: answered with the index
	askBack = 'b' // let me in again: answered with nothing
)

func (n *Node) lostPath() string {
	return n.o.FS.PathJoin(n.o.FS.PathJoin(n.o.DataDir, clusterDir), lostFile)
}

// noteLost keeps what is known of the loss.
func (n *Node) noteLost(text string) error {
	if err := n.replaceFile(n.lostPath(), []byte(text+"\n")); err != nil {
		return fmt.Errorf("%w: note that the catalog is lost: %w", ErrIO, err)
	}
	return nil
}

// replaceFile writes a small file, durably and whole.
func (n *Node) replaceFile(path string, text []byte) error {
	f, err := n.o.FS.Create(path+".tmp", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := n.o.FS.Rename(path+".tmp", path); err != nil {
		return err
	}
	d, err := n.o.FS.OpenDir(n.o.FS.PathDir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lostCatalog reads what was noted: whether the catalog is lost, and the index at
// which this node was out of its group, 0 if that is not known yet.
func (n *Node) lostCatalog() (lost bool, at uint64, err error) {
	f, err := n.o.FS.Open(n.lostPath())
	if errors.Is(err, iofs.ErrNotExist) {
		return false, 0, nil
	}
	if err != nil {
		return false, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil {
		return false, 0, err
	}
	word := strings.TrimSpace(string(text))
	if word == lostWord {
		return true, 0, nil
	}
	if at, err = strconv.ParseUint(word, 10, 64); err != nil {
		return false, 0, fmt.Errorf("%s: %w", n.lostPath(), err)
	}
	return true, at, nil
}

// abandonCatalog makes room for a catalog from the others, if this node's is lost;
// why is what is known of the loss, nil if it has to be looked for. It returns the
// index below which the new replica is mute.
func (n *Node) abandonCatalog(ctx context.Context, why error) (mute uint64, err error) {
	if !n.clustered() {
		return 0, why
	}
	lost, at, err := n.lostCatalog()
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w: %w", ErrIO, err)
	case !lost && why == nil:
		return 0, nil
	case why != nil || at == 0: // what was let in again may be damaged again
		ps, err := n.loadPeers()
		if err != nil || len(ps) < 2 {
			return 0, errors.Join(why, err)
		}
		n.log.Error("the catalog lost acknowledged data here, it is made anew from the other nodes", "err", why)
		if err := n.noteLost(lostWord); err != nil {
			return 0, err
		}
		// Whatever it founded, it does not found it again. Nobody asks for that yet:
		// the transport has no peers.
		if id := n.dir.Node(); id.Began != storage.Joined {
			id.Began = storage.Joined
			if err := n.dir.SetNode(id); err != nil {
				return 0, fmt.Errorf("%w: %w", ErrIO, err)
			}
		}
		if at, err = n.askPeers(ctx, ps, askOut); err != nil {
			return 0, err
		}
		if err := n.dropCatalog(ctx); err != nil {
			return 0, err
		}
		return at, n.noteLost(strconv.FormatUint(at, 10))
	}
	return at, nil
}

func (n *Node) dropCatalog(ctx context.Context) error {
	dropped := make(chan struct{})
	n.seglog.Submit(&storage.Append{Group: cluster.CatalogGroup, Reset: &storage.Reset{Drop: true}, Done: func() { close(dropped) }})
	select {
	case <-dropped:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := n.slots.Drop(cluster.CatalogGroup); err != nil {
		return fmt.Errorf("%w: %w", ErrIO, err)
	}
	return nil
}

// askPeers asks one member after the other until one has done what it is asked
// for, and says for what it waits.
func (n *Node) askPeers(ctx context.Context, ps []transport.Peer, what byte) (at uint64, err error) {
	n.transport.SetPeers(ps) //nolint:contextcheck // connections outlive what opens them
	said := ""
	for {
		for _, p := range ps {
			if p.ID == uint64(n.dir.Node().Node) {
				continue
			}
			if at, err = n.askPeer(ctx, p.ID, what); err == nil {
				return at, nil
			}
			if err.Error() != said && ctx.Err() == nil {
				said = err.Error()
				n.waitsFor("waiting for the catalog of the other nodes: " + said)
				n.log.Info("waiting for the catalog of the other nodes", "peer", p.Name, "err", err)
			}
		}
		select {
		case <-time.After(joinPause):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (n *Node) askPeer(ctx context.Context, id uint64, what byte) (at uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, lostTime)
	defer cancel()
	s, err := n.transport.Bulk(ctx, id, []byte{bulkLost, what})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	answer, err := io.ReadAll(io.LimitReader(s, 1024))
	if err != nil {
		return 0, err
	}
	if len(answer) < 9 || answer[0] != 0 {
		return 0, errors.New(string(bytes.TrimLeft(answer, "\x01")))
	}
	return binary.BigEndian.Uint64(answer[1:]), nil
}

// lostAsked serves a member that lost its catalog.
func (n *Node) lostAsked(s *transport.BulkStream, head []byte) error {
	ctx, cancel := context.WithTimeout(n.work.ctx, lostTime)
	defer cancel()
	at, err := n.serveLost(ctx, s.Peer(), head)
	answer := binary.BigEndian.AppendUint64([]byte{0}, at)
	if err != nil {
		answer = append([]byte{1}, err.Error()...)
	}
	if _, err := s.Write(answer); err != nil {
		return err
	}
	return nil
}

func (n *Node) serveLost(ctx context.Context, from uint64, head []byte) (at uint64, err error) {
	if len(head) != 1 || n.catalog == nil {
		return 0, errors.New("this node can not tell yet")
	}
	intent := func() *catalog.Intent { return n.catalog.View().IntentFor(catalog.Replace, from) }
	switch head[0] {
	case askBack:
		if i := intent(); i != nil {
			_, err = n.do(ctx, &catalog.EndIntent{ID: i.ID})
		}
		return 0, err
	case askOut:
	default:
		return 0, errors.New("this version does not know what it is asked for")
	}
	if m, ok := n.catalogMembers(); ok && slices.Contains(m.Voters, from) && len(m.Voters) < 3 {
		return 0, errors.New("the catalog has two voters and needs both: what one of them lost can not be given up without it; see docs/partitions.md")
	}
	if intent() == nil {
		if _, err := n.do(ctx, &catalog.AddIntent{Kind: catalog.Replace, Subject: from}); err != nil {
			return 0, err
		}
	}
	err = await(ctx, "wait until the node is out of the catalog's group", func() bool {
		m, ok := n.catalogMembers()
		return ok && intent() != nil && !m.Has(from)
	})
	return n.host.Group(cluster.CatalogGroup).Status().ConfIndex, err
}

// comeBack has the node let into the catalog's group again, and forgets that it was
// out when it has the catalog.
func (n *Node) comeBack(ctx context.Context) {
	ps, err := n.loadPeers()
	if err == nil {
		_, err = n.askPeers(ctx, ps, askBack)
	}
	if err == nil {
		err = await(ctx, "wait for the catalog", func() bool {
			return n.node() != nil && n.catalog.View().IntentFor(catalog.Replace, uint64(n.dir.Node().Node)) == nil
		})
	}
	if err == nil {
		err = n.o.FS.Remove(n.lostPath())
	}
	if err != nil && ctx.Err() == nil {
		n.log.Warn("the catalog could not be made anew", "err", err)
	}
}
