package broker

import (
	"fmt"
	"strings"

	"github.com/warrenmq/warren/cluster/placement"
	"github.com/warrenmq/warren/core/message"
)

// translation says what the words of a policy mean here that say where queues
// are and what a confirm waits for, a line for each.
func translation(def message.Table) (out []string) {
	say := func(name, format string, args ...any) {
		if v, ok := def.Lookup(name); ok {
			out = append(out, name+"="+plain(v)+": "+fmt.Sprintf(format, args...))
		}
	}
	if v, ok := def.Lookup("replicas"); ok {
		say("replicas", "%s", meaning(copies(v)))
	}
	if v, ok := def.Lookup("ha-mode"); ok {
		params, _ := def.Lookup("ha-params")
		w, _ := mirrors(v, params)
		name := "ha-mode=" + plain(v)
		if params.Kind() != message.Null {
			name += " ha-params=" + plain(params)
		}
		out = append(out, name+": "+meaning(w))
	}
	say("initial-cluster-size", "quorum queues have at least so many replicas")
	say("target-group-size", "quorum queues have at least so many replicas")
	say("ha-sync-mode", "a new replica takes over all messages while the queue serves, and counts when it has them")
	say("ha-sync-batch-size", "not needed: what a new replica takes over comes in parts of 1 MiB")
	say("ha-promote-on-failure", "only a replica with everything that was confirmed leads")
	say("ha-promote-on-shutdown", "only a replica with everything that was confirmed leads")
	for _, name := range []string{"queue-leader-locator", "queue-master-locator"} {
		if v, ok := def.Lookup(name); ok {
			if plain(v) == "client-local" {
				say(name, "new queues are led by the node that their client is connected to")
			} else {
				say(name, "leads are spread over the nodes")
			}
		}
	}
	say("sync", "confirms wait for quorum_disk always: a majority of the replicas has the message on disk")
	return out
}

// meaning says what a wish promises.
func meaning(w placement.Wish) string {
	switch w.Kind {
	case placement.All:
		return "replicated on all nodes, and on those that join"
	case placement.Named:
		return "replicated on " + strings.Join(w.Nodes, ", ") + ", as far as they are members"
	case placement.Exactly:
		switch w.N {
		case 1:
			return "at least one replica; with one, the queue waits for its node when that is gone"
		case 2:
			return "at least two replicas; with two, both are needed to go on"
		}
		return fmt.Sprintf("at least %d replicas, or as many as there are nodes", w.N)
	}
	return fmt.Sprintf("%d replicas, or as many as there are nodes", placement.DefaultFactor)
}

// plain returns a value as an operator wrote it, without quotes.
func plain(v message.Value) string {
	if names := v.Values(nil); v.Kind() == message.List {
		var out []string
		for _, n := range names {
			out = append(out, plain(n))
		}
		return strings.Join(out, ",")
	}
	if t, ok := v.Text(); ok {
		return t
	}
	return term(v)
}

// mostNamed bounds the queues that are named.
const mostNamed = 10

// InMemory names queues that a policy of a vhost replicates and that are in the
// memory of a node, at most a few, and says how many they are.
func (b *Broker) InMemory(vhost, policy string, operator bool) (names []string, n int) {
	v := b.View()
	h := v.VHost(vhost)
	if h == nil {
		return nil, 0
	}
	now := v.Policy(h, operator, policy)
	for q := range h.Queues("") {
		if now == nil || q.Shard != 0 || q.Policy != now && q.OperatorPolicy != now || !Replicated(q) {
			continue
		}
		if n++; n <= mostNamed {
			names = append(names, q.Name)
		}
	}
	return names, n
}
