package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/warrenmq/warren/admin/client"
	"github.com/warrenmq/warren/node"
)

// aRecovery has one of everything that can be said.
func aRecovery() *node.Recovery {
	at := time.Date(2026, 11, 22, 13, 20, 11, 0, time.UTC)
	both := []string{"rabbit@node-01", "rabbit@node-02"}
	return &node.Recovery{
		Node: "rabbit@node-03", DataDir: "/data", Cluster: "00000000deadbeef", Authority: true, Revision: 812,
		Catalog: node.Kept{Last: 90, Term: 3, Commit: 88, Voter: true, Voters: 3, Newest: at},
		Cut:     []node.CutOut{{Name: both[0], Addr: "10.0.0.1:25672", Voter: true}, {Name: both[1], Addr: "10.0.0.2:25672", Voter: true, Answers: true}},
		Kept: []node.Kept{
			{Shard: 11, Last: 33, Term: 2, Commit: 31, Voter: true, Voters: 3, Others: both, Newest: at, Queues: []node.QueueLeft{{VHost: "/", Name: "orders", Messages: 200}}},
			{Shard: 12, Last: 9, Term: 2, Commit: 9, Voter: true, Voters: 2, Others: both[:1], Newest: at, Queues: []node.QueueLeft{{VHost: "/", Name: "pair", Messages: 3}}},
			{Shard: 13, Last: 4, Term: 5, Commit: 4, Voters: 3, Others: both},
			{Shard: 14, Damaged: "segment 3, offset 4096", Queues: []node.QueueLeft{{VHost: "b", Name: "torn"}}},
		},
		Lost:  []node.Lost{{Shard: 20, Others: both, Queues: []node.QueueLeft{{VHost: "/", Name: "there"}}}},
		Ended: []node.QueueLeft{{VHost: "/", Name: "amq.gen-1"}},
	}
}

// The trial says what would be lost before anything is done (estate R14).
func TestRecoverVerb(t *testing.T) {
	w := newWorld(t)
	var asked node.Options
	w.PlanRecovery = func(_ context.Context, o node.Options) (*node.Recovery, error) { asked = o; return aRecovery(), nil }
	var cut []string
	w.Recover = func(_ context.Context, _ node.Options, without []string) (*node.Recovery, error) {
		cut = without
		return aRecovery(), nil
	}
	w.wants(exitOK, w.run("recover", "--data", "/data"))
	golden(t, "recover.txt", w.out.String())
	if asked.DataDir != "/data" || cut != nil {
		t.Errorf("asked about %s, cut out %v", asked.DataDir, cut)
	}
	w.wants(exitOK, w.run("recover", "--data", "/data", "--force", "--without", "rabbit@node-01,rabbit@node-02"))
	w.printed(w.out.String(), "rabbit@node-03 is alone in generation 1 of its cluster, with 203 messages in 2 queues. Start it: warren serve --data /data")
	if fmt.Sprint(cut) != "[rabbit@node-01 rabbit@node-02]" {
		t.Errorf("cut out %v", cut)
	}
	w = newWorld(t)
	w.PlanRecovery = func(context.Context, node.Options) (*node.Recovery, error) { return aRecovery(), nil }
	w.wants(exitOK, w.run("recover", "--json"))
	var r node.Recovery
	if err := json.Unmarshal([]byte(w.out.String()), &r); err != nil || r.Kept[0].Queues[0].Messages != 200 {
		t.Errorf("%v: %s", err, w.out)
	}
	many := aRecovery()
	for k := range 60 {
		many.Lost[0].Queues = append(many.Lost[0].Queues, node.QueueLeft{VHost: "/", Name: fmt.Sprint("q", k)})
	}
	w.PlanRecovery = func(context.Context, node.Options) (*node.Recovery, error) { return many, nil }
	w.wants(exitOK, w.run("recover"))
	w.printed(w.out.String(), "and 11 more: --all shows them")
	w.wants(exitOK, w.run("recover", "--all"))
	w.printed(w.out.String(), "q59")
}

// Nobody does by mistake what can not be taken back.
func TestRecoverWrongUse(t *testing.T) {
	w := newWorld(t)
	never := errors.New("it was called")
	w.PlanRecovery = func(context.Context, node.Options) (*node.Recovery, error) { return nil, never }
	w.Recover = func(context.Context, node.Options, []string) (*node.Recovery, error) { return nil, never }
	w.wants(exitUsage, w.run("recover", "--force"))
	w.printed(w.errs.String(), "wants the names of all nodes that are cut out", "Run it without --force first")
	w.wants(exitUsage, w.run("recover", "--without", "rabbit@node-01"))
	w.wants(exitUsage, w.run("recover", "rabbit@node-01"))
	w.Recover, w.PlanRecovery = node.Recover, node.PlanRecovery
	w.wants(exitFailed, w.run("recover", "--data", t.TempDir()))
	w.printed(w.errs.String(), "holds no node that was ever in a cluster")
	dir := realNode(t)
	w.wants(exitDataDir, w.run("recover", "--data", dir, "--force", "--without", "rabbit@node-01"))
	w.printed(w.errs.String(), "in use")
}

// What damaged shards lost is shown; a node that lost nothing says so.
func TestRepairVerb(t *testing.T) {
	w := newWorld(t)
	dir := realNode(t)
	w.wants(exitOK, w.run("repair", "--data", dir))
	w.printed(w.out.String(), "nothing is damaged on rabbit@node-01")
	w.wants(exitOK, w.run("repair", "--data", dir, "--accept-loss"))
	w.wants(exitUnavailable, w.run("repair", "--data", t.TempDir()))
	w.wants(exitUsage, w.run("repair", "shard"))
	d := client.DamagedShards{Node: "rabbit@node-01", Shards: []client.DamagedShard{
		{Shard: 10, Why: "segment 3 (0003.log), offset 4096, 80 bytes", Queues: []client.QueueOf{{VHost: "/", Queue: "alone"}}},
		{Shard: 11, Why: "segment 4 (0004.log), offset 80, 80 bytes", Others: []string{"rabbit@node-02"}, Queues: []client.QueueOf{{VHost: "/", Queue: "pair"}}},
	}}
	var out screen
	if err := printDamaged(&out, d, "/data", false); err != nil {
		t.Fatal(err)
	}
	golden(t, "repair.txt", out.String())
}
