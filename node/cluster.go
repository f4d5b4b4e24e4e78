package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	iofs "io/fs"
	"net"
	"os"
	"time"

	"github.com/warrenmq/warren/cluster/member"
	"github.com/warrenmq/warren/cluster/transport"
	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/internal/step"
	"github.com/warrenmq/warren/storage"
)

// Cluster is how a node meets other nodes.
type Cluster struct {
	// Addr is the host:port at which other nodes reach this one. Empty: the node
	// is alone, and stays so.
	Addr string
	// Advertise is what others are told instead of Addr, for an Addr that names no
	// host of this machine alone. Default: Addr, with the machine's name for all
	// addresses.
	Advertise string
	// Join are addresses of members, or names of theirs. A node whose directory holds nothing becomes
	// a member through one of them; any other passes over them.
	Join []string
	// Forming is how a node finds a cluster without an address of a member.
	Forming Forming
	// Cookie is the secret that lets nodes in, CookieFile the file with it. With
	// neither it is .erlang.cookie in Home, or one that the first node of a cluster
	// makes in its data directory.
	Cookie     secret.String
	CookieFile string
	Home       string
	// ShortCookie allows one that can be guessed.
	ShortCookie bool
	// Dial connects to other nodes. Default: TCP of the machine.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Beat, Lease and Silence are the times of member.Options, which has their
	// defaults and what holds between them. They are the same on all nodes: a
	// voter whose silence is shorter than another's lease ends that node while it
	// serves.
	Beat, Lease, Silence time.Duration
}

// memberOptions are those by which the node beats and is judged.
func (o *Options) memberOptions(self uint64) member.Options {
	c := &o.Cluster
	return member.Options{Self: self, Beat: c.Beat, Lease: c.Lease, Silence: c.Silence}
}

// ErrCluster is wrapped by the errors of a node that can not be a member of its
// cluster, or of the one it was to join.
var ErrCluster = errors.New("cluster")

// Where in the data directory a node's part in its cluster is kept.
const (
	clusterDir = "cluster"
	trustFile  = "trust.pem"
	clusterKey = "cluster.key"
	cookieFile = "cookie"
)

const (
	joinTry      = 30 * time.Second // that one member may take
	joinPause    = time.Second      // until all are asked again
	joinRefusals = 3                // refusals after which it is given up
)

// joins reports whether the node has to be let into a cluster before anything
// else.
func (n *Node) joins() bool {
	return len(n.o.Cluster.Join) > 0 && n.dir.Node().Began == "" && n.dir.Unused()
}

func (n *Node) clustered() bool { return n.o.Cluster.Addr != "" }

func (n *Node) trustFiles() transport.Files {
	dir := n.o.FS.PathJoin(n.o.DataDir, clusterDir)
	f := transport.Files{FS: n.o.FS, Trust: n.o.FS.PathJoin(dir, trustFile), ClusterKey: n.o.FS.PathJoin(dir, clusterKey)}
	if n.o.modes {
		f.Protect = os.Chmod
	}
	return f
}

// openTrust finds what the node proves itself with, and makes it for a node that
// founds a cluster.
func (n *Node) openTrust() error {
	files := n.trustFiles()
	t, err := transport.LoadTrust(files)
	switch {
	case errors.Is(err, iofs.ErrNotExist):
		return n.found(files)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrCluster, err)
	}
	id := n.dir.Node()
	if t.Node() != uint64(id.Node) {
		return fmt.Errorf("%w: %s is that of node %016x, this is node %s: one of them was copied", ErrCluster, files.Trust, t.Node(), id.Node)
	}
	if t.Cluster() != uint64(id.Cluster) {
		if id.Began != "" || !n.dir.Unused() {
			return fmt.Errorf("%w: %s is of cluster %016x, the data of cluster %s", ErrCluster, files.Trust, t.Cluster(), id.Cluster)
		}
		// It was let in, and ended before it noted that.
		id.Cluster, id.Began = storage.ID(t.Cluster()), storage.Joined
		if err := n.dir.SetNode(id); err != nil {
			return err
		}
	}
	n.trust = t
	return nil
}

func (n *Node) found(files transport.Files) error {
	id := n.dir.Node()
	if id.Began == storage.Joined {
		return fmt.Errorf("%w: %s is missing: the node can not prove to its cluster who it is; put it back, or forget the node and join with an empty directory", ErrCluster, files.Trust)
	}
	t, err := transport.Found(transport.Founder{Cluster: uint64(id.Cluster), Node: uint64(id.Node), Now: n.o.Wall(), Rand: rand.Reader})
	if err != nil {
		return err
	}
	if err := n.saveTrust(t, files); err != nil {
		return err
	}
	n.trust = t
	return nil
}

