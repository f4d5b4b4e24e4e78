package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warrenmq/warren/internal/freeport"
	"github.com/warrenmq/warren/internal/secret"
	"github.com/warrenmq/warren/storage"
)

// forming are the options of so many nodes that find each other by name.
func forming(t *testing.T, n int) (os []Options) {
	t.Helper()
	dir := t.TempDir()
	registry := Registry{Dir: filepath.Join(dir, "names"), Alive: func(int) bool { return true }}
	var peers []string
	for k := range n {
		peers = append(peers, fmt.Sprintf("warren-%d@test", k+1))
	}
	for k := range n {
		o := clusterOptions(t, dir, k+1)
		o.Cluster.Addr = freeport.Addr(t)
		o.Cluster.Forming = Forming{Peers: peers, Registry: registry, Alone: -1}
		o.Cluster.Dial = dialQuickly
		os = append(os, o)
	}
	return os
}

// dialQuickly keeps names that are not in the registry yet from being looked up.
func dialQuickly(ctx context.Context, addr string) (net.Conn, error) {
	if strings.HasPrefix(addr, "test:") {
		return nil, fmt.Errorf("%s is not there yet", addr)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// oneCluster waits until all serve, and wants them to be in one cluster which one
// of them founded.
func oneCluster(t *testing.T, rs []*running) {
	t.Helper()
	founded := 0
	for _, r := range rs {
		select {
		case <-r.Ready():
		case err := <-r.ended:
			t.Fatalf("%s ended: %v\n%s", r.o.Name, err, r.log)
		case <-time.After(60 * time.Second):
			all := ""
			for _, x := range rs {
				all += fmt.Sprintf("%s: %+v\n%s\n", x.o.Name, x.Health(), x.log)
			}
			t.Fatalf("%s does not serve; all nodes say:\n%s", r.o.Name, all)
		}
		if r.dir.Node().Began == storage.Founded {
			founded++
		}
		if a, b := r.dir.Node().Cluster, rs[0].dir.Node().Cluster; a != b {
			t.Errorf("%s is in cluster %s, %s in %s", r.o.Name, a, rs[0].o.Name, b)
		}
	}
	if founded != 1 {
		t.Errorf("%d nodes founded a cluster", founded)
	}
	waitWhole(t, rs, len(rs))
	for _, r := range rs { // a life may have ended in the turmoil: then the next serves
		r.eventually("it serves", 20*time.Second, func() bool { return r.Addrs()["amqp"] != "" })
	}
}

// Three nodes that are started for the first time at once, in any order, are one
// cluster (estate R24).
func TestFirstBootOfThree(t *testing.T) {
	t.Parallel()
	for round := range 2 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			os := forming(t, 3)
			rand.Shuffle(len(os), func(i, j int) { os[i], os[j] = os[j], os[i] })
			var rs []*running
			for _, o := range os {
				rs = append(rs, launch(t, o))
			}
			defer stopAll(rs)
			oneCluster(t, rs)

			// What was declared at one is at the others.
			declare(t, rs[0].channel(), "q")
			publish(t, rs[1].channel(), "q", 0, 5)
			drainAll(t, rs[2].channel(), "q", 5)
		})
	}
}

func stopAll(rs []*running) {
	for _, r := range rs {
		if r.cancel != nil {
			r.stop()
		}
	}
}

// Nodes that end at any moment of forming and come back make one cluster all the
// same.
func TestInterruptedForming(t *testing.T) {
	t.Parallel()
	os := forming(t, 3)
	rs := make([]*running, len(os))
	for k, o := range os {
		rs[k] = launch(t, o)
	}
	for range 12 {
		k := rand.IntN(len(rs))
		<-time.After(time.Duration(rand.IntN(300)) * time.Millisecond)
		rs[k].stop()
		rs[k] = launch(t, os[k])
	}
	defer func() { stopAll(rs) }()
	// The nodes' own directories tell who founded.
	oneCluster(t, rs)
}

// What a fresh node waits for is told, and a node that is told no peer's address
// but a name joins through it.
func TestFormingSays(t *testing.T) {
	t.Parallel()
	os := forming(t, 3)
	second := launch(t, healthy(os[1]))
	second.answers("/health/ready", 503, "booting: waiting for warren-1@test to found the cluster, which does not answer: ")
	first := launch(t, healthy(os[0]))
	first.answers("/health/ready", 503, "booting: waiting for warren-3@test before founding the cluster")
	second.answers("/health/ready", 503, "booting: waiting for warren-1@test to found the cluster\n")
	third := launch(t, os[2])
	rs := []*running{first, second, third}
	defer stopAll(rs)
	oneCluster(t, rs)

	joins := os[0]
	joins.Name, joins.DataDir = "warren-4@test", filepath.Join(t.TempDir(), "4")
	joins.Cluster.Addr = freeport.Addr(t)
	joins.Cluster.Forming.Peers, joins.Cluster.Join = nil, []string{"warren-2"}
	fourth := start(t, joins)
	if a, b := fourth.dir.Node().Cluster, first.dir.Node().Cluster; a != b {
		t.Errorf("it is in cluster %s, not in %s", a, b)
	}
}

