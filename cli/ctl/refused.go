package ctl

// A refusal is a verb of RabbitMQ's that this version does not carry out, with
// the reason. It is known, so that nobody takes silence for success.
type refusal struct {
	name  string
	tools tool
	why   string
}

func refusals() []refusal {
	erlangOnly := "there is no Erlang in this node to run it"
	return []refusal{
		{"force_boot", ctl, "nodes start in any order, and serve as soon as a majority of their cluster is there: start the others. One that went on without it would serve what others may have changed. If a majority is gone for good: end this node's process, and 'warren recover --data DIR' shows, and changes nothing yet, what would be lost if this node went on alone"},
		{"rename_cluster_node", ctl, "nodes know each other by ids, a name is an attribute: stop the node, start it with another --name (RABBITMQ_NODENAME), and the cluster knows it by that"},
		{"update_cluster_nodes", ctl, "a node finds the others by what all of them have agreed on: there is nothing to bring up to date. If none of its addresses is right any more, start it with --join and one that is"},
		{"sync_queue", ctl, "replicas of a queue are brought up to date by themselves, while it serves; `warren status` shows how far they are"},
		{"cancel_sync_queue", ctl, "replicas of a queue are brought up to date by themselves, while it serves; `warren status` shows how far they are"},
		{"eval", ctl, erlangOnly},
		{"eval_file", ctl, erlangOnly},
		{"exec", ctl, erlangOnly},
		{"hipe_compile", ctl, erlangOnly},
		{"schema_info", ctl, "the catalog has no Mnesia tables; `warren status` describes its shard"},
		{"encode", ctl, "secrets are read from files that only the node may read, not from encrypted values"},
		{"decode", ctl, "secrets are read from files that only the node may read, not from encrypted values"},
		{"list_hashes", ctl, "configuration values are not encrypted"},
		{"list_ciphers", ctl, "configuration values are not encrypted"},
		{"list_node_auth_attempt_stats", ctl | diagnostics, "login attempts are not counted by node; refused ones are in the log"},
		{"suspend_listeners", ctl, "listeners can not be suspended in this version"},
		{"resume_listeners", ctl, "listeners can not be suspended in this version"},
		{"restart_vhost", ctl, "a vhost has no processes that could have failed; check_virtual_hosts names those with queues that are not served"},
		{"set_log_level", ctl, "the level is read from log.level when the node starts"},
		{"rotate_logs", ctl, "This command does not rotate logs anymore [deprecated]: the node logs to standard error, and who keeps that rotates it"},
		{"erlang_version", diagnostics, erlangOnly},
		{"rename_vhost", ctl, "the name of a vhost is what its clients ask for: export the definitions, change the name, import them, and move the messages"},
		{"rename_user", ctl, "add the new user with add_user and delete the old one"},
	}
}

func refusedVerbs() (out []verb) {
	for _, r := range refusals() {
		out = append(out, verb{
			name: r.name, tools: r.tools, group: "Not in this version", short: r.why, max: -1, local: true, loose: true,
			run: func(c *call) error { return c.failed(exitUnavailable, "%s", r.why) },
		})
	}
	return out
}
