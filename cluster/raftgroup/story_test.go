package raftgroup_test

import (
	"testing"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/warrenmq/warren/cluster/raftgroup"
)

// TestStories runs testdata/*: the life of groups as readable traces. Commands:
//
//	open node=1 voters=(1,2,3) [applied=N conf=(..)]
//	propose node=1 data=(a,b)      hand payloads to the machine
//	turn node=1 | settle [down=(3)] | drain node=1 | write node=1 | sync node=1
//	tick node=1 [n=10] | campaign node=1 | forget node=1 | transfer node=1 to=2
//	deliver to=2 | drop | crash node=1 | compact node=1 index=5
//	conf node=1 change="l4"        | status node=1
//
// Group 1 is meant throughout.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		e := newEnv(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			run(t, e, d)
			return e.take()
		})
	})
}

func run(t *testing.T, e *env, d *datadriven.TestData) {
	switch d.Cmd {
	case "settle":
		var down []uint64
		d.MaybeScanArgs(t, "down", &down)
		e.settle(down...)
		return
	case "deliver":
		var to uint64
		d.ScanArgs(t, "to", &to)
		e.deliver(func(m wireMessage) bool { return m.to == to })
		return
	case "drop":
		e.printf("%d messages lost", len(e.wire))
		e.wire = nil
		return
	}
	var id uint64
	d.ScanArgs(t, "node", &id)
	n := e.node(id)
	if d.Cmd == "open" {
		openNode(t, n, d)
		return
	}
	runNode(t, n, n.groups[1], d)
}

func openNode(t *testing.T, n *envNode, d *datadriven.TestData) {
	o := raftgroup.GroupOptions{ID: 1}
	var conf []uint64
	d.MaybeScanArgs(t, "voters", &o.Voters)
	d.MaybeScanArgs(t, "applied", &o.Applied)
	d.MaybeScanArgs(t, "conf", &conf)
	if conf != nil {
		o.ConfState = &raftpb.ConfState{Voters: conf}
	}
	if err := n.open(o); err != nil {
		n.env.printf("error: %v", err)
	}
}

func runNode(t *testing.T, n *envNode, g *envGroup, d *datadriven.TestData) {
	switch d.Cmd {
	case "propose":
		var data []string
		d.ScanArgs(t, "data", &data)
		for _, s := range data {
			g.machine.want = append(g.machine.want, []byte(s))
		}
		g.TryTurn()
	case "turn":
		if !g.TryTurn() {
			n.env.printf("busy")
		}
	case "drain":
		n.drain()
	case "write":
		n.env.printf("%d: wrote %d", n.id, n.disk.Write())
	case "sync":
		n.env.printf("%d: sync", n.id)
		n.disk.Sync()
	case "tick":
		count := 1
		d.MaybeScanArgs(t, "n", &count)
		for range count {
			n.host.Tick()
			n.turns()
		}
	case "campaign":
		g.Campaign()
		n.turns()
	case "forget":
		g.ForgetLeader()
		n.turns()
	case "transfer":
		var to uint64
		d.ScanArgs(t, "to", &to)
		g.TransferLeader(to)
		n.turns()
	case "crash":
		n.crash()
	case "compact":
		var index uint64
		d.ScanArgs(t, "index", &index)
		g.Compact(index)
		n.turns()
	case "conf":
		confChange(t, n, g, d)
	case "status":
		printStatus(n, g.Status())
	default:
		t.Fatalf("unknown command %q", d.Cmd)
	}
}

func confChange(t *testing.T, n *envNode, g *envGroup, d *datadriven.TestData) {
	var change string
	d.ScanArgs(t, "change", &change)
	ccs, err := raftpb.ConfChangesFromString(change)
	if err != nil {
		t.Fatal(err)
	}
	g.ProposeConfChange(&raftpb.ConfChangeV2{Changes: ccs}, func(err error) {
		if err != nil {
			n.env.printf("error: %v", err)
		}
	})
	n.turns()
}

func printStatus(n *envNode, s raftgroup.Status) {
	n.env.printf("%d: %s term=%d vote=%d leader=%d leading=%v log=[%d,%d] commit=%d applied=%d voters=%v learners=%v",
		n.id, s.Role, s.Term, s.Vote, s.Leader, s.Leading, s.First, s.Last, s.Commit, s.Applied,
		s.ConfState.GetVoters(), s.ConfState.GetLearners())
	for _, p := range s.Peers {
		n.env.printf("   peer %d: match=%d next=%d %s%s", p.ID, p.Match, p.Next, p.State, learner(p))
	}
}

func learner(p raftgroup.PeerStatus) string {
	if p.Learner {
		return " learner"
	}
	return ""
}