// A node of another cookie is not let in, and founds nothing.
func TestFormingWithAnotherCookie(t *testing.T) {
	t.Parallel()
	os := forming(t, 2)
	os[1].Cluster.Cookie = secret.New("a cookie that is another one")
	os[0].Cluster.Forming.Alone = time.Millisecond
	first := start(t, os[0])
	other := launch(t, healthy(os[1]))
	other.answers("/health/ready", 503, "booting: waiting for warren-1@test to found the cluster, which does not answer: ")
	other.answers("/health", 503, "cookie")
	other.stop()
	if first.dir.Node().Cluster == other.dir.Node().Cluster {
		t.Error("it is in the cluster")
	}
}

// Nodes find each other by a cluster's name alone, and see those of no other name
// (estate Q5, Q6).
func TestMulticast(t *testing.T) {
	t.Parallel()
	group := netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 192, 25, byte(rand.IntN(250))}), uint16(20000+rand.IntN(10000)))
	dir := t.TempDir()
	var rs []*running
	for k := range 4 {
		o := clusterOptions(t, dir, k+1)
		o.Cluster.Forming = Forming{Name: fmt.Sprint("cluster ", k/2), Group: group, Size: 2}
		rs = append(rs, launch(t, o))
	}
	defer stopAll(rs)
	oneCluster(t, rs[:2])
	oneCluster(t, rs[2:])
	if a, b := rs[0].dir.Node().Cluster, rs[2].dir.Node().Cluster; a == b {
		t.Error("clusters of two names are one")
	}
	// One that comes later finds those that are there.
	o := clusterOptions(t, dir, 9)
	o.Cluster.Forming = Forming{Name: "cluster 0", Group: group, Size: 2}
	late := start(t, o)
	if a, b := late.dir.Node().Cluster, rs[0].dir.Node().Cluster; a != b {
		t.Errorf("it is in cluster %s, not in %s", a, b)
	}
}

// A resolver that knows a name.
type resolver struct {
	t     *testing.T
	addrs atomic.Pointer[[]netip.Addr]
}

func (r *resolver) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if host != "nodes.test" {
		r.t.Errorf("asked for %q", host)
	}
	return *r.addrs.Load(), nil
}

// Nodes behind one name of DNS are on one port, and found when all are there.
func TestDNS(t *testing.T) {
	t.Parallel()
	r := &resolver{t: t}
	r.addrs.Store(&[]netip.Addr{})
	dir, port := t.TempDir(), 0
	var rs []*running
	var addrs []netip.Addr
	for k := range 2 {
		host := fmt.Sprintf("127.77.%d.%d", rand.IntN(250), k+1)
		addrs = append(addrs, netip.MustParseAddr(host))
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", host, port))
		if err != nil {
			t.Fatal(err)
		}
		port = l.Addr().(*net.TCPAddr).Port
		l.Close()
		o := clusterOptions(t, dir, k+1)
		o.Cluster.Addr = fmt.Sprintf("%s:%d", host, port)
		o.Cluster.Forming = Forming{DNS: fmt.Sprintf("nodes.test:%d", port), Size: 2, Resolver: r}
		rs = append(rs, launch(t, healthy(o)))
	}
	defer stopAll(rs)
	rs[0].answers("/health/ready", 503, "booting: waiting for discovery to find a node")
	one := addrs[:1]
	r.addrs.Store(&one)
	rs[0].answers("/health/ready", 503, "booting: waiting for 2 nodes to found the cluster with, 1 are here")
	r.addrs.Store(&addrs)
	oneCluster(t, rs)
}

// Others take this node to be where its announcements come from.
func TestMulticastFromElsewhere(t *testing.T) {
	o := clusterOptions(t, t.TempDir(), 1)
	o.Cluster.Addr = "127.0.0.7:0"
	o.Cluster.Forming = Forming{Name: "x", Size: 1, Interface: netip.MustParseAddr("127.0.0.1")}
	r := launch(t, o)
	if err := r.wait(); !errors.Is(err, ErrCluster) || !strings.Contains(err.Error(), "have to agree") {
		t.Errorf("%v", err)
	}
}

func TestFormFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(*Options)
		want string
	}{
		"two ways":   {func(o *Options) { o.Cluster.Forming = Forming{Peers: []string{"a"}, DNS: "b", Size: 1} }, "more than one way"},
		"no address": {func(o *Options) { o.Cluster.Addr = "" }, "needs listen.cluster"},
		"no size":    {func(o *Options) { o.Cluster.Forming = Forming{Name: "x"} }, "set cluster.size"},
		"group": {func(o *Options) {
			o.Cluster.Forming = Forming{Name: "x", Size: 3, Group: netip.MustParseAddrPort("10.0.0.1:1")}
		}, "is no multicast group"},
		"peers": {func(o *Options) { o.Cluster.Forming.Peers = make([]string, 65) }, "at most 64"},
	} {
		t.Run(name, func(t *testing.T) {
			o := good()
			o.Cluster = Cluster{Addr: "127.0.0.1:0", Forming: Forming{Peers: []string{"a", "b"}}}
			if err := o.Validate(); err != nil {
				t.Fatal(err)
			}
			tc.do(&o)
			if err := o.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}
