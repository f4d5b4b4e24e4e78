package node

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/warrenmq/warren/cluster/member"
	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/storage"
)

// What can be done with a data directory while no node runs in it. The caller
// sees to it that none does.

// A Rest is what a data directory says while no node runs in it.
type Rest struct {
	// Fresh says that no node has run in it, or what one left was wiped.
	Fresh bool
	// Members are the nodes of its cluster by name, as it knew them last; none
	// for a node that is alone.
	Members []string
}

// Look reads what the data directory of these options says.
func Look(o Options) (r Rest, err error) {
	o = o.withDefaults()
	text, err := readSmall(o.FS, o.FS.PathJoin(o.DataDir, "node.json"))
	if errors.Is(err, iofs.ErrNotExist) {
		return Rest{Fresh: true}, nil
	}
	var self storage.Node
	if err == nil {
		err = json.Unmarshal(text, &self)
	}
	if err != nil {
		return r, fmt.Errorf("%w: node.json: %w", ErrDataDir, err)
	}
	r.Fresh = self.Began == ""
	ps, err := (&Node{o: o}).loadPeers()
	if err != nil {
		return r, fmt.Errorf("%w: %w", ErrDataDir, err)
	}
	for _, p := range ps {
		r.Members = append(r.Members, p.Name)
	}
	slices.Sort(r.Members)
	return r, nil
}

func readSmall(fs vfs.FS, path string) (text []byte, err error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, maxPeersFile))
}

// Wipe removes a node with all that it holds from the data directory of these
// options: what is started there next is another node, with an id of its own.
// The secret that lets nodes in stays, it is the operator's. An interrupted wipe
// is done again from its beginning.
func Wipe(o Options) error {
	o = o.withDefaults()
	names, err := o.FS.List(o.DataDir)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrIO, err)
	}
	var gone []string
	for _, name := range names {
		if name == reserveName || isEpoch(name) {
			gone = append(gone, name)
		}
	}
	inCluster, err := o.FS.List(o.FS.PathJoin(o.DataDir, clusterDir))
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrIO, err)
	}
	for _, name := range inCluster {
		if name != cookieFile {
			gone = append(gone, o.FS.PathJoin(clusterDir, name))
		}
	}
	// node.json goes last: without it, data is not known to be anybody's.
	for _, name := range append(gone, "node.json") {
		if err := o.FS.RemoveAll(o.FS.PathJoin(o.DataDir, name)); err != nil && !errors.Is(err, iofs.ErrNotExist) {
			return fmt.Errorf("%w: remove %s: %w", ErrIO, name, err)
		}
	}
	return syncDirs(o.FS, o.DataDir, o.FS.PathJoin(o.DataDir, clusterDir))
}

// isEpoch reports whether a name is that of an epoch's directory.
func isEpoch(name string) bool {
	digits, ok := strings.CutPrefix(name, "e")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

func syncDirs(fs vfs.FS, paths ...string) error {
	for _, path := range paths {
		d, err := fs.OpenDir(path)
		if errors.Is(err, iofs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = errors.Join(d.Sync(), d.Close())
		}
		if err != nil {
			return fmt.Errorf("%w: sync %s: %w", ErrIO, path, err)
		}
	}
	return nil
}

// Join has a node that was never run, and whose directory holds nothing, let into
// the cluster of Options.Cluster.Join, and gives back what New took. Unlike Run
// it does not wait for a member that does not answer.
func (n *Node) Join(ctx context.Context) error {
	defer n.closeStores()
	if !n.joins() {
		return fmt.Errorf("%w: the data directory holds something, or no member was named", ErrCluster)
	}
	cookie, err := n.cookie()
	if err != nil {
		return err
	}
	for {
		var why []error
		busy := false
		for _, addr := range n.o.Cluster.Join {
			a, t, err := n.joinThrough(ctx, addr, cookie)
			if err == nil {
				return n.joined(a, t, addr)
			}
			var no *transport.Refusal
			busy = busy || errors.As(err, &no) && no.Reason == transport.RefusedBusy
			why = append(why, err)
		}
		if !busy {
			return fmt.Errorf("%w: %w", ErrCluster, errors.Join(why...))
		}
		select {
		case <-time.After(joinPause):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrCluster, errors.Join(why...))
		}
	}
}

// Holds says what a running node has that joining another cluster would destroy,
// if there is anything.
func (n *Node) Holds() (what string, yes bool) { return member.HasData(n.catalog.View()) }

// Waiting says what a node that starts waits for, if there is anything.
func (n *Node) Waiting() string {
	h := n.Health()
	return cmp.Or(h.Why, h.Text)
}
