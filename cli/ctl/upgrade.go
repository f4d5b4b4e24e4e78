package ctl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/warrenmq/warren/admin/client"
)

const (
	upgradeGroup = "Upgrade"
	// quorumTime is how long it is waited for enough replicas to be online, and
	// quorumEvery how often it is looked.
	quorumTime  = 2 * time.Minute
	quorumEvery = 500 * time.Millisecond
)

// upgradeVerbs are those of rabbitmq-upgrade.
func upgradeVerbs() []verb {
	return []verb{
		{
			name: "drain", tools: upgradeTool, group: upgradeGroup, timeout: listTime,
			short: "Puts the node in maintenance mode. Such nodes will not serve any client traffic or host any primary queue replicas",
			banner: func(c *call) string {
				return fmt.Sprintf("Will put node %s into maintenance mode. The node will no longer serve any client traffic!", c.self.Node)
			},
			run: func(c *call) error { _, err := c.node.Drain(c.ctx, client.Drain{}); return err },
		},
		{
			name: "revive", tools: upgradeTool, group: upgradeGroup, timeout: listTime,
			short: "Puts the node out of maintenance and into regular operating mode. Such nodes will again serve client traffic and host primary queue replicas",
			banner: func(c *call) string {
				return fmt.Sprintf("Will put node %s back into regular operating mode. The node will again serve client traffic and host primary queue replicas.", c.self.Node)
			},
			run: func(c *call) error { _, err := c.node.Revive(c.ctx, client.Revive{}); return err },
		},
		{
			name: "await_online_quorum_plus_one", tools: upgradeTool, group: upgradeGroup, timeout: quorumTime,
			short: "Waits for all quorum queues to have an above minimum online quorum. This makes sure that no queues would lose their quorum if the target node is shut down",
			banner: func(c *call) string {
				return fmt.Sprintf("Will wait for a quorum + 1 of nodes to be online for all quorum queues for %d seconds...", int(c.timeout.Seconds()))
			},
			run: (*call).awaitQuorum,
		},
		{
			name: "await_online_synchronized_mirror", tools: upgradeTool, group: upgradeGroup, timeout: quorumTime,
			short: "Waits for all replicated queues to have a replica that has all",
			banner: func(c *call) string {
				return fmt.Sprintf("Will wait for a synchronised mirror be online for all classic mirrored queues for %d seconds...", int(c.timeout.Seconds()))
			},
			run: (*call).awaitQuorum,
		},
		{
			name: "post_upgrade", tools: upgradeTool, group: upgradeGroup, timeout: listTime,
			short:  "Runs post-upgrade tasks: leaders are spread over the nodes",
			banner: func(*call) string { return "Executing post upgrade tasks...\nRebalancing queue masters..." },
			run:    func(c *call) error { return c.rebalance() },
		},
	}
}

// awaitQuorum waits until no shard with queues would be without a majority if one
// more node stopped.
func (c *call) awaitQuorum() error {
	t := time.NewTicker(quorumEvery)
	defer t.Stop()
	for {
		x, err := c.node.Overview(c.ctx)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return c.late()
		case err != nil:
			return err
		case len(x.Members) == 1:
			if !c.quiet {
				c.say("Target node seems to be the only one in a single node cluster, the command does not apply")
			}
			return nil
		case spare(x):
			return nil
		}
		select {
		case <-t.C:
		case <-c.ctx.Done():
			return c.late()
		}
	}
}

func (c *call) late() error {
	return c.failed(exitUnavailable, "time is up, no quorum + 1 online replicas came online for at least some quorum queues")
}

// spare reports whether every shard with queues has one replica more than its
// majority on nodes that run.
func spare(x client.Overview) bool {
	_, up := members(x.Members)
	for _, s := range x.Shards {
		if s.Kind != "queues" || s.Queues == 0 {
			continue
		}
		online := 0
		for _, r := range s.Replicas {
			if slices.Contains(up, r) {
				online++
			}
		}
		if online <= len(s.Replicas)/2+1 {
			return false
		}
	}
	return true
}
