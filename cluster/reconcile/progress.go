package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/warrenmq/warren/core/catalog"
)

// Held counts the shards that a node has a replica of, or is to have.
func Held(v *catalog.View, node uint64) (n int) {
	for s := range v.Shards() {
		if s.Holds(node) {
			n++
		}
	}
	return n
}

// Progress says for people how far an intent about a node is.
func Progress(v *catalog.View, i *catalog.Intent) string {
	switch i.Kind {
	case catalog.Forget, catalog.Reset:
		left, all := Held(v, i.Subject), of(i)
		all = max(all, left)
		if left == 0 {
			return fmt.Sprintf("its %d shards have other replicas; the catalog lets it go", all)
		}
		text := fmt.Sprintf("%d of %d shards have left it", all-left, all)
		if stuck := Stuck(v, i.Subject); len(stuck) > 0 {
			text += fmt.Sprintf("; without it %s has no majority", shardNames(stuck))
		}
		return text
	case catalog.Join:
		there, all := 0, 0
		for s := range v.Shards() {
			if slices.Contains(s.Replicas, i.Subject) {
				all++
				if slices.Contains(s.Members.Voters, i.Subject) {
					there++
				}
			}
		}
		return fmt.Sprintf("%d of %d shards are there", there, all)
	case catalog.Drain:
		return "it hands over what it leads"
	}
	return i.State
}

// Shard says how far a shard is from what it should be; empty if it is that.
func Shard(v *catalog.View, s *catalog.Shard) string {
	if settled(s) {
		return ""
	}
	var coming, going []string
	for _, id := range s.Replicas {
		if !slices.Contains(s.Members.Voters, id) {
			coming = append(coming, name(v, id))
		}
	}
	for _, id := range slices.Concat(s.Members.Voters, s.Members.Others) {
		if !slices.Contains(s.Replicas, id) {
			going = append(going, name(v, id))
		}
	}
	var text []string
	if len(coming) > 0 {
		text = append(text, "to "+strings.Join(coming, ", "))
	}
	if len(going) > 0 {
		text = append(text, "from "+strings.Join(going, ", "))
	}
	return strings.Join(text, "; ")
}

func name(v *catalog.View, id uint64) string {
	if m := v.Node(id); m != nil {
		return m.Name
	}
	return fmt.Sprintf("%016x", id)
}

func shardNames(ids []uint64) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = fmt.Sprint("shard ", id)
	}
	return strings.Join(names, ", ")
}

// Stuck are the shards whose group has no majority of members that live, if a node
// does not count as living; others that are being forgotten do not either.
func Stuck(v *catalog.View, without uint64) (ids []uint64) {
	for s := range v.Shards() {
		if !s.Holds(without) {
			continue
		}
		live := 0
		for _, id := range s.Members.Voters {
			if m := v.Node(id); m != nil && id != without && m.Incarnation != 0 && !barred(v, m) {
				live++
			}
		}
		if live <= len(s.Members.Voters)/2 {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// barred reports whether a node is being forgotten.
func barred(v *catalog.View, m *catalog.Node) bool {
	return m.State == catalog.Leaving || v.IntentFor(catalog.Forget, m.ID) != nil
}

// Only are the shards that a node alone has, and Lost their queues.
func Only(v *catalog.View, node uint64) (ids []uint64) {
	for s := range v.Shards() {
		if only(s, node) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// mostNamed bounds the queues that a refusal names.
const mostNamed = 20

// Lost names the queues of shards, for people.
func Lost(v *catalog.View, shards []uint64) string {
	var names []string
	more := 0
	for _, id := range shards {
		for q := range v.QueuesIn(id) {
			if len(names) == mostNamed {
				more++
				continue
			}
			vhost := ""
			if h := v.VHostByID(q.VHost); h != nil {
				vhost = h.Name
			}
			names = append(names, fmt.Sprintf("'%s' in vhost '%s'", q.Name, vhost))
		}
	}
	if len(names) == 0 {
		return "no queue"
	}
	text := strings.Join(names, ", ")
	if more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Few says of a cluster of two that it needs both; empty otherwise.
func Few(v *catalog.View) string {
	var names []string
	for m := range v.Nodes() {
		names = append(names, m.Name)
	}
	if len(names) != 2 {
		return ""
	}
	return fmt.Sprintf("the cluster has two nodes and needs both: if %s or %s stops, the other serves nothing until it is back; a third node ends that", names[0], names[1])
}