func (n *Node) saveTrust(t *transport.Trust, files transport.Files) error {
	if err := n.o.FS.MkdirAll(n.o.FS.PathDir(files.Trust), 0o700); err != nil {
		return fmt.Errorf("%w: %w", ErrIO, err)
	}
	return t.Save(files)
}

// began notes that the node is the first of its cluster, if nothing else is
// known.
func (n *Node) began() error {
	id := n.dir.Node()
	if id.Began != "" {
		return nil
	}
	id.Began = storage.Founded
	return n.dir.SetNode(id)
}

// cookie finds the secret that lets nodes in.
func (n *Node) cookie() (*transport.Cookie, error) {
	c := n.o.Cluster
	dir := n.o.FS.PathJoin(n.o.DataDir, clusterDir)
	fresh := n.joins() || n.forms()
	if !fresh {
		if err := n.o.FS.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrIO, err)
		}
	}
	text, from, err := member.Cookie(member.CookieOptions{
		Value: c.Cookie, File: c.CookieFile, Home: c.Home, Make: n.o.FS.PathJoin(dir, cookieFile),
		MayMake: !fresh, Short: c.ShortCookie, FS: n.o.FS, Rand: rand.Reader,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCluster, err)
	}
	cookie, err := transport.NewCookie(text, c.ShortCookie)
	if err != nil {
		return nil, fmt.Errorf("%w: the cookie of %s: %w", ErrCluster, from, err)
	}
	return cookie, nil
}

// join has the node let into a cluster, by whichever member answers. It waits as
// long as none does.
func (n *Node) join(ctx context.Context) error {
	if n.trust != nil {
		return nil // it was let in before
	}
	cookie, err := n.cookie()
	if err != nil {
		return err
	}
	said := ""
	for refused := refusals(0); ; {
		for _, addr := range n.o.Cluster.Join {
			a, t, err := n.joinThrough(ctx, addr, cookie)
			if err == nil {
				return n.joined(a, t, addr)
			}
			if refused.final(err) {
				return fmt.Errorf("%w: %w", ErrCluster, err)
			}
			if err.Error() != said {
				said = err.Error()
				n.waitsFor(fmt.Sprintf("waiting to be let into a cluster by %s: %v", addr, err))
				n.log.Info("waiting to be let into a cluster", "peer", addr, "err", err)
			}
		}
		select {
		case <-time.After(joinPause):
		case <-ctx.Done():
			return fmt.Errorf("wait to be let into a cluster: %w", ctx.Err())
		}
	}
}

func (n *Node) joinThrough(ctx context.Context, addr string, cookie *transport.Cookie) (transport.Admission, *transport.Trust, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTry)
	defer cancel()
	addr, err := n.resolve(ctx, addr)
	if err != nil {
		return transport.Admission{}, nil, err
	}
	return transport.Join(ctx, transport.JoinOptions{
		Addr: addr, Cookie: cookie, Dial: n.o.Cluster.Dial,
		Request: transport.JoinRequest{Node: uint64(n.dir.Node().Node), Name: n.o.Name, Addr: n.advertised()},
	})
}

// joined keeps what the cluster gave. The order is such that a node that ends in
// between finds itself let in, and not one of its own cluster.
func (n *Node) joined(a transport.Admission, t *transport.Trust, through string) error {
	step.At(step.NodeLetIn)
	if err := n.o.FS.MkdirAll(n.o.FS.PathDir(n.peersPath()), 0o700); err != nil {
		return fmt.Errorf("%w: %w", ErrIO, err)
	}
	if err := n.savePeers(a.Peers); err != nil {
		return fmt.Errorf("%w: %w", ErrIO, err)
	}
	if err := n.saveTrust(t, n.trustFiles()); err != nil {
		return err
	}
	step.At(step.NodeTrusted)
	id := n.dir.Node()
	id.Cluster, id.Began, id.Generation = storage.ID(t.Cluster()), storage.Joined, a.Generation
	if err := n.dir.SetNode(id); err != nil {
		return err
	}
	n.trust = t
	step.At(step.NodeJoined)
	n.log.Info("let into a cluster", "peer", through, "text", id.Cluster.String())
	return nil
}

// advertised is where other nodes are told to find this one.
func (n *Node) advertised() string {
	if a := n.o.Cluster.Advertise; a != "" {
		return a
	}
	host, port, err := net.SplitHostPort(n.o.Cluster.Addr)
	if err != nil {
		return n.o.Cluster.Addr // Validate has looked at it
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return net.JoinHostPort(host, port)
}
