package ctl

import (
	"fmt"

	"github.com/warrenmq/warren/admin/client"
)

const clusterGroup = "Cluster"

func clusterVerbs() []verb {
	return []verb{
		{
			name: "cluster_status", tools: ctl | diagnostics, group: clusterGroup, timeout: listTime, needs: anyState,
			short:  "Displays all the nodes in the cluster, together with the currently running nodes",
			banner: (*call).clusterBanner, run: (*call).clusterStatus,
		},
		{
			name: "set_cluster_name", tools: ctl, group: clusterGroup, min: 1, max: 1, timeout: listTime,
			short: "Sets the cluster name", usage: "<name>",
			banner: func(c *call) string { return fmt.Sprintf("Setting cluster name to %s ...", c.args[0]) },
			run: func(c *call) error {
				text, err := marshal(c.args[0])
				if err != nil {
					return err
				}
				_, err = c.node.SetParameter(c.ctx, client.NewParameter{Parameter: client.Parameter{Name: "cluster_name", Value: text}, Global: true})
				return err
			},
		},
		{
			name: "list_feature_flags", tools: ctl | diagnostics, group: "Feature flags", max: -1, timeout: listTime,
			short: "Lists feature flags", usage: "[<column>, ...]",
			check:  func(c *call) error { _, err := choose(c, flagColumns(), "name", "state"); return err },
			banner: func(*call) string { return "Listing feature flags ..." },
			run: func(c *call) error {
				cols, err := choose(c, flagColumns(), "name", "state")
				if err != nil {
					return err
				}
				return list(c, cols, func(yield func(flagState, error) bool) {
					for _, f := range flags() {
						if !yield(f, nil) {
							return
						}
					}
				})
			},
		},
		{
			name: "enable_feature_flag", tools: ctl, group: "Feature flags", min: 1, max: 1,
			short: "Accepts the flag of a feature that this version has: all are on", usage: "<all | feature_flag>",
			banner: func(c *call) string { return fmt.Sprintf("Enabling feature flag %q ...", c.args[0]) },
			run: func(c *call) error {
				for _, f := range flags() {
					if c.args[0] == "all" || f.name == c.args[0] && f.on {
						return nil
					}
				}
				return c.failed(exitUnavailable, "Feature flag '%s' is not supported by this version of Warren", c.args[0])
			},
		},
	}
}

// A flagState is a feature under RabbitMQ's name for it.
type flagState struct {
	name, text string
	on         bool
}

// flags are the features that RabbitMQ's users may ask for.
func flags() []flagState {
	return []flagState{
		{"implicit_default_bindings", "Every queue is bound to the default exchange without that being stored", true},
		{"quorum_queue", "Queues of type quorum", true},
		{"stream_queue", "Queues of type stream", false},
		{"user_limits", "Limits of connections and channels for a user", true},
		{"virtual_host_metadata", "Description and tags of a virtual host", true},
	}
}

func flagColumns() []column[flagState] {
	return []column[flagState]{
		{"name", func(f *flagState) any { return f.name }},
		{"state", func(f *flagState) any {
			if f.on {
				return atom("enabled")
			}
			return atom("disabled")
		}},
		{"desc", func(f *flagState) any { return f.text }},
		{"stability", func(*flagState) any { return atom("stable") }},
	}
}

// clusterBanner quotes the node where the output is for those who know it from
// old versions.
func (c *call) clusterBanner() string {
	if c.format == asErlang {
		return fmt.Sprintf("Cluster status of node %s ...", erlangAtom(c.self.Node))
	}
	return fmt.Sprintf("Cluster status of node %s ...", c.self.Node)
}
