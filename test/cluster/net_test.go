//go:build chaos

package cluster

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// A network is a bridge with a namespace for every node, of which each can be cut
// off from each in each direction.
type network struct {
	t     testing.TB
	hosts map[int]*exec.Cmd // what holds the namespace of a node
}

const self = "10.77.0.1"

func address(node int) string { return fmt.Sprintf("10.77.0.%d", 10+node) }

func newNetwork(t testing.TB) *network {
	t.Helper()
	n := &network{t: t, hosts: map[int]*exec.Cmd{}}
	run(t, "ip", "link", "set", "lo", "up")
	run(t, "ip", "link", "add", "br0", "type", "bridge")
	run(t, "ip", "addr", "add", self+"/24", "dev", "br0")
	run(t, "ip", "link", "set", "br0", "up")
	t.Cleanup(func() { run(t, "ip", "link", "del", "br0") })
	return n
}

// run runs a command that has to succeed.
func run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// host makes the namespace of a node.
func (n *network) host(node int) {
	n.t.Helper()
	cmd := exec.Command("cat") // until its input ends
	in, err := cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		n.t.Fatalf("make a network namespace, which root may: %v", err)
	}
	link := fmt.Sprintf("veth%d", node)
	n.t.Cleanup(func() {
		// It goes with the namespace too, but some time later: the next network
		// would find its name taken.
		_ = exec.Command("ip", "link", "del", link).Run()
		_ = in.Close()
		_ = cmd.Wait()
	})
	n.hosts[node] = cmd
	run(n.t, "ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(cmd.Process.Pid))
	run(n.t, "ip", "link", "set", link, "master", "br0", "up")
	n.in(node, "ip", "link", "set", "lo", "up")
	n.in(node, "ip", "addr", "add", address(node)+"/24", "dev", "eth0")
	n.in(node, "ip", "link", "set", "eth0", "up")
	nft := exec.Command("nsenter", append(n.enter(node), "nft", "-f", "-")...)
	nft.Stdin = strings.NewReader(`table inet chaos {
		set gone { type ipv4_addr; }
		set lossy { type ipv4_addr; }
		chain in { type filter hook input priority 0; ip saddr @gone drop; ip saddr @lossy numgen random mod 100 < 10 drop; }
	}`)
	if out, err := nft.CombinedOutput(); err != nil {
		n.t.Fatalf("nft: %v: %s", err, out)
	}
}

// enter are the arguments by which nsenter runs a command at a node.
func (n *network) enter(node int) []string {
	return []string{fmt.Sprintf("--net=/proc/%d/ns/net", n.hosts[node].Process.Pid), "--"}
}

func (n *network) in(node int, args ...string) {
	n.t.Helper()
	run(n.t, append(append([]string{"nsenter"}, n.enter(node)...), args...)...)
}

// cut has a node hear nothing of another any more.
func (n *network) cut(from, to int) { n.set(to, "gone", from) }

// cutBoth cuts two nodes off from each other.
func (n *network) cutBoth(a, b int) { n.cut(a, b); n.cut(b, a) }

func (n *network) set(node int, set string, of int) {
	n.t.Helper()
	n.in(node, "nft", "add", "element", "inet", "chaos", set, "{", address(of), "}")
}

// split cuts groups of nodes off from each other.
func (n *network) split(groups ...[]int) {
	for i, a := range groups {
		for _, b := range groups[i+1:] {
			for _, x := range a {
				for _, y := range b {
					n.cutBoth(x, y)
				}
			}
		}
	}
}

// mend lets all hear all.
func (n *network) mend() {
	for node := range n.hosts {
		n.in(node, "nft", "flush", "set", "inet", "chaos", "gone")
		n.in(node, "nft", "flush", "set", "inet", "chaos", "lossy")
	}
}

// lose has a node lose a tenth of what comes from others, in both directions.
func (n *network) lose(node int) {
	for other := range n.hosts {
		if other != node {
			n.set(node, "lossy", other)
			n.set(other, "lossy", node)
		}
	}
}

// narrow lets a node send so slowly that what it sends waits. Where the kernel has
// netem it delays as well.
func (n *network) narrow(node int) (undo func()) {
	link := append([]string{"nsenter"}, n.enter(node)...)
	netem := append(append([]string{}, link...), "tc", "qdisc", "add", "dev", "eth0", "root", "netem", "delay", "80ms", "40ms", "loss", "1%")
	if exec.Command(netem[0], netem[1:]...).Run() != nil {
		n.in(node, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "2mbit", "burst", "16kb", "latency", "300ms")
	}
	return func() { n.in(node, "tc", "qdisc", "del", "dev", "eth0", "root") }
}
